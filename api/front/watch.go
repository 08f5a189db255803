package front

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
)

var _ api.Watcher = Caller{}

// Watches reports whether there are watches.
func (b *Backend) Watches() bool { return b.watcher != nil }

// Watch implements api.Watcher. It needs [List] on the whole range, and [Read] too unless only keys are asked for. The rights are
// judged again before each batch is returned, if they may have changed: the stream then ends with the refusal.
//
// An open watch is no request in flight. What it has returned is charged to the principal; if that is over its rate, the next batch waits,
// for [MaxPace] at most.
func (c Caller) Watch(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error) {
	s := &judged{caller: c, request: *r}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if a := c.backend.access; a != nil {
		if err := a.Enter(c.principal, 0); err != nil {
			s.cancel()
			return nil, err
		}
		s.pacer, _ = a.(Pacer)
		s.changes = a.Changes()
		if err := s.allow(); err != nil {
			s.cancel()
			return nil, err
		}
	}
	inner, err := c.backend.watcher.Watch(s.ctx, &s.request)
	if err != nil {
		s.cancel()
		return nil, err
	}
	s.WatchStream = inner
	c.backend.watching.open.Add(1)
	return s, nil
}

// judged is a stream of which each batch is returned only if its caller may see it.
type judged struct {
	api.WatchStream
	caller  Caller
	request api.WatchRequest
	changes uint64 // those of Access before which the rights were judged
	closed  atomic.Bool
	pacer   Pacer           // nil: there are no rates
	ctx     context.Context // of the watch; ends with Close
	cancel  context.CancelFunc
}

// MaxPace bounds how long a watch waits before a batch because its principal is over its rate. A watch that takes nothing for longer ends
// as one that is idle.
const MaxPace = 15 * time.Second

// wait waits until the principal is within its rate, for [MaxPace] at most, or until the watch ends.
func (s *judged) wait() {
	if s.pacer == nil {
		return
	}
	d := min(s.pacer.Pace(s.caller.principal), MaxPace)
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}

// Next implements api.WatchStream.
func (s *judged) Next() (*api.WatchBatch, error) {
	s.wait()
	b, err := s.WatchStream.Next()
	if err == nil {
		err = s.judge()
	}
	if err != nil {
		return nil, err
	}
	n := len(b.Events)
	if a := s.caller.backend.access; a != nil && n > 0 {
		a.Charge(s.caller.principal, eventsSize(b.Events))
	}
	if n > 0 {
		s.caller.backend.watching.events(float64(n))
	}
	return b, nil
}

// judge returns the refusal of a principal that may no longer watch the range; nil if it may.
func (s *judged) judge() error {
	a := s.caller.backend.access
	if a == nil || !guardJudgeAgain {
		return nil
	}
	if err := a.Check(s.caller.principal); err != nil {
		return err
	}
	now := a.Changes() // before the rights are judged, so that a later change is not missed
	if now == s.changes {
		return nil
	}
	if err := s.allow(); err != nil {
		return err
	}
	s.changes = now
	return nil
}

// allow checks the rights of the watch.
func (s *judged) allow() error {
	a, p := s.caller.backend.access, s.caller.principal
	if err := a.AllowRange(p, "watch", List, s.request.Range); err != nil || s.request.KeysOnly {
		return err
	}
	return a.AllowRange(p, "watch", Read, s.request.Range)
}

// Close implements api.WatchStream.
func (s *judged) Close() error {
	s.cancel()
	if !s.closed.Swap(true) {
		s.caller.backend.watching.open.Add(-1)
	}
	return s.WatchStream.Close()
}

// watching is what is measured of watches.
type watching struct {
	open   atomic.Int64
	events func(n float64, values ...string)
	ended  func(n float64, values ...string)
}

// EndWatch counts a watch that a front has ended. why comes from a small fixed set: "client", "closing", "slow", or a code.
func (b *Backend) EndWatch(why string) { b.watching.ended(1, why) }

func (w *watching) register(m observe.Metrics) {
	m.Gauge("edgehold_front_watches", "Watches of clients that are open.", func() float64 { return float64(w.open.Load()) })
	w.events = m.Counter("edgehold_front_watch_events_total", "Events sent to clients, counted for each watch.")
	w.ended = m.Counter("edgehold_front_watches_ended_total", "Watches of clients that have ended, by why.", "why")
}

// eventsSize returns the bytes of keys and values.
func eventsSize(events []api.Event) (n int64) {
	for i := range events {
		n += int64(len(events[i].Key) + len(events[i].Value))
	}
	return n
}
