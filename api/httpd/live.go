package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

// errLiveClosing is the cause of the end of a live stream whose node closes.
var errLiveClosing = &api.Error{Code: api.CodeUnavailable, Hint: "the node is closing: ask another one", RetryAfter: time.Second}

// liveBody is an event of GET /v1/cluster/live: what GET /v1/cluster says, and what happens.
type liveBody struct {
	statusBody
	Live *api.Live `json:"live"`
	// Dev: the node answers GET /v1/dev.
	Dev bool `json:"dev,omitempty"`
}

// getLive answers GET /v1/cluster/live with a stream of Server-Sent Events. What keeps it from beginning is an error as elsewhere; what
// ends it later is an event. It is no request in flight once it has begun.
func getLive(x *exchange) error {
	ctx, cancel := x.lifeOfStream(errLiveClosing)
	defer cancel(nil)
	t := &liveTeller{x: x, over: func() {}}
	err := x.Store.Live(ctx, t.tell)
	defer t.over()
	if t.stream == nil {
		return err // it has not begun
	}
	t.goodbye(ctx, err)
	return nil
}

// liveTeller writes the events of one client. It belongs to one goroutine.
type liveTeller struct {
	x      *exchange
	stream *door.Stream // nil before the first event
	over   func()
}

// errGone says that the client has gone, or takes nothing.
var errGone = errors.New("the client has gone")

// tell writes an event.
func (t *liveTeller) tell(l *api.Live) error {
	text, err := t.x.liveText.of(l, t.x.HasDev())
	if err != nil {
		return err
	}
	first := t.stream == nil
	if first {
		t.begin()
	}
	if t.x.R.Method == http.MethodHead {
		return errGone // it has had what it wants
	}
	parts := [][]byte{text}
	if first {
		parts = [][]byte{[]byte(retryField()), text}
	}
	if err := t.stream.Write(parts...); err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}

func (t *liveTeller) begin() {
	t.over = t.x.Open()
	t.x.W.Header()["Content-Type"] = eventStream
	t.x.set("X-Accel-Buffering", "no") // else a proxy may keep events back
	t.x.Reply(http.StatusOK, -1)
	t.stream = t.x.NewStream()
}

// goodbye says why the stream ends, to a client that is still there.
func (t *liveTeller) goodbye(ctx context.Context, err error) {
	if err == nil || errors.Is(err, errGone) {
		return
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errLiveClosing):
		err = errLiveClosing
	case errors.Is(cause, context.DeadlineExceeded):
		err = api.Errorf(api.CodeUnavailable, "the timeout of the stream has passed")
	case cause != nil:
		return
	}
	e := door.Explain(err, false)
	out := eventWriter{stream: t.stream}
	_ = out.end(problemOf(e, e.Code.HTTPStatus())) // the client may have gone meanwhile
}

// liveTexts has the newest event as text, so that what many watch is rendered once. It is safe for concurrent use, and its zero value
// works.
type liveTexts struct {
	mu   sync.Mutex
	last *api.Live // guarded by mu
	text []byte    // guarded by mu: of last
}

// of returns the event as text, which must not be changed.
func (t *liveTexts) of(l *api.Live, dev bool) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == l {
		return t.text, nil
	}
	body, err := json.Marshal(liveBody{bodyOf(l.Status), l, dev})
	if err != nil {
		return nil, &api.Error{Code: api.CodeInternal, Err: err}
	}
	text := append(append([]byte("event: live\ndata: "), body...), "\n\n"...)
	t.last, t.text = l, text
	return text, nil
}
