package resp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/api/observe/trace/tracetest"
)

// TestTraced: with a ratio of 1 each request of a connection is the root of a trace of its own, which ends once, however the request
// ends, and has no key and no value.
func TestTraced(t *testing.T) {
	r, s := &tracetest.Recorder{}, newSpy()
	s.read = func(r *api.ReadRequest) error {
		if strings.HasSuffix(string(r.Keys[0]), "secret-panic") {
			panic("secret-text")
		}
		return nil
	}
	srv := over(t, s, func(f *front.Config, _ *Config) {
		f.Tracer = trace.New(r, 1)
		f.Faults = fault.NewCatcher(observe.NoMetrics{}, func(string, ...any) {})
	})
	w := dialWire(t, srv.address)
	w.ask("PING")
	w.pipeline("SET secret-a secret-1", "GET secret-a", "INCR secret-a", "SCAN 0 MATCH secret-*", "KEYS secret-*", "WATCH secret-a",
		"MULTI", "SET secret-a 1", "EXEC", "GET secret-panic")
	w.receive() // until the connection has ended
	var got []string
	for _, x := range r.Spans() {
		text := fmt.Sprint(x.Name, x.Attribute(trace.ServedBy), x.Failed)
		got = append(got, x.Name+" "+x.Attribute(trace.ServedBy)+" "+x.Attribute(trace.ErrorType))
		if x.Parent.IsValid() || x.Ends != 1 || x.Attribute(trace.Front) != Name || strings.Contains(text+fmt.Sprint(x.Attributes), "secret") {
			t.Errorf("%+v", x)
		}
	}
	want := "resp write owner , resp read owner , resp write  invalid, resp list owner , resp list owner , resp read owner , " +
		"resp exec owner , resp read  "
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("the spans are\n%s, want\n%s", text, want)
	}
}

// TestUntraced: a request that chance does not choose has no span, and costs nothing more at a node that could trace.
func TestUntraced(t *testing.T) {
	r := &tracetest.Recorder{}
	for name, tracer := range map[string]*trace.Tracer{"none": nil, "forward": trace.Forward(), "ratio 0": trace.New(r, 0)} {
		c := newConn(New(front.New(front.Config{Store: leased{}, Tracer: tracer}), Config{}), &feed{}, 1)
		if n := testing.AllocsPerRun(100, func() {
			q := c.begin("read")
			defer q.span.End()
			if q.ctx != c.ctx || q.span.Recording() {
				t.Errorf("%s: it is traced", name)
			}
			q.fail(nil)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if len(r.Spans()) != 0 {
		t.Errorf("there are spans: %+v", r.Spans())
	}
}
