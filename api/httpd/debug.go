package httpd

import (
	"context"
	"net/http"
	"time"

	"github.com/edgehold/edgehold/api/door"
)

// debugTimeout bounds how long a node works on a debug bundle.
const debugTimeout = time.Minute

var gzipType = []string{"application/gzip"}

func debugs(h *handler) bool { return h.Debugs() }

// getDebug answers with what the node says of itself, for a debug bundle. It is answered under overload too, which it may explain. An
// error after the beginning cuts the answer off, in the middle of the gzip.
func getDebug(x *exchange) error {
	ctx, cancel := context.WithTimeout(x.R.Context(), debugTimeout)
	defer cancel()
	w := &debugWriter{x: x}
	if err := x.Store.WriteDebug(ctx, w); err != nil {
		if w.stream == nil {
			return err
		}
		x.Log("a debug bundle was cut off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// debugWriter begins the answer with the first byte.
type debugWriter struct {
	x      *exchange
	stream *door.Stream
}

func (w *debugWriter) Write(b []byte) (int, error) {
	if w.stream == nil {
		w.stream = w.x.NewStream()
		w.x.W.Header()["Content-Type"] = gzipType
		w.x.Reply(http.StatusOK, -1)
	}
	if w.x.R.Method == http.MethodHead {
		return len(b), nil
	}
	if err := w.stream.Write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}
