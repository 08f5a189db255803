package wire

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// Under overload nine calls or more are refused for each that is served, and what they cost is taken from that one. So all
// calls that a read of the connection has brought, and that are refused, are answered in one message; and a connection on which calls
// are refused rests before it is read again: what comes meanwhile then costs one read and one write.

const (
	// restAfter calls of a connection that were refused it is not read from for restFor. That bounds what a connection can
	// cost that is refused and does not care, while those that do care come back much later.
	restAfter = 8
	restFor   = 10 * time.Millisecond
	// mostRefused are refused between two rests if the connection brings ever more; else all that has come is.
	mostRefused = 2048
)

// refusals are the calls that were refused for one and the same reason and have not been told so.
type refusals struct {
	err   *api.Error   // the reason
	ids   codec.Writer // of the calls, as they travel: each as the difference to the one before
	first uint64
	last  uint64
	since int // the last rest: calls refused
}

// add notes that a call is refused.
func (r *refusals) add(out *outbox, id uint64, err *api.Error) {
	if r.err != err {
		r.tell(out)
		r.err, r.first = err, id
	} else {
		r.ids.Int(int64(id - r.last))
	}
	r.last = id
	r.since++
}

// tell answers the calls. Where there is no room for that, the callers' own deadlines tell.
func (r *refusals) tell(out *outbox) {
	if r.err == nil {
		return
	}
	_, _ = out.tryAdd(kindRefused, r.first, func(w *codec.Writer) {
		codec.PutError(w, r.err)
		w.B = append(w.B, r.ids.B...)
	})
	r.err, r.ids.B = nil, r.ids.B[:0]
}

// readRefused reads what tell has told: the reason, and the ids of all calls that the message answers.
func readRefused(m *message) (err *api.Error, ids []uint64) {
	err = m.body.Error()
	ids = append(ids, m.id)
	for id := m.id; m.body.Fault() == "" && len(m.body.B) > 0; {
		id += uint64(m.body.Int())
		ids = append(ids, id)
	}
	return err, ids
}

// beforeRead does what must be done before the connection is read.
func (s *server) beforeRead(in *inbox) {
	s.refused.tell(s.out)
	if n := s.refused.since; n >= restAfter && (!in.more || n >= mostRefused) {
		s.rest()
	}
}

// rest waits before more is read.
func (s *server) rest() {
	s.refused.since = 0
	t := time.NewTimer(restFor)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}
