package door

import (
	"errors"
	"net/http"
	"time"
)

// writeAtOnce is how much of a stream is written within one StreamTimeout.
const writeAtOnce = 32 << 10

// Stream writes an answer that goes on for as long as its client listens. It belongs to one goroutine.
type Stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	http2   bool
}

// NewStream returns the writer of a stream that answers x. The answer has to be begun by [Exchange.Open] and [Exchange.Reply] before
// anything is written.
func (x *Exchange) NewStream() *Stream {
	return &Stream{w: x.W, control: http.NewResponseController(x.W), http2: x.R.ProtoMajor >= 2}
}

// Write writes the parts and sends them. The client has StreamTimeout for each 32 KiB of them. An error means that the client has gone,
// or takes nothing: that is [os.ErrDeadlineExceeded].
func (s *Stream) Write(parts ...[]byte) error {
	for _, p := range parts {
		for len(p) > 0 {
			n := min(len(p), writeAtOnce)
			s.until(time.Now().Add(StreamTimeout))
			if _, err := s.w.Write(p[:n]); err != nil {
				return err
			}
			p = p[n:]
		}
	}
	if err := s.control.Flush(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if s.http2 { // whose deadline would end the stream even if nothing is to be written
		s.until(time.Time{})
	}
	return nil
}

// until bounds the next write. A connection without deadlines is not bounded.
func (s *Stream) until(t time.Time) { _ = s.control.SetWriteDeadline(t) }
