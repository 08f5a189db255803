package httpd

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

var (
	watchParams = []string{"prefix", "start", "end", "from", "list", "collapse", "values"}
	eventStream = []string{"text/event-stream"}
)

// errClosing is the cause of the end of a watch whose node closes.
var errClosing = &api.Error{Code: api.CodeUnavailable, Hint: "the node is closing: go on at another node, from the last id", RetryAfter: time.Second}

// getWatch answers GET /v1/watch with a stream of Server-Sent Events. What keeps the watch from beginning is an error as elsewhere;
// what ends it later is an event. The watch is no request in flight once it has begun.
func getWatch(x *exchange) error {
	w, err := x.newWatch()
	if err != nil {
		return err
	}
	ctx, cancel := x.lifeOfStream(errClosing)
	defer cancel(nil)
	if err := w.open(ctx, time.Until(x.Ctx.Until())); err != nil {
		return err
	}
	defer func() { w.close() }() // the stream that it has by then
	defer x.Open()()
	x.W.Header()["Content-Type"] = eventStream
	x.set("X-Accel-Buffering", "no") // else a proxy may keep events back
	x.Reply(http.StatusOK, -1)
	if x.R.Method == http.MethodHead {
		return nil
	}
	x.EndWatch(w.tell(ctx))
	return nil
}

// lifeOfStream returns the context of an answer that goes on. It ends with the request, with the node, whose end has the cause closing,
// and with a timeout if the request names one.
func (x *exchange) lifeOfStream(closing error) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(x.Base)
	stops := []func() bool{context.AfterFunc(x.Closing(), func() { cancel(closing) })}
	if x.query.Has("timeout") {
		stops = append(stops, time.AfterFunc(time.Until(x.Ctx.Until()), func() { cancel(context.DeadlineExceeded) }).Stop)
	}
	return ctx, func(cause error) {
		for _, stop := range stops {
			stop()
		}
		cancel(cause)
	}
}

// watch is one watch of a client. It belongs to one goroutine.
type watch struct {
	x       *exchange
	request api.WatchRequest
	// relist: the client wants a list, and has had one: at a gap it gets another one.
	relist bool
	stream api.WatchStream
	cancel context.CancelFunc // of the stream
	out    eventWriter
}

// newWatch reads what is to be watched. Last-Event-ID is what a browser sends when it connects again; it wins over from.
func (x *exchange) newWatch() (*watch, error) {
	w := &watch{x: x, out: eventWriter{stream: x.NewStream()}}
	r := &w.request
	var err error
	if r.Range, err = x.rangeParams(); err != nil {
		return nil, err
	}
	values := true
	for _, f := range []struct {
		name string
		flag *bool
	}{{"list", &r.List}, {"collapse", &r.Collapse}, {"values", &values}} {
		if *f.flag, err = x.flag(f.name, *f.flag); err != nil {
			return nil, err
		}
	}
	r.KeysOnly, w.out.keysOnly = !values, !values
	if r.From = api.Cursor(x.query.Get("from")); r.From == "" && x.query.Has("from") {
		return nil, api.Errorf(api.CodeInvalid, "from is empty: give the cursor of a list or of a watch, or leave it out to watch from now")
	}
	if id := x.R.Header.Get("Last-Event-ID"); id != "" {
		r.From = api.Cursor(id)
		w.relist, r.List = r.List, false
	}
	return w, r.Check()
}

// rangeParams reads prefix, or start and end; all keys if there is none of them.
func (x *exchange) rangeParams() (api.Range, error) {
	switch byPrefix := x.query.Has("prefix"); {
	case byPrefix && (x.query.Has("start") || x.query.Has("end")):
		return api.Range{}, api.Errorf(api.CodeInvalid, "prefix does not go with start or end")
	case byPrefix:
		return api.PrefixRange(api.Key(x.query.Get("prefix"))), nil
	}
	return api.Range{Start: api.Key(x.query.Get("start")), End: api.Key(x.query.Get("end"))}, nil
}

// open begins the watch, within some time.
func (w *watch) open(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(within, cancel)
	stream, err := w.x.Store.Watch(ctx, &w.request)
	if !late.Stop() && err == nil {
		_ = stream.Close() // it has ended
		err = api.Errorf(api.CodeUnavailable, "the watch did not begin in time")
	}
	if err != nil {
		cancel()
		return err
	}
	w.stream, w.cancel = stream, cancel
	return nil
}

// close ends the stream. It may be called again.
func (w *watch) close() {
	w.cancel()
	_ = w.stream.Close() // a watch that has ended has no more to say
}

// tell writes events until the watch ends, and returns why.
func (w *watch) tell(ctx context.Context) (why string) {
	w.out.begin(w.request.List)
	for {
		b, err := w.stream.Next()
		if err == nil && b.Gap != nil && w.relist {
			err = w.again(ctx)
			b = &api.WatchBatch{Reset: true}
		}
		if err != nil {
			return w.goodbye(ctx, err)
		}
		if err := w.out.batch(&w.x.frames, b); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return "slow"
			}
			return "client"
		}
	}
}

// again begins the watch anew with a list.
func (w *watch) again(ctx context.Context) error {
	w.close()
	w.request.From, w.request.List, w.relist = "", true, false
	return w.open(ctx, api.DefaultTimeout)
}

// goodbye says why the watch ends, to a client that is still there.
func (w *watch) goodbye(ctx context.Context, err error) (why string) {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errClosing):
		why, err = "closing", errClosing
	case errors.Is(cause, context.DeadlineExceeded):
		why, err = "timeout", api.Errorf(api.CodeUnavailable, "the timeout of the watch has passed")
	case cause != nil:
		return "client"
	default:
		why = string(api.CodeOf(err))
	}
	e := door.Explain(err, false)
	if e.Code == api.CodeInternal {
		w.x.Log("a watch failed", "error", err)
	}
	_ = w.out.end(problemOf(e, e.Code.HTTPStatus())) // the client may have gone meanwhile
	return why
}
