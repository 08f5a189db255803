package cluster

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport"
)

// identify returns the node at the other end of a connection between nodes: on a plain one, the node that its preface names. That
// guards against mistakes, not against an attacker. Only what the map calls an edge is refused here, on the lanes of Raft: a name that the
// map does not know may be that of a new member, and maps of different age must not stop an election.
func (n *network) identify(ctx context.Context, a transport.Arrival) (any, error) {
	if a.TLS != nil {
		return n.security.identifyProven(ctx, a)
	}
	id := &identified{network: n, node: api.NodeID(a.Caller), plain: true}
	if c := id.Caller(); a.Lane == transport.LaneRaft && c.Role == api.RoleEdge {
		return nil, api.Errorf(api.CodeDenied, "node %s is an edge and votes in no group", c.Node)
	}
	return id, nil
}

// identified is a node that calls, as the map describes it at present.
type identified struct {
	network *network
	node    api.NodeID
	plain   bool
	now     atomic.Pointer[described]
}

// described is a caller as a map describes it.
type described struct {
	by     *placement.Map
	caller peer.Caller
}

// Caller implements [peer.Identity]. It allocates once a map.
func (x *identified) Caller() *peer.Caller {
	m := x.network.view.Map()
	d := x.now.Load()
	if d == nil || d.by != m {
		d = &described{by: m, caller: callerIn(m, x.node)}
		d.caller.Plain = x.plain
		x.now.Store(d)
	}
	return &d.caller
}

// callerIn is the node as the map describes it; m may be nil.
func callerIn(m *placement.Map, id api.NodeID) peer.Caller {
	c := peer.Caller{Node: id}
	if m == nil {
		return c
	}
	if n, ok := m.Node(id); ok {
		c.Role, c.Num, c.Scope = n.Role, n.Num, n.Scope
	}
	return c
}

// num is this node's number in the map; 0 if it has none.
func (n *network) num() uint32 { return callerIn(n.view.Map(), n.cfg.ID).Num }

// own is this node as the caller of its own methods. It has its role before the map names it.
type own struct{ *identified }

func (n *network) own() peer.Identity {
	return own{&identified{network: n, node: n.cfg.ID}}
}

func (x own) Caller() *peer.Caller {
	c := x.identified.Caller()
	if c.Role != "" {
		return c
	}
	unnamed := *c
	unnamed.Role = x.network.cfg.Role
	return &unnamed
}

// peerOf returns the node at the other end of a connection of a lane; nil if that is not known.
func peerOf(c net.Conn) peer.Identity {
	id, _ := transport.PeerOf(c).(peer.Identity)
	return id
}

const (
	// learnEvery is the least time between two fetches of the map for callers that it does not name.
	learnEvery = time.Second
	// learnTimeout bounds how long such a caller waits for one.
	learnTimeout = 2 * time.Second
	// maxLearning bounds the callers that wait.
	maxLearning = 256
)

// refresher fetches the newest map for callers that the present one does not name. All callers that wait share a fetch, which begins
// after they have called.
type refresher struct {
	refresh func(context.Context) error

	mu      sync.Mutex
	waiting int
	next    *lesson   // the fetch that has not begun; nil if none is planned
	last    time.Time // when the last one began
}

// lesson is one fetch.
type lesson struct {
	done chan struct{}
	err  error // set before done is closed
}

// learn returns once the map is at least as new as the call. CodeUnavailable if it cannot be had within 2 s.
func (r *refresher) learn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, learnTimeout)
	defer cancel()
	x, first, in, err := r.join()
	if err != nil {
		return err
	}
	defer r.leave()
	if first {
		x.err = r.fetch(ctx, in)
		close(x.done)
		return x.err
	}
	select {
	case <-x.done:
		return x.err
	case <-ctx.Done():
		return errNotLearned
	}
}

var errNotLearned = &api.Error{Code: api.CodeUnavailable, RetryAfter: 100 * time.Millisecond, Hint: "the newest placement map was not fetched in time"}

// join returns the next fetch, and whether the caller is to carry it out, and in what time.
func (r *refresher) join() (x *lesson, first bool, in time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting >= maxLearning {
		return nil, false, 0, errNotLearned
	}
	r.waiting++
	if r.next != nil {
		return r.next, false, 0, nil
	}
	r.next = &lesson{done: make(chan struct{})}
	return r.next, true, learnEvery - time.Since(r.last), nil
}

func (r *refresher) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
}

// fetch carries out a fetch, after a time. A caller that comes later waits for the next one.
func (r *refresher) fetch(ctx context.Context, in time.Duration) error {
	late := false
	if in > 0 {
		t := time.NewTimer(in)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			late = true
		}
	}
	r.mu.Lock()
	r.next = nil
	if !late {
		r.last = time.Now()
	}
	r.mu.Unlock()
	if late {
		return errNotLearned
	}
	return r.refresh(ctx)
}
