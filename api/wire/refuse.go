package wire

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// Under overload nine or more calls are refused for each that is served, and the cost of refusing them reduces what can be
// served. So all refused calls that came in one read of the connection are answered in one message. And after calls of a
// connection were refused, the server pauses before it reads the connection again. What arrives during the pause then costs one
// read and one write.

const (
	// restAfter is how many calls of a connection are refused before it is not read for restFor. That bounds the cost of a
	// client that ignores refusals. Clients that respect them come back much later.
	restAfter = 8
	restFor   = 20 * time.Millisecond
	// mostRefused is how many calls are refused between two pauses if more keep arriving. Otherwise all that has arrived is
	// refused before the pause.
	mostRefused = 2048
)

// refusals are the calls that were refused for the same reason and have not been answered yet.
type refusals struct {
	err   *api.Error   // the reason
	ids   codec.Writer // of the calls, as they are sent: each as the difference to the previous one
	first uint64
	last  uint64
	since int // calls refused since the last pause
}

// add records that a call is refused.
func (r *refusals) add(out *outbox, id uint64, err *api.Error) {
	if r.err != err {
		r.flush(out)
		r.err, r.first = err, id
	} else {
		r.ids.Int(int64(id - r.last))
	}
	r.last = id
	r.since++
}

// flush answers the calls. If there is no room for the answer, the callers wait until their own deadlines.
func (r *refusals) flush(out *outbox) {
	if r.err == nil {
		return
	}
	_, _ = out.tryAdd(kindRefused, r.first, func(w *codec.Writer) {
		codec.PutError(w, r.err)
		w.B = append(w.B, r.ids.B...)
	})
	r.err, r.ids.B = nil, r.ids.B[:0]
}

// readRefused decodes what flush has written: the reason, and the ids of all calls that the message answers.
func readRefused(m *message) (err *api.Error, ids []uint64) {
	err = m.body.Error()
	ids = append(ids, m.id)
	for id := m.id; m.body.Fault() == "" && len(m.body.B) > 0; {
		id += uint64(m.body.Int())
		ids = append(ids, id)
	}
	return err, ids
}

// beforeRead does what is necessary before the connection is read.
func (s *server) beforeRead(in *inbox) {
	s.refused.flush(s.out)
	if n := s.refused.since; n >= restAfter && (!in.more || n >= mostRefused) {
		s.rest()
	}
}

// rest pauses before more is read.
func (s *server) rest() {
	s.refused.since = 0
	t := time.NewTimer(restFor)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}
