package door_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/api/observe/trace/tracetest"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestSpans: a request with a sampled traceparent is a span below that, which ends once however the request ends: answered, refused, by a
// panic of what serves it, by one of what answers with its error, and by one before anything is known of it. It has no key.
func TestSpans(t *testing.T) {
	const parent = "b7ad6b7169203331"
	for name, c := range map[string]struct {
		path, at string // at which it panics
		status   string
		failed   string
	}{
		"answered":                             {"/secret", "", "200", ""},
		"too large":                            {"/secret-too-large", "", "413", ""},
		"it panics":                            {"/secret", "serve", "500", "500"},
		"it panics after the answer has begun": {"/secret", "reply", "200", "internal"},
		"the answer to its error panics":       {"/secret", "serve and fail", "200", "panic"},
	} {
		r := &tracetest.Recorder{}
		f := echo(func(x *door.Exchange) error {
			if x.R.URL.Path == "/secret-too-large" {
				_, err := x.Body(1, "value")
				return err
			}
			if c.at == "reply" {
				x.Reply(http.StatusOK, -1)
			}
			if c.at != "" {
				panic("secret")
			}
			x.Reply(http.StatusOK, 0)
			return nil
		})
		route := "key"
		if c.at == "serve and fail" {
			f.Fail, route = nil, "none" // so that it panics
		}
		h := door.Handler(front.New(front.Config{
			Store: storetest.NewMemory(), Tracer: trace.New(r, 0), Faults: fault.NewCatcher(observe.NoMetrics{}, func(string, ...any) {}),
		}), f)
		func() {
			defer func() { _ = recover() }()
			ask(h, "PUT", c.path, "value", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-"+parent+"-01")
		}()
		all := r.Spans()
		if len(all) != 1 || all[0].Ends != 1 || all[0].Parent.SpanID().String() != parent || all[0].Name != "PUT "+route ||
			all[0].Attribute(trace.HTTPStatus) != c.status || all[0].Attribute(trace.ErrorType) != c.failed || strings.Contains(fmt.Sprint(all[0].Attributes), "secret") {
			t.Errorf("%s: the spans are %+v", name, all)
		}
	}
}
