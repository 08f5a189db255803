package group

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Activity is what the leader of a group knows of the nodes that hold leases of it.
type Activity struct {
	// Waiting is the writes that wait for lease holders.
	Waiting int
	// Holders are at most maxHolders nodes, by name: first those that owe something or have delayed writes.
	Holders []Holder
}

// Holder is a node that holds leases of the group, or has been asked for some since this process runs.
type Holder struct {
	Node     api.NodeID    `cbor:"1,keyasint"`
	Leases   int           `cbor:"2,keyasint,omitempty"`
	Standing string        `cbor:"3,keyasint,omitempty"` // "good", "suspected" or "expired"; "" if it has no session
	Owes     int           `cbor:"4,keyasint,omitempty"` // leases that it was asked for and has not given back
	Since    time.Duration `cbor:"5,keyasint,omitempty"` // how long ago the first of them was asked for
	Barred   bool          `cbor:"6,keyasint,omitempty"` // it gets no leases for a while
	// Revoked, Delayed and Delay are since this process runs: leases asked for, writes that have waited for the node, and how long.
	Revoked uint64        `cbor:"7,keyasint,omitempty"`
	Delayed uint64        `cbor:"8,keyasint,omitempty"`
	Delay   time.Duration `cbor:"9,keyasint,omitempty"`
}

// maxHolders bounds the holders in an Activity.
const maxHolders = 100

// Activity returns what this node knows as the group's leader; false if it does not lead. It does not block.
func (a *Authority) Activity() (Activity, bool) {
	now := time.Now()
	holders := a.metrics.tally.holders()
	sessions := map[api.NodeID]int{} // leases by node
	waiting, ok := a.addSessions(holders, now)
	if !ok {
		return Activity{}, false
	}
	for _, s := range a.cfg.Machine.Sessions() {
		sessions[s.Node] += s.Leases
	}
	all := make([]Holder, 0, len(holders))
	for id, h := range holders {
		h.Node, h.Leases = id, sessions[id]
		all = append(all, *h)
	}
	slices.SortFunc(all, func(x, y Holder) int {
		return cmp.Or(cmp.Compare(y.Owes, x.Owes), cmp.Compare(y.Delayed, x.Delayed), cmp.Compare(y.Leases, x.Leases), strings.Compare(string(x.Node), string(y.Node)))
	})
	all = all[:min(len(all), maxHolders)]
	slices.SortFunc(all, func(x, y Holder) int { return strings.Compare(string(x.Node), string(y.Node)) })
	return Activity{Waiting: waiting, Holders: all}, true
}

// addSessions adds what the lead knows of the sessions of nodes, and returns how many writes wait; false if this node does not lead.
func (a *Authority) addSessions(holders map[api.NodeID]*Holder, now time.Time) (waiting int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lead == nil {
		return 0, false
	}
	for _, s := range a.lead.holders {
		h := holders[s.node]
		if h == nil {
			h = &Holder{}
			holders[s.node] = h
		}
		if h.Standing == "" || s.standing != refused { // a node may have an older session that has expired
			h.Standing = standingNames[s.standing]
		}
		h.Barred = a.bars.barred(s.node, now)
		if n := len(s.pending); n > 0 {
			h.Owes += n
			h.Since = max(h.Since, now.Sub(s.oldest))
		}
	}
	return a.lead.waiting, true
}

var standingNames = [standings]string{good: "good", suspecting: "suspected", suspected: "suspected", returning: "suspected", refused: "expired"}

// tally counts, by holder, what this process has asked holders for, and how long writes have waited for them. It is safe for
// concurrent use.
type tally struct {
	mu  sync.Mutex
	all map[api.NodeID]*Holder // guarded by mu: at most maxNodeLabels
}

// of returns the row of a node, or that of "other" if there are too many. The caller holds mu.
func (t *tally) of(n api.NodeID) *Holder {
	if t.all[n] == nil && len(t.all) >= maxNodeLabels {
		n = "other"
	}
	h := t.all[n]
	if h == nil {
		h = &Holder{}
		t.all[n] = h
	}
	return h
}

func (t *tally) revoked(n api.NodeID, leases int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of(n).Revoked += uint64(leases)
}

func (t *tally) delayed(n api.NodeID, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.of(n)
	h.Delayed++
	h.Delay += d
}

// holders returns a copy of all rows.
func (t *tally) holders() map[api.NodeID]*Holder {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[api.NodeID]*Holder, len(t.all))
	for n, h := range t.all {
		c := *h
		all[n] = &c
	}
	return all
}
