package peer

import (
	"context"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// serverEnd is the server's end of a lease stream. Recv and Send belong to one goroutine each. Both end soon after the
// function that was given the end has returned.
type serverEnd interface {
	Recv() (*leaseUp, error)
	Send(e *words.LeaseEvent) error
}

// stream is one lease stream at the server.
type stream struct {
	hello  Hello
	out    chan words.LeaseEvent // what waits to go down; never closed
	ctx    context.Context
	cancel context.CancelFunc
}

// serveLeases serves one stream until it breaks, its process opens a newer one, or the server closes.
func (s *Server) serveLeases(ctx context.Context, end serverEnd) error {
	first, err := end.Recv()
	if err != nil {
		return err
	}
	if first.Hello == nil {
		return api.Errorf(api.CodeInvalid, "a lease stream begins with a hello")
	}
	st, err := s.attach(ctx, *first.Hello)
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

// attach registers a stream, in the place of an older one of the same process, and tells it who leads here. Until detach,
// Close waits.
func (s *Server) attach(ctx context.Context, h Hello) (*stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.streams[h.Nonce]
	switch {
	case s.closed:
		return nil, api.Errorf(api.CodeUnavailable, "the node is shutting down")
	case old == nil && len(s.streams) >= s.cfg.MaxStreams:
		return nil, overload("lease streams")
	case old != nil:
		old.cancel()
	}
	st := &stream{hello: h, out: make(chan words.LeaseEvent, s.cfg.StreamQueue)}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	st.ctx, st.cancel = ctx, func() { stop(); cancel() }
	s.streams[h.Nonce] = st
	for _, l := range s.leads {
		st.offer(words.LeaseEvent{Leads: &l})
	}
	s.wg.Add(1)
	return st, nil
}

// detach takes a stream out of the books.
func (s *Server) detach(st *stream) {
	defer s.wg.Done()
	st.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[st.hello.Nonce] == st {
		delete(s.streams, st.hello.Nonce)
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

// offer queues an event; false where the queue is full.
func (st *stream) offer(e words.LeaseEvent) bool {
	select {
	case st.out <- e:
		return true
	default:
		return false
	}
}

// receive takes what comes up the stream, until it breaks, and waits for the renewals that it began.
func (s *Server) receive(st *stream, end serverEnd) {
	var renewals sync.WaitGroup
	defer renewals.Wait()
	defer st.cancel()
	limit := &room{max: int64(s.cfg.MaxRenewals)}
	for {
		up, err := end.Recv()
		if err != nil || s.take(st, &renewals, limit, up) != nil {
			return
		}
	}
}

// take carries out one message. Its error, a panic that was caught, ends the stream.
func (s *Server) take(st *stream, renewals *sync.WaitGroup, limit *room, up *leaseUp) (err error) {
	defer s.cfg.Faults.Catch("lease stream", &err)
	switch {
	case up.KeepAlive != nil && up.KeepAlive.Nonce == st.hello.Nonce:
		s.keepAlive(st, renewals, limit, up.KeepAlive)
	case up.Ack != nil && up.Ack.Nonce == st.hello.Nonce:
		if g, ok := s.cfg.Groups(up.Ack.Group); ok {
			g.Acked(*up.Ack)
		}
	}
	return nil
}

// keepAlive has all sessions of a keep-alive renewed at once. Each answer goes down as soon as it is there; a group that is
// slow, or not led here, is left out.
func (s *Server) keepAlive(st *stream, renewals *sync.WaitGroup, limit *room, k *words.KeepAlive) {
	for _, x := range k.Sessions {
		g, ok := s.cfg.Groups(x.Group)
		if !ok || !limit.enter() {
			continue
		}
		renewals.Go(func() {
			defer limit.leave()
			ctx, cancel := context.WithTimeout(st.ctx, s.cfg.RenewTimeout)
			defer cancel()
			status, ok := s.renew(ctx, g, k, x)
			if ok && !st.offer(words.LeaseEvent{Statuses: []words.SessionStatus{status}}) {
				s.metrics.dropped(1, "status")
			}
		})
	}
}

// renew answers one session of a keep-alive; false: it gives no answer.
func (s *Server) renew(ctx context.Context, g Group, k *words.KeepAlive, x words.SessionKeepAlive) (status words.SessionStatus, ok bool) {
	var err error
	defer func() { ok = ok && err == nil }()
	defer s.cfg.Faults.Catch("keep-alive", &err)
	return g.KeepAlive(ctx, k, x)
}

// Revoke queues a revocation for the process with that nonce. It never blocks. CodeUnavailable where the process has no
// stream here, or too much waits to go down it: not reachable now.
func (s *Server) Revoke(holder ident.Nonce, node api.NodeID, r words.Revocation) error {
	s.mu.Lock()
	st := s.streams[holder]
	s.mu.Unlock()
	switch {
	case st == nil || st.ctx.Err() != nil:
		return api.Errorf(api.CodeUnavailable, "lease holder %s has no stream to this node", node)
	case !st.offer(words.LeaseEvent{Revoke: &r}):
		s.metrics.dropped(1, "revocation")
		return api.Errorf(api.CodeUnavailable, "lease holder %s does not take its messages", node)
	}
	return nil
}

// Announce tells all holders that this node leads a group, now and when they open a stream. It never blocks; a stream
// whose queue is full is left out.
func (s *Server) Announce(l words.Leads) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Term < s.leads[l.Group].Term {
		return
	}
	s.leads[l.Group] = l
	for _, st := range s.streams {
		if !st.offer(words.LeaseEvent{Leads: &l}) {
			s.metrics.dropped(1, "leads")
		}
	}
}

// holders counts the open streams.
func (s *Server) holders() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}
