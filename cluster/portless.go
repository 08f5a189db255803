package cluster

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/placement"
)

// methodTell takes the report of an edge without a port, which no other node can ask.
var methodTell = peer.NewMethod[report, peer.Nothing]("Tell", admission.Control, peer.Nodes)

const (
	// tellEvery is how often an edge without a port sends its report, beside at each change of the map.
	tellEvery = 5 * time.Second
	// tellTimeout bounds one attempt.
	tellTimeout = 2 * time.Second
	// toldFor is how long a report counts that was sent so.
	toldFor = 3 * tellEvery
)

// noPort is the listener of an edge without a port: nothing ever arrives.
type noPort struct {
	once   sync.Once
	closed chan struct{}
}

func newNoPort() *noPort { return &noPort{closed: make(chan struct{})} }

// Accept blocks until Close.
func (l *noPort) Accept() (net.Conn, error) {
	<-l.closed
	return nil, net.ErrClosed
}

func (l *noPort) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *noPort) Addr() net.Addr { return noAddr{} }

type noAddr struct{}

func (noAddr) Network() string { return "none" }
func (noAddr) String() string  { return "" }

// portless reports whether the node is an edge that no other node can dial.
func portless(o placement.Node) bool { return o.Role == api.RoleEdge && o.Address == "" }

// toldReports are the reports that edges without a port have sent to this server. Safe for concurrent use.
type toldReports struct {
	mu  sync.Mutex
	all map[api.NodeID]toldReport
}

type toldReport struct {
	report *report
	at     time.Time
}

// take keeps the report of an edge, and drops those that count no more.
func (x *toldReports) take(r *report, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.all == nil {
		x.all = map[api.NodeID]toldReport{}
	}
	for id, o := range x.all {
		if now.Sub(o.at) > toldFor {
			delete(x.all, id)
		}
	}
	x.all[r.Node] = toldReport{r, now}
}

// newest returns the reports that still count, each with its age.
func (x *toldReports) newest(now time.Time) (all []report) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, o := range x.all {
		if age := now.Sub(o.at); age <= toldFor {
			r := *o.report
			r.Age = age.Milliseconds()
			all = append(all, r)
		}
	}
	return all
}

// registerTell has a server take the reports of edges without a port. What an edge says is believed about itself alone.
func (n *Node) registerTell(s *peer.Server) {
	methodTell.Handle(s, func(ctx context.Context, r *report) (*peer.Nothing, error) {
		caller := peer.CallerFrom(ctx).Node
		if n.cfg.Role != api.RoleServer || r.Node != caller {
			return nil, api.Errorf(api.CodeInvalid, "node %s takes no report of %q from %q", n.cfg.ID, r.Node, caller)
		}
		if o, ok := n.mapNode(caller); !ok || !portless(o) {
			return nil, api.Errorf(api.CodeConflict, "node %s can be asked for its report", caller)
		}
		r.Groups, r.Told, r.Troubles = nil, nil, nil
		if r.Activity != nil {
			r.Activity.Led = nil
		}
		n.told.take(r, time.Now())
		return &peer.Nothing{}, nil
	})
}

func (n *Node) mapNode(id api.NodeID) (placement.Node, bool) {
	m := n.membership.view.Map()
	if m == nil {
		return placement.Node{}, false
	}
	return m.Node(id)
}

// openTelling has an edge without a port send its report.
func (n *Node) openTelling() (func() error, error) {
	if !portless(n.cfg.self()) {
		return nil, nil
	}
	b := newBackground()
	var last api.NodeID // the server that took the newest report
	b.every(tellEvery, n.membership.view.Changed, func() { last = n.tell(b.ctx, last) })
	return ending(b.close), nil
}

// tell sends this node's report to a server, that of the last time if it answers, and returns which one took it.
func (n *Node) tell(ctx context.Context, last api.NodeID) api.NodeID {
	m := n.membership.view.Map()
	if m == nil {
		return last
	}
	servers := serversOf(m)
	rand.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	if i := slices.Index(servers, last); i >= 0 {
		servers[0], servers[i] = servers[i], servers[0]
	}
	for _, id := range servers {
		asked, cancel := context.WithTimeout(ctx, tellTimeout)
		r := n.report()
		r.Activity = n.activity()
		_, err := methodTell.Ask(asked, n.pool.Remote(id), r)
		cancel()
		if err == nil || ctx.Err() != nil {
			return id
		}
	}
	return ""
}

func serversOf(m *placement.Map) (ids []api.NodeID) {
	for _, o := range m.Nodes {
		if o.Role == api.RoleServer {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// askReports asks the nodes of a map for their reports, all at once, within ctx. A report is nil if the node did not answer. Those of
// edges without a port come from the servers among the nodes, which have got them.
func askReports(ctx context.Context, pool *peer.Pool, nodes []placement.Node, q reportQuestion) []*report {
	all := make([]*report, len(nodes))
	var wg sync.WaitGroup
	for i, o := range nodes {
		if portless(o) {
			continue
		}
		wg.Go(func() {
			if r, err := answerOf(ctx, pool.Remote(o.ID), q); err == nil {
				all[i] = r
			}
		})
	}
	wg.Wait()
	told := map[api.NodeID]*report{}
	for i, r := range all {
		if r == nil || nodes[i].Role != api.RoleServer {
			continue
		}
		for j := range r.Told {
			x := &r.Told[j]
			x.at = r.at.Add(-time.Duration(x.Age) * time.Millisecond)
			if have, ok := told[x.Node]; !ok || x.Age < have.Age {
				told[x.Node] = x
			}
		}
	}
	for i, o := range nodes {
		if portless(o) {
			all[i] = told[o.ID]
		}
	}
	return all
}
