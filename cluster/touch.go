package cluster

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

// What a node may change of its own entry in the map: a few changes at once, as a start brings them, and then one each touchEvery.
const (
	touchEvery = 10 * time.Second
	touchBurst = 3
)

// touches bounds, at the leader of the meta group, how often nodes change their own entries: each change is a new map for all. A nil
// *touches bounds nothing. Safe for concurrent use.
type touches struct {
	mu sync.Mutex
	of map[api.NodeID]time.Time // when all that the node has changed is paid for
}

// allow returns CodeUnavailable, with the time to wait, if the command is another change of a node's own entry too soon after others.
// now is the map before it.
func (x *touches) allow(now *placement.Map, c placement.Command) error {
	id, changes := ownChange(now, c)
	if x == nil || !changes {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	at := time.Now()
	paid := x.of[id]
	if paid.Before(at) {
		paid = at
	}
	if wait := paid.Sub(at) - (touchBurst-1)*touchEvery; wait > 0 {
		return &api.Error{Code: api.CodeUnavailable, Op: "placement", RetryAfter: wait,
			Hint: fmt.Sprintf("node %s has changed its addresses or names too often: once in %v is allowed", id, touchEvery)}
	}
	if x.of == nil {
		x.of = map[api.NodeID]time.Time{}
	}
	for o, until := range x.of { // few: those of the last half minute
		if until.Before(at) {
			delete(x.of, o)
		}
	}
	x.of[id] = paid.Add(touchEvery)
	return nil
}

// ownChange returns the node that the command lets change its own entry, and whether it would. A node that the map does not have is
// not one: what it may do is not a change.
func ownChange(now *placement.Map, c placement.Command) (id api.NodeID, changes bool) {
	var to placement.Node
	switch c := c.(type) {
	case placement.Join:
		id = c.Node.ID
		to.Address, to.URL = c.Node.Address, c.Node.URL
	case placement.Touch:
		id = c.Node
		to = placement.Node{Address: c.Address, URL: c.URL, Nonce: c.Nonce, Host: c.Host, Names: c.Names}
	case placement.Rekey:
		return c.Node, rekeys(now, c)
	default:
		return "", false
	}
	if now == nil {
		return id, false
	}
	have, known := now.Node(id)
	if _, touch := c.(placement.Touch); touch {
		have = placement.Node{Address: have.Address, URL: have.URL, Nonce: have.Nonce, Host: have.Host, Names: have.Names}
	} else {
		have = placement.Node{Address: have.Address, URL: have.URL}
	}
	return id, known && !have.Equal(to)
}

// rekeys reports whether the command changes the keys or names of a node of the map.
func rekeys(now *placement.Map, c placement.Rekey) bool {
	if now == nil {
		return false
	}
	n, known := now.Node(c.Node)
	if c.Drop {
		return known && len(n.Pins) > 1
	}
	return known && (!n.HasPin(c.Pin) || !slices.Equal(n.Names, c.Names))
}
