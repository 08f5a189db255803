package router

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// backend is two regions, a of two groups and b of one, with three servers each. Every group is a Memory behind its
// leader.
type backend struct {
	mu        sync.Mutex
	now       *placement.Map
	leaders   map[api.GroupID]api.NodeID // "" is none
	stores    map[api.GroupID]*storetest.Memory
	asked     []string // "node op group"
	refreshes int
	// before, if set, may answer in the node's place: with an error, or done after the request was carried out.
	before func(ctx context.Context, node api.NodeID, op string, g api.GroupID) error
	// after, if set, changes what the node answered.
	after func(ctx context.Context, node api.NodeID, op string, g api.GroupID, err error) error
	// refresh, if set, is what Refresh does.
	refresh func() error
	// participant answers the messages of transactions, at every node.
	participant remote.Participant
	// replicas is the age with which replicas answer bounded and stale reads. If 0, they answer none.
	replicas time.Duration
	feed     func(ctx context.Context, node api.NodeID, r *words.FeedRequest) (words.Feed, error)
	lists    map[api.GroupID]uint64 // how many lists the groups have answered
}

func newBackend(t testing.TB) *backend {
	t.Helper()
	var nodes []placement.Node
	for _, r := range []api.RegionID{"a", "b"} {
		for i := range 3 {
			nodes = append(nodes, placement.Node{ID: api.NodeID(fmt.Sprint(r, i)), Region: r, Role: api.RoleServer})
		}
	}
	m, err := placement.Static("c", nodes, 2, 3, "b")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{now: m, leaders: map[api.GroupID]api.NodeID{}, stores: map[api.GroupID]*storetest.Memory{}}
	for _, g := range m.Groups {
		b.leaders[g.ID] = g.Voters[1]
		b.stores[g.ID] = storetest.NewMemory()
	}
	return b
}

func (b *backend) placement() *placement.Map {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *backend) doRefresh(context.Context) error {
	b.mu.Lock()
	b.refreshes++
	f := b.refresh
	b.mu.Unlock()
	if f != nil {
		return f()
	}
	return nil
}

// enter counts a call and returns the error that keeps the node from answering it.
func (b *backend) enter(ctx context.Context, node api.NodeID, op string, g api.GroupID) error {
	b.mu.Lock()
	b.asked = append(b.asked, fmt.Sprint(node, " ", op, " ", g))
	before, leader := b.before, b.leaders[g]
	b.mu.Unlock()
	if before != nil {
		if err := before(ctx, node, op, g); err != nil {
			return err
		}
	}
	if leader != node {
		return &api.Error{Code: api.CodeNotLeader, Leader: leader}
	}
	return nil
}

func (b *backend) leave(ctx context.Context, node api.NodeID, op string, g api.GroupID, err error) error {
	b.mu.Lock()
	after := b.after
	b.mu.Unlock()
	if after != nil {
		return after(ctx, node, op, g, err)
	}
	return err
}

// owns refuses keys that are not the group's.
func (b *backend) owns(g api.GroupID, keys ...api.Key) error {
	m := b.placement()
	for _, k := range keys {
		if owner, _, _ := m.Locate(k); owner != g {
			return api.Errorf(api.CodeWrongGroup, "%q belongs to %s", k, owner)
		}
	}
	return nil
}

func (b *backend) calls() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

// fakeNode is one node of the backend.
type fakeNode struct {
	*backend
	remote.Participant
	id api.NodeID
}

// replica reports whether the node, which does not answer as the leader, answers as a replica.
func (n fakeNode) replica(err error, level api.Consistency) bool {
	return api.CodeOf(err) == api.CodeNotLeader && n.replicas > 0 && (level == api.Bounded || level == api.Stale)
}

func (n fakeNode) Read(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	err := n.enter(ctx, n.id, "read", q.Group)
	stale := n.replica(err, q.Consistency)
	if err != nil && !stale {
		return err
	}
	if err := n.owns(q.Group, q.Keys...); err != nil {
		return err
	}
	err = n.stores[q.Group].Read(ctx, &q.ReadRequest, &out.ReadResult)
	out.Leases = nil
	if out.Group = q.Group; stale {
		out.ServedBy, out.Age = api.ServedByStale, n.replicas
	}
	return n.leave(ctx, n.id, "read", q.Group, err)
}

func (n fakeNode) Do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	if err := n.enter(ctx, n.id, "txn", t.Group); err != nil {
		return nil, err
	}
	if err := n.owns(t.Group, t.Keys()...); err != nil {
		return nil, err
	}
	res, err := n.stores[t.Group].Do(ctx, &t.Txn)
	return res, n.leave(ctx, n.id, "txn", t.Group, err)
}

func (n fakeNode) List(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	err := n.enter(ctx, n.id, "list", q.Group)
	stale := n.replica(err, q.Consistency)
	if err != nil && !stale {
		return nil, err
	}
	for _, s := range n.placement().Spans(q.Range) {
		if !slices.Contains(s.Groups, q.Group) {
			return nil, api.Errorf(api.CodeWrongGroup, "%v is not all of %s", q.Range, q.Group)
		}
	}
	page, err := n.stores[q.Group].List(ctx, &q.ListRequest)
	if err != nil {
		return nil, n.leave(ctx, n.id, "list", q.Group, err)
	}
	res := &words.ListResult{ListResult: *page}
	if stale {
		res.Stale, res.Age = true, n.replicas
	} else {
		res.At = n.listedAt(q, page)
	}
	return res, n.leave(ctx, n.id, "list", q.Group, err)
}

// listedAt is the position of a page: each list of a group is at the next one.
func (b *backend) listedAt(q *words.ListRequest, page *api.ListResult) []words.Listed {
	covers := q.Range
	if page.More && q.Reverse {
		covers.Start = page.Entries[len(page.Entries)-1].Key
	} else if page.More {
		covers.End = page.Entries[len(page.Entries)-1].Key + "\x00"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lists == nil {
		b.lists = map[api.GroupID]uint64{}
	}
	b.lists[q.Group]++
	return []words.Listed{{Piece: words.Piece{Range: covers, Group: q.Group}, At: words.Position{Index: b.lists[q.Group]}}}
}

func (n fakeNode) OpenSession(ctx context.Context, o words.OpenSession) (words.SessionGrant, error) {
	return words.SessionGrant{Session: ident.SessionID{Incarnation: 1, Index: 2}}, n.enter(ctx, n.id, "open", o.Group)
}

func (n fakeNode) CloseSession(ctx context.Context, g api.GroupID, _ ident.SessionID, _ ident.Nonce) error {
	return n.enter(ctx, n.id, "close", g)
}

func (n fakeNode) Release(ctx context.Context, g api.GroupID, _ []ident.DroppedLease) error {
	return n.enter(ctx, n.id, "release", g)
}

func (n fakeNode) Feed(ctx context.Context, r *words.FeedRequest) (words.Feed, error) {
	if err := n.enter(ctx, n.id, "feed", r.Group); err != nil {
		return nil, err
	}
	return n.feed(ctx, n.id, r)
}

// router returns a router of node a0 over the backend.
func (b *backend) router(t testing.TB, change ...func(*Config)) *Router {
	t.Helper()
	cfg := Config{
		Self: "a0", Region: "a", Map: b.placement, Refresh: b.doRefresh,
		Remote: func(node api.NodeID) Target { return fakeNode{backend: b, Participant: b.participant, id: node} },
		Rand:   func() float64 { return 0.5 },
	}
	for _, f := range change {
		f(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keysOf returns a key of each of a's two groups, and one of b's first.
func keysOf(t testing.TB, b *backend) (one, two, far api.Key) {
	t.Helper()
	for i := 0; one == "" || two == "" || far == ""; i++ {
		for _, k := range []api.Key{api.Key(fmt.Sprintf("x/%d/k", i)), api.Key(fmt.Sprintf("b/%d/k", i))} {
			switch g, _, _ := b.now.Locate(k); g {
			case "a.1":
				one = k
			case "a.2":
				two = k
			case "b.1":
				far = k
			}
		}
	}
	return one, two, far
}

func put(k api.Key, v string, id ...api.RequestID) *words.Txn {
	t := &words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte(v)}}}}
	if len(id) > 0 {
		t.ID = id[0]
	}
	return t
}

func TestStoretest(t *testing.T) {
	b := newBackend(t)
	r := b.router(t)
	storetest.RunLister(t, func(*testing.T) storetest.ListStore { return words.Plain{Store: r, Lister: r} }, storetest.Options{Together: true})
	storetest.RunLister(t, func(*testing.T) storetest.ListStore { return words.Plain{Store: r, Lister: r} }, storetest.Options{Prefix: "b/", Together: true})
}
