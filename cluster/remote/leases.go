package remote

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// The defaults of a [LeasesConfig].
const (
	DefaultMaxStreams  = 4096
	DefaultStreamQueue = 1024
	DefaultMaxRenewals = 1024
)

// LeasesConfig makes Leases. Groups is required.
type LeasesConfig struct {
	Groups  Groups
	Metrics observe.Metrics // nil: observe.NoMetrics
	Faults  *fault.Catcher  // catches the panics of messages; nil: they are not reported
	// MaxStreams bounds the lease streams.
	MaxStreams int // 0: [DefaultMaxStreams]
	// StreamQueue bounds what waits to go down one lease stream.
	StreamQueue int // 0: [DefaultStreamQueue]
	// MaxRenewals bounds the sessions of one stream that are being renewed; those over it are left out of the answer.
	MaxRenewals int // 0: [DefaultMaxRenewals]
	// RenewTimeout bounds the renewal of one session; an answer later than its term would be of no use.
	RenewTimeout time.Duration // 0: words.DefaultLeaseTerm
}

// Leases serves the lease streams that holders open to this node, and reaches the holders by them. It implements group.Revoker.
// Safe for concurrent use.
type Leases struct {
	cfg     LeasesConfig
	dropped func(n float64, values ...string)
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	streams map[process]*stream // the newest of each process
	leads   map[api.GroupID]words.Leads
	began   time.Time
}

// NewLeases has the server answer lease streams.
func NewLeases(s *peer.Server, cfg LeasesConfig) *Leases {
	cfg.Metrics = cmp.Or[observe.Metrics](cfg.Metrics, observe.NoMetrics{})
	cfg.MaxStreams = cmp.Or(cfg.MaxStreams, DefaultMaxStreams)
	cfg.StreamQueue = cmp.Or(cfg.StreamQueue, DefaultStreamQueue)
	cfg.MaxRenewals = cmp.Or(cfg.MaxRenewals, DefaultMaxRenewals)
	cfg.RenewTimeout = cmp.Or(cfg.RenewTimeout, words.DefaultLeaseTerm)
	l := &Leases{cfg: cfg, streams: map[process]*stream{}, leads: map[api.GroupID]words.Leads{}, began: time.Now()}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.dropped = cfg.Metrics.Counter("edgehold_peer_dropped_total", "Messages that a lease stream had no room for.", "message")
	cfg.Metrics.Gauge("edgehold_peer_streams", "Lease streams open to this node.", func() float64 { return float64(l.holders()) })
	streamLeases.Handle(s, l.serve)
	return l
}

// Close ends all lease streams and waits for them.
func (s *Leases) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
}

// serverEnd is the server's end of a lease stream.
type serverEnd = peer.ServerEnd[leaseUp, words.LeaseEvent]

// process is a process of a node. Another node that knows its nonce is another process.
type process struct {
	node  api.NodeID
	nonce ident.Nonce
}

// stream is one lease stream at the server.
type stream struct {
	of     process
	heard  atomic.Int64          // when the newest message came, in nanoseconds since the streams were made
	out    chan words.LeaseEvent // what waits to go down; never closed
	ctx    context.Context
	cancel context.CancelFunc
}

// serve serves one stream until it breaks, its process opens a newer one, or the server closes.
func (s *Leases) serve(ctx context.Context, end serverEnd) error {
	first, err := end.Recv()
	if err != nil {
		return err
	}
	if first.Hello == nil {
		return api.Errorf(api.CodeInvalid, "a lease stream begins with a hello")
	}
	caller := peer.CallerFrom(ctx).Node
	if first.Hello.Node != caller {
		return api.Errorf(api.CodeDenied, "node %s opens a lease stream for node %s", caller, first.Hello.Node)
	}
	st, err := s.attach(ctx, process{caller, first.Hello.Nonce})
	if err != nil {
		return err
	}
	// Neither is awaited here: what they are blocked in ends only when this returns. Close waits for them.
	s.wg.Go(func() { s.receive(st, end) })
	s.wg.Go(func() { st.send(end) })
	<-st.ctx.Done()
	s.detach(st)
	return api.Errorf(api.CodeUnavailable, "the lease stream is over")
}

// attach registers a stream, in the place of an older one of the same process, and queues which groups are led here. Close waits
// until detach.
func (s *Leases) attach(ctx context.Context, of process) (*stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.streams[of]
	switch {
	case s.closed:
		return nil, api.Errorf(api.CodeUnavailable, "the node is shutting down")
	case old == nil && len(s.streams) >= s.cfg.MaxStreams:
		return nil, &api.Error{Code: api.CodeUnavailable, Hint: "this node is at its limit of lease streams", RetryAfter: 100 * time.Millisecond}
	case old != nil:
		old.cancel()
	}
	st := &stream{of: of, out: make(chan words.LeaseEvent, s.cfg.StreamQueue)}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	st.heard.Store(int64(time.Since(s.began)))
	st.ctx, st.cancel = ctx, func() { stop(); cancel() }
	s.streams[of] = st
	for _, l := range s.leads {
		st.offer(words.LeaseEvent{Leads: &l})
	}
	s.wg.Add(1)
	return st, nil
}

// detach removes a stream.
func (s *Leases) detach(st *stream) {
	defer s.wg.Done()
	st.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[st.of] == st {
		delete(s.streams, st.of)
	}
}

// send sends what waits to go down, until the stream breaks.
func (st *stream) send(end serverEnd) {
	defer st.cancel()
	for {
		select {
		case e := <-st.out:
			if end.Send(&e) != nil {
				return
			}
		case <-st.ctx.Done():
			return
		}
	}
}

// offer queues an event; false if the queue is full.
func (st *stream) offer(e words.LeaseEvent) bool {
	select {
	case st.out <- e:
		return true
	default:
		return false
	}
}

// receive takes what comes up the stream, until it breaks, and waits for the renewals that it began.
func (s *Leases) receive(st *stream, end serverEnd) {
	var renewals sync.WaitGroup
	defer renewals.Wait()
	defer st.cancel()
	limit := make(chan struct{}, s.cfg.MaxRenewals)
	for {
		up, err := end.Recv()
		if err != nil || s.take(st, &renewals, limit, up) != nil {
			return
		}
	}
}

// take carries out one message. Its error, a panic that was caught, ends the stream.
func (s *Leases) take(st *stream, renewals *sync.WaitGroup, limit chan struct{}, up *leaseUp) (err error) {
	defer s.cfg.Faults.Catch("lease stream", &err)
	st.heard.Store(int64(time.Since(s.began)))
	switch {
	case up.KeepAlive != nil && up.KeepAlive.Nonce == st.of.nonce:
		up.KeepAlive.Node = st.of.node
		s.keepAlive(st, renewals, limit, up.KeepAlive)
	case up.Ack != nil && up.Ack.Nonce == st.of.nonce:
		up.Ack.Node = st.of.node
		if g, ok := s.cfg.Groups(up.Ack.Group); ok {
			g.Acked(*up.Ack)
		}
	}
	return nil
}

// keepAlive has all sessions of a keep-alive renewed at once. Each answer goes down as soon as it is there; a group that is
// slow, or not led here, is left out.
func (s *Leases) keepAlive(st *stream, renewals *sync.WaitGroup, limit chan struct{}, k *words.KeepAlive) {
	for _, x := range k.Sessions {
		g, ok := s.cfg.Groups(x.Group)
		if !ok {
			continue
		}
		select {
		case limit <- struct{}{}:
		default:
			continue
		}
		renewals.Go(func() {
			defer func() { <-limit }()
			ctx, cancel := context.WithTimeout(st.ctx, s.cfg.RenewTimeout)
			defer cancel()
			status, ok := s.renew(ctx, g, k, x)
			if ok && !st.offer(words.LeaseEvent{Statuses: []words.SessionStatus{status}}) {
				s.dropped(1, "status")
			}
		})
	}
}

// renew answers one session of a keep-alive; false: it gives no answer.
func (s *Leases) renew(ctx context.Context, g Group, k *words.KeepAlive, x words.SessionKeepAlive) (status words.SessionStatus, ok bool) {
	var err error
	defer func() { ok = ok && err == nil }()
	defer s.cfg.Faults.Catch("keep-alive", &err)
	return g.KeepAlive(ctx, k, x)
}

// Revoke queues a revocation for the node's process with that nonce. It never blocks. CodeUnavailable if the process has no stream here,
// or the queue of that is full.
func (s *Leases) Revoke(holder ident.Nonce, node api.NodeID, r words.Revocation) error {
	s.mu.Lock()
	st := s.streams[process{node, holder}]
	s.mu.Unlock()
	switch {
	case st == nil || st.ctx.Err() != nil:
		return api.Errorf(api.CodeUnavailable, "lease holder %s has no stream to this node", node)
	case !st.offer(words.LeaseEvent{Revoke: &r}):
		s.dropped(1, "revocation")
		return api.Errorf(api.CodeUnavailable, "lease holder %s does not take its messages", node)
	}
	return nil
}

// Announce sends to all holders, now and when they open a stream, that this node leads a group. It never blocks; a stream whose
// queue is full is left out.
func (s *Leases) Announce(l words.Leads) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Term < s.leads[l.Group].Term {
		return
	}
	s.leads[l.Group] = l
	for _, st := range s.streams {
		if !st.offer(words.LeaseEvent{Leads: &l}) {
			s.dropped(1, "leads")
		}
	}
}

// Heard returns how long ago each node that has a stream open was heard.
func (s *Leases) Heard() map[api.NodeID]time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, all := time.Since(s.began), map[api.NodeID]time.Duration{}
	for _, st := range s.streams {
		ago := now - time.Duration(st.heard.Load())
		if have, ok := all[st.of.node]; !ok || ago < have {
			all[st.of.node] = ago
		}
	}
	return all
}

// holders counts the open streams.
func (s *Leases) holders() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}
