package leasecache

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// fakeStore, fakeLessor and fakeStream are what the cache calls, as structs of functions.
type fakeStore struct {
	read func(context.Context, *words.ReadRequest) (*words.ReadResult, error)
	do   func(context.Context, *words.Txn) (*api.TxnResult, error)
	list func(context.Context, *words.ListRequest) (*words.ListResult, error)
}

func (f *fakeStore) Read(ctx context.Context, r *words.ReadRequest, out *words.ReadResult) error {
	res, err := f.read(ctx, r)
	if err == nil {
		*out = *res
	}
	return err
}
func (f *fakeStore) Do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	return f.do(ctx, t)
}
func (f *fakeStore) List(ctx context.Context, r *words.ListRequest) (*words.ListResult, error) {
	return f.list(ctx, r)
}

type fakeLessor struct {
	open    func(context.Context, words.OpenSession) (words.SessionGrant, error)
	close   func(context.Context, api.GroupID, ident.SessionID, ident.Nonce) error
	release func(context.Context, api.GroupID, []ident.DroppedLease) error
}

func (f *fakeLessor) OpenSession(ctx context.Context, o words.OpenSession) (words.SessionGrant, error) {
	return f.open(ctx, o)
}
func (f *fakeLessor) CloseSession(ctx context.Context, g api.GroupID, s ident.SessionID, n ident.Nonce) error {
	return f.close(ctx, g, s, n)
}
func (f *fakeLessor) Release(ctx context.Context, g api.GroupID, ds []ident.DroppedLease) error {
	return f.release(ctx, g, ds)
}

type fakeStream struct {
	keepAlive func(*words.KeepAlive) error
	ack       func(*words.RevokeAck) error
	ctx       context.Context
	cut       context.CancelFunc
	down      chan words.LeaseEvent
	node      api.NodeID
}

func (f *fakeStream) SendKeepAlive(k *words.KeepAlive) error {
	if f.ctx.Err() != nil {
		return f.ctx.Err()
	}
	return f.keepAlive(k)
}
func (f *fakeStream) SendAck(a *words.RevokeAck) error {
	if f.ctx.Err() != nil {
		return f.ctx.Err()
	}
	return f.ack(a)
}
func (f *fakeStream) Recv() (words.LeaseEvent, error) {
	select {
	case ev := <-f.down:
		return ev, nil
	case <-f.ctx.Done():
		return words.LeaseEvent{}, f.ctx.Err()
	}
}
func (f *fakeStream) Close() error { f.cut(); return nil }

// simClock is a node's pair of clocks over the bubble's time: true time, which may be made to drift, jump and stop.
type simClock struct {
	mu        sync.Mutex
	at        time.Time // when now was right
	now       words.ClockSample
	boot, raw float64 // rates
	onNow     func()  // called by Now before it reads the clock
}

func newSimClock() *simClock {
	return &simClock{at: time.Now(), boot: 1, raw: 1, now: words.ClockSample{Boottime: time.Hour, Raw: time.Minute}}
}

func (c *simClock) Now() words.ClockSample {
	c.mu.Lock()
	hook := c.onNow
	c.mu.Unlock()
	if hook != nil {
		hook()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settle()
}

func (c *simClock) settle() words.ClockSample {
	d := time.Since(c.at)
	c.at = c.at.Add(d)
	c.now.Boottime += time.Duration(float64(d) * c.boot)
	c.now.Raw += time.Duration(float64(d) * c.raw)
	return c.now
}

// rates makes the clocks run at these rates of true time from now on. 0 stops a clock.
func (c *simClock) rates(boot, raw float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	c.boot, c.raw = boot, raw
}

// jump moves the clocks, as seen by the holder, without time passing.
func (c *simClock) jump(boot, raw time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	c.now.Boottime += boot
	c.now.Raw += raw
}

func (c *simClock) hook(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onNow = f
}

// rig is a cache in front of fake groups, which work correctly unless a test replaces a function. A key belongs to the
// group named by its first segment.
type rig struct {
	*Cache
	t      *testing.T
	clock  *simClock
	store  fakeStore
	lessor fakeLessor

	epochs   words.DedupEpochs // that leaders have sent
	mu       sync.Mutex
	peers    []PeerGroups
	values   map[api.Key]api.Entry
	index    uint64 // of all groups
	sid      map[api.GroupID]ident.SessionID
	reads    []*words.ReadRequest
	txns     []*words.Txn
	opened   []words.OpenSession
	closed   []ident.SessionID
	released []ident.DroppedLease
	alive    []*words.KeepAlive
	acks     []*words.RevokeAck
	streams  map[api.NodeID]*fakeStream
	dials    int
	grant    func(api.Key) bool // nil: all
	// answer answers a keep-alive. The sender calls it.
	answer func(*fakeStream, *words.KeepAlive)
	led    []words.Leads

	deadlines map[api.Key]uint64 // in the time of all groups
	now       func() uint64      // that time; nil: they keep none
}

const (
	term = 4 * time.Second
	beat = time.Second
)

var testNonce = ident.Nonce{1, 2, 3}

// newRig returns a rig whose cache is not started yet.
func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{
		t:       t,
		clock:   newSimClock(),
		values:  map[api.Key]api.Entry{},
		sid:     map[api.GroupID]ident.SessionID{},
		streams: map[api.NodeID]*fakeStream{},
		peers:   []PeerGroups{{Node: "n1", Groups: []api.GroupID{"a"}}},
	}
	r.store = fakeStore{read: r.ownerRead, do: r.ownerDo}
	r.lessor = fakeLessor{open: r.ownerOpen, close: r.ownerClose, release: r.ownerRelease}
	r.answer = r.extendAll
	rng := rand.New(rand.NewPCG(1, 2))
	var rngMu sync.Mutex
	cfg := Config{
		Store:  (*storeOf)(r),
		Lister: (*storeOf)(r),
		Lessor: (*lessorOf)(r),
		Locate: func(k api.Key) (api.GroupID, bool) {
			g, _, ok := strings.Cut(string(k), "/")
			return api.GroupID(g), ok
		},
		Peers:   func() []PeerGroups { r.mu.Lock(); defer r.mu.Unlock(); return slices.Clone(r.peers) },
		Open:    r.open,
		OnEpoch: r.epochs.Heard,
		OnLeads: func(l words.Leads) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.led = append(r.led, l)
		},
		Node: "edge", Nonce: testNonce, Clock: r.clock,
		Rand: func() float64 { rngMu.Lock(); defer rngMu.Unlock(); return rng.Float64() },
		Term: term, KeepAlive: beat,
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if r.Cache, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

// bubble runs a test of a started cache in virtual time, and closes the cache. No goroutine may be left then.
func bubble(t *testing.T, test func(*testing.T, *rig), change ...func(*Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, change...)
		r.Start()
		synctest.Wait()
		defer r.Close() // also if the test fails, so that it does not report goroutines that are left
		test(t, r)
	})
}

// storeOf and lessorOf let a test replace the rig's functions while the cache uses them.
type (
	storeOf  rig
	lessorOf rig
)

func (s *storeOf) fns() fakeStore { s.mu.Lock(); defer s.mu.Unlock(); return s.store }
func (s *storeOf) Read(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	f := s.fns()
	return f.Read(ctx, q, out)
}
func (s *storeOf) Do(ctx context.Context, q *words.Txn) (*api.TxnResult, error) {
	f := s.fns()
	return f.Do(ctx, q)
}
func (s *storeOf) List(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	f := s.fns()
	return f.List(ctx, q)
}

func (s *lessorOf) fns() fakeLessor { s.mu.Lock(); defer s.mu.Unlock(); return s.lessor }
func (s *lessorOf) OpenSession(ctx context.Context, o words.OpenSession) (words.SessionGrant, error) {
	f := s.fns()
	return f.OpenSession(ctx, o)
}
func (s *lessorOf) CloseSession(ctx context.Context, g api.GroupID, sid ident.SessionID, n ident.Nonce) error {
	f := s.fns()
	return f.CloseSession(ctx, g, sid, n)
}
func (s *lessorOf) Release(ctx context.Context, g api.GroupID, ds []ident.DroppedLease) error {
	f := s.fns()
	return f.Release(ctx, g, ds)
}

// change replaces something of the rig while the cache runs.
func (r *rig) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *rig) ownerRead(_ context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads = append(r.reads, q)
	res := &words.ReadResult{ReadResult: api.ReadResult{Snapshot: true}}
	for i, k := range q.Keys {
		e := r.values[k]
		e.Key = k
		g, _, _ := strings.Cut(string(k), "/")
		if i == 0 || res.Group == api.GroupID(g) {
			res.Group = api.GroupID(g)
		} else {
			res.Group, res.Snapshot = "", false
		}
		if !q.Session.IsZero() && q.Session == r.sid[q.Group] && (r.grant == nil || r.grant(k)) {
			r.index++
			res.Leases = append(res.Leases, ident.LeaseID(r.index))
		} else {
			res.Leases = append(res.Leases, 0)
		}
		if len(q.Known) != 0 && e.Exists && q.Known[i] == e.Version {
			e.Value, e.Unchanged = nil, true
		}
		res.Entries = append(res.Entries, e)
		if len(r.deadlines) > 0 {
			res.Deadlines = append(res.Deadlines, r.deadlines[k])
		}
	}
	return res, nil
}

func (r *rig) ownerDo(_ context.Context, t *words.Txn) (*api.TxnResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.txns = append(r.txns, t)
	r.index++
	res := &api.TxnResult{Committed: true, Version: api.Version{Epoch: 1, Index: r.index}}
	for _, o := range t.Then {
		r.values[o.Key] = api.Entry{Key: o.Key, Value: o.Value, Version: res.Version, Exists: o.Kind == api.OpPut}
		res.Entries = append(res.Entries, api.Entry{Key: o.Key, Version: res.Version, Exists: true})
	}
	return res, nil
}

func (r *rig) ownerOpen(_ context.Context, o words.OpenSession) (words.SessionGrant, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened = append(r.opened, o)
	r.index++
	r.sid[o.Group] = ident.SessionID{Incarnation: 1, Index: r.index}
	return words.SessionGrant{Session: r.sid[o.Group], Now: r.timeLocked()}, nil
}

// timeLocked returns the time of all groups.
func (r *rig) timeLocked() uint64 {
	if r.now == nil {
		return 0
	}
	return r.now()
}

func (r *rig) ownerClose(_ context.Context, _ api.GroupID, s ident.SessionID, _ ident.Nonce) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = append(r.closed, s)
	return nil
}

func (r *rig) ownerRelease(_ context.Context, _ api.GroupID, ds []ident.DroppedLease) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.released = append(r.released, ds...)
	for _, d := range ds { // from now on the owner lets the key be written
		if h, ok := r.AuditKey(d.Key); ok && h.Servable && h.Session == d.Session && h.Lease <= d.Lease {
			r.t.Errorf("lease %d on %q is released while lease %d is served", d.Lease, d.Key, h.Lease)
		}
	}
	return nil
}

func (r *rig) open(ctx context.Context, node api.NodeID) (words.LeaseStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &fakeStream{ctx: ctx, cut: cancel, node: node, down: make(chan words.LeaseEvent, 1000)}
	f.keepAlive = func(k *words.KeepAlive) error {
		r.mu.Lock()
		r.alive = append(r.alive, k)
		answer := r.answer
		r.mu.Unlock()
		answer(f, k)
		return nil
	}
	f.ack = func(a *words.RevokeAck) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.acks = append(r.acks, a)
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dials++
	r.streams[node] = f
	return f, nil
}

// extendAll answers as a leader that is well: it extends all sessions.
func (r *rig) extendAll(f *fakeStream, k *words.KeepAlive) {
	var ss []words.SessionStatus
	r.mu.Lock()
	for _, s := range k.Sessions {
		good := r.sid[s.Group] == s.Session
		ss = append(ss, words.SessionStatus{Group: s.Group, Session: s.Session, Seq: k.Seq, Extended: good, Dead: !good, Now: r.timeLocked()})
	}
	r.mu.Unlock()
	f.down <- words.LeaseEvent{Statuses: ss}
}

func silent(*fakeStream, *words.KeepAlive) {}

// put sets a value at the owner without any revocation. It returns the version.
func (r *rig) put(k api.Key, v string) api.Version {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index++
	ver := api.Version{Epoch: 1, Index: r.index}
	r.values[k] = api.Entry{Key: k, Value: []byte(v), Version: ver, Exists: true}
	return ver
}

// get reads one key.
func (r *rig) get(k api.Key) (string, api.ServedBy) {
	r.t.Helper()
	res, err := storetest.Read(r.t.Context(), r, &api.ReadRequest{Keys: []api.Key{k}})
	if err != nil {
		r.t.Fatalf("read %q: %v", k, err)
	}
	return string(res.Entries[0].Value), res.ServedBy
}

// lease reads keys until they are leased here.
func (r *rig) lease(keys ...api.Key) {
	r.t.Helper()
	for _, k := range keys {
		for range 3 {
			r.get(k)
		}
		if h, ok := r.AuditKey(k); !ok || !h.Servable {
			r.t.Fatalf("%q is not leased after three reads: %+v %v", k, h, ok)
		}
	}
}

// servable reports whether a linearizable read of k would be served here.
func (r *rig) servable(k api.Key) bool {
	h, ok := r.AuditKey(k)
	return ok && h.Servable
}

func (r *rig) leaseOf(k api.Key) ident.LeaseID {
	r.t.Helper()
	h, ok := r.AuditKey(k)
	if !ok {
		r.t.Fatalf("%q is not cached", k)
	}
	return h.Lease
}

// session returns the current session at the owner of the group.
func (r *rig) session(g api.GroupID) ident.SessionID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sid[g]
}

// revoke sends a revocation on the stream and waits until it was handled.
func (r *rig) revoke(leases ...words.RevokedLease) {
	r.mu.Lock()
	f, sid := r.streams["n1"], r.sid["a"]
	r.mu.Unlock()
	f.down <- words.LeaseEvent{Revoke: &words.Revocation{Group: "a", Session: sid, Leases: leases}}
	synctest.Wait()
}

func (r *rig) readsSoFar() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.reads)
}
