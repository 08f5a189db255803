package peer_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/api/observe/trace/tracetest"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/peer/peertest"
)

// text is the request and the answer of the methods here.
type text struct {
	Text string `cbor:"1,keyasint"`
}

var (
	echo   = peer.NewMethod[text, text]("Echo", admission.Request, peer.Nodes)
	free   = peer.NewMethod[text, text]("Free", admission.Free, peer.Nodes)
	govern = peer.NewMethod[text, text]("Govern", admission.Control, peer.Servers)
	watch  = peer.NewMethod[text, text]("Watch", admission.Waiting, peer.Anyone)
	long   = peer.NewMerged[string, int]("Long", admission.Free, peer.Servers)
	chat   = peer.NewStream[text, text]("Chat", peer.Holders)
)

// same answers with what it was asked.
func same(_ context.Context, q *text) (*text, error) { return q, nil }

// everything has the server answer all of them.
func everything(s *peer.Server) {
	echo.Handle(s, same)
	free.Handle(s, same)
	govern.Handle(s, same)
	watch.Handle(s, same)
	long.Handle(s, func(q string) int { return len(q) })
	chat.Handle(s, func(_ context.Context, end peer.ServerEnd[text, text]) error {
		for {
			m, err := end.Recv()
			if err != nil || end.Send(m) != nil {
				return err
			}
		}
	})
}

func TestConfigs(t *testing.T) {
	if _, err := peer.NewServer(peer.ServerConfig{Self: "s"}); !errors.Is(err, api.CodeInvalid) {
		t.Errorf("server: %v", err)
	}
	if _, err := peer.NewPool(peer.PoolConfig{}); !errors.Is(err, api.CodeInvalid) {
		t.Errorf("pool: %v", err)
	}
}

// TestColumns: a method without a name, a share or its callers cannot be made, and two cannot have one name.
func TestColumns(t *testing.T) {
	panics := func(what string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s was taken", what)
			}
		}()
		f()
	}
	panics("no name", func() { peer.NewMethod[text, text]("", admission.Request, peer.Nodes) })
	panics("no share", func() { peer.NewMethod[text, text]("X", 0, peer.Nodes) })
	panics("no callers", func() { peer.NewMethod[text, text]("X", admission.Request, 0) })
	panics("a merged method for no callers", func() { peer.NewMerged[string, int]("X", admission.Request, 0) })
	panics("a stream for no callers", func() { peer.NewStream[text, text]("X", 0) })
	s, err := peer.NewServer(peer.ServerConfig{Self: "s", Role: api.RoleServer})
	if err != nil {
		t.Fatal(err)
	}
	everything(s)
	panics("a name twice", func() { peer.NewMethod[text, text]("Echo", admission.Control, peer.Servers).Handle(s, same) })
	panics("the name of the lane", func() { peer.NewMethod[text, text]("Calls", admission.Control, peer.Servers).Handle(s, same) })
	var table []string
	for _, r := range s.Table() {
		table = append(table, strings.TrimSpace(r.Name+" "+r.Class.String()+" "+r.Who.String()))
	}
	want := []string{"Calls request nodes", "Chat free holders", "Echo request nodes", "Free free nodes", "Govern control servers", "Long free servers", "Watch waiting anyone"}
	if !slices.Equal(table, want) {
		t.Errorf("the table is %q", table)
	}
}

// TestWho: each method is for the callers of its column alone, over a connection and from the node itself. The column holds for a
// caller as it is known now, not as it was known when it connected.
func TestWho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := peertest.New(t)
		s := w.Start("s", peer.ServerConfig{}, nil, everything)
		defer s.Close()
		at := map[string]*peertest.Station{"server": w.Start("c", peer.ServerConfig{}, nil, nil), "edge": w.Start("e", peer.ServerConfig{Role: api.RoleEdge}, nil, everything)}
		for _, kind := range []string{"removed", "unknown"} {
			at[kind] = w.Start(api.NodeID(kind), peer.ServerConfig{}, nil, nil)
			if kind == "unknown" {
				w.Remove("unknown")
			}
		}
		if _, err := echo.Call(t.Context(), at["removed"].Pool.Remote("s"), &text{}); err != nil {
			t.Errorf("before it was removed: %v", err)
		}
		w.Remove("removed") // its connection stays
		for _, kind := range peertest.Callers {
			defer at[kind].Close()
			for _, row := range s.Server.Table() {
				refused, err := peertest.Probe(t.Context(), at[kind].Pool.Remote("s"), row)
				if refused == peertest.Allowed(row.Who, kind, true) {
					t.Errorf("%s by %s: refused is %v, %v", row.Name, kind, refused, err)
				}
			}
		}
		self := at["edge"].Pool.Remote("e")
		if _, err := govern.Call(t.Context(), self, &text{}); !errors.Is(err, api.CodeDenied) {
			t.Errorf("an edge asked itself what is for servers: %v", err)
		}
		if _, err := long.Ask(t.Context(), self, "q"); !errors.Is(err, api.CodeDenied) {
			t.Errorf("an edge asked itself a merged question that is for servers: %v", err)
		}
		if _, err := echo.Call(t.Context(), self, &text{}); err != nil {
			t.Errorf("an edge asked itself what is for nodes: %v", err)
		}
		if _, err := govern.Call(t.Context(), s.Pool.Remote("s"), &text{}); err != nil {
			t.Errorf("a server asked itself: %v", err)
		}
	})
}

// TestCallerFrom: a handler learns its caller from the connection, whatever the message says; and a node's own calls are the node's.
func TestCallerFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := peertest.New(t)
		s := w.Start("s", peer.ServerConfig{}, nil, func(s *peer.Server) {
			echo.Handle(s, func(ctx context.Context, _ *text) (*text, error) {
				return &text{string(peer.CallerFrom(ctx).Node)}, nil
			})
			chat.Handle(s, func(ctx context.Context, end peer.ServerEnd[text, text]) error {
				return end.Send(&text{string(peer.CallerFrom(ctx).Node)})
			})
		})
		defer s.Close()
		c := w.Start("c", peer.ServerConfig{Role: api.RoleEdge}, nil, nil)
		defer c.Close()
		for _, at := range []struct {
			id api.NodeID
			*peertest.Station
		}{{"c", c}, {"s", s}} {
			if a, err := echo.Call(t.Context(), at.Pool.Remote("s"), &text{"another"}); err != nil || a.Text != string(at.id) {
				t.Errorf("%s is taken for %+v, %v", at.id, a, err)
			}
			end, err := chat.Open(t.Context(), at.Pool.Remote("s"))
			if err != nil {
				t.Fatal(err)
			}
			if a, err := end.Recv(); err != nil || a.Text != string(at.id) {
				t.Errorf("on a stream %s is taken for %+v, %v", at.id, a, err)
			}
			end.Close()
		}
		if c := peer.CallerFrom(t.Context()); c == nil || c.Node != "" || c.Role != "" {
			t.Errorf("a context without a caller has %+v", c)
		}
	})
}

// TestLearn: a caller that is not known is not refused before the newest map has been asked for; and if that cannot be had, the
// refusal is one for the moment.
func TestLearn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := peertest.New(t)
		learn := func(context.Context) error { return nil }
		s := w.Start("s", peer.ServerConfig{Learn: func(ctx context.Context) error { return learn(ctx) }}, nil, everything)
		defer s.Close()
		c := w.Start("c", peer.ServerConfig{}, nil, nil)
		defer c.Close()
		w.Remove("c")
		r := c.Pool.Remote("s")
		if _, err := echo.Call(t.Context(), r, &text{}); api.CodeOf(err) != api.CodeDenied {
			t.Errorf("not in the newest map: %v", err)
		}
		learn = func(context.Context) error { return errors.New("the meta group does not answer") }
		_, err := echo.Call(t.Context(), r, &text{})
		if e := api.AsError(err); e.Code != api.CodeUnavailable || e.RetryAfter == 0 {
			t.Errorf("the newest map cannot be had: %v", err)
		}
		if _, err := watch.Call(t.Context(), r, &text{}); err != nil {
			t.Errorf("what is for anyone: %v", err)
		}
		if _, err := r.Calls(t.Context()); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("the lane of calls: %v", err)
		}
		learn = func(context.Context) error {
			w.Admit("c", api.RoleServer)
			return nil
		}
		if _, err := govern.Call(t.Context(), r, &text{}); err != nil {
			t.Errorf("it has joined meanwhile: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := r.Calls(t.Context()); err != nil {
			t.Errorf("the lane of calls, when it is known: %v", err)
		}
	})
}

// TestCallsAndStreams: methods and streams answer other nodes and their own alike, and what is not registered is refused.
func TestCallsAndStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := peertest.New(t)
		s, c := w.Start("s", peer.ServerConfig{}, nil, everything), w.Start("c", peer.ServerConfig{}, nil, nil)
		defer s.Close()
		defer c.Close()
		for _, at := range []*peertest.Station{s, c} {
			r := at.Pool.Remote("s")
			if a, err := echo.Call(t.Context(), r, &text{"k\xff"}); err != nil || a.Text != "k\xff" {
				t.Errorf("echo: %+v, %v", a, err)
			}
			end, err := chat.Open(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if err := end.Send(&text{"hello"}); err != nil {
				t.Error(err)
			}
			if a, err := end.Recv(); err != nil || a.Text != "hello" {
				t.Errorf("down came %+v, %v", a, err)
			}
			end.Close()
			if _, err := end.Recv(); !errors.Is(err, api.CodeUnavailable) {
				t.Errorf("after Close: %v", err)
			}
			if err := end.Send(&text{}); !errors.Is(err, api.CodeUnavailable) {
				t.Errorf("sent after Close: %v", err)
			}
			missing := at.Pool.Remote("c") // it answers nothing
			if _, err := echo.Call(t.Context(), missing, &text{}); !errors.Is(err, api.CodeUnavailable) || at == s && !peer.LacksMethod(err) {
				t.Errorf("a method that is not there: %v", err)
			}
			if _, err := echo.Call(t.Context(), at.Pool.Remote("nowhere"), &text{}); err == nil || peer.LacksMethod(err) {
				t.Errorf("a node that is not there: %v", err)
			}
			if end, err := chat.Open(t.Context(), missing); err == nil {
				if _, err = end.Recv(); !errors.Is(err, api.CodeUnavailable) {
					t.Errorf("a stream that is not there: %v", err)
				}
				end.Close()
			}
		}
	})
}

// TestFaults: a handler that panics fails its call alone.
func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reported := 0
		faults := fault.NewCatcher(observe.NoMetrics{}, func(string, ...any) { reported++ })
		w := peertest.New(t)
		s := w.Start("s", peer.ServerConfig{Faults: faults}, nil, func(s *peer.Server) {
			echo.Handle(s, func(context.Context, *text) (*text, error) { panic("a fault") })
			chat.Handle(s, func(context.Context, peer.ServerEnd[text, text]) error { panic("a fault") })
			free.Handle(s, same)
		})
		c := w.Start("c", peer.ServerConfig{}, nil, nil)
		defer s.Close()
		defer c.Close()
		for _, at := range []*peertest.Station{s, c} {
			r := at.Pool.Remote("s")
			if _, err := echo.Call(t.Context(), r, &text{}); !errors.Is(err, api.CodeInternal) {
				t.Errorf("a call: %v", err)
			}
			end, err := chat.Open(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := end.Recv(); err == nil {
				t.Error("something came down a broken stream")
			}
			end.Close()
			if _, err := free.Call(t.Context(), r, &text{}); err != nil {
				t.Errorf("a call beside them: %v", err)
			}
		}
		if reported != 4 {
			t.Errorf("%d panics were reported, of 4", reported)
		}
	})
}

// blocking has a method answer when its channel is closed.
func blocking(m peer.Method[text, text], s *peer.Server, until <-chan struct{}) {
	m.Handle(s, func(_ context.Context, q *text) (*text, error) {
		<-until
		return q, nil
	})
}

// TestShares: one call too many of a share is refused at once, and other shares have no part in that.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, until := peertest.New(t), make(chan struct{})
		s := w.Start("s", peer.ServerConfig{Room: admission.New(admission.Config{SlowAfter: time.Hour, Shares: admission.Shares{admission.Request: 2, admission.Waiting: 1}})}, nil, func(s *peer.Server) {
			blocking(echo, s, until)
			blocking(watch, s, until)
			free.Handle(s, same)
			govern.Handle(s, same)
		})
		c := w.Start("c", peer.ServerConfig{}, nil, nil)
		defer s.Close()
		defer c.Close()
		var wg sync.WaitGroup
		hold := func(m peer.Method[text, text], at *peertest.Station) {
			wg.Go(func() {
				if _, err := m.Call(t.Context(), at.Pool.Remote("s"), &text{}); err != nil {
					t.Error(err)
				}
			})
		}
		hold(echo, s)
		hold(echo, c)
		hold(watch, c)
		time.Sleep(100 * time.Millisecond)
		for _, at := range []*peertest.Station{s, c} {
			for _, m := range []peer.Method[text, text]{echo, watch} {
				_, err := m.Call(t.Context(), at.Pool.Remote("s"), &text{})
				if e := api.AsError(err); e.Code != api.CodeUnavailable || e.RetryAfter == 0 {
					t.Errorf("one too many: %v", err)
				}
			}
			for _, m := range []peer.Method[text, text]{free, govern} {
				if _, err := m.Call(t.Context(), at.Pool.Remote("s"), &text{}); err != nil {
					t.Errorf("of another share: %v", err)
				}
			}
		}
		close(until)
		wg.Wait()
	})
}

// TestPerNode (Attack 12): one node has no more calls and streams under way than its part, and others are not hindered.
func TestPerNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, until := peertest.New(t), make(chan struct{})
		few, open := watch.PerNode(2), chat.PerNode(1)
		s := w.Start("s", peer.ServerConfig{}, nil, func(s *peer.Server) {
			blocking(few, s, until)
			open.Handle(s, func(_ context.Context, end peer.ServerEnd[text, text]) error {
				_, err := end.Recv()
				return err
			})
		})
		defer s.Close()
		c, d := w.Start("c", peer.ServerConfig{}, nil, nil), w.Start("d", peer.ServerConfig{}, nil, nil)
		defer c.Close()
		defer d.Close()
		var wg sync.WaitGroup
		for _, at := range []*peertest.Station{c, c, d, d} {
			wg.Go(func() {
				if _, err := few.Call(t.Context(), at.Pool.Remote("s"), &text{}); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		if _, err := few.Call(t.Context(), c.Pool.Remote("s"), &text{}); api.CodeOf(err) != api.CodeUnavailable || api.AsError(err).RetryAfter == 0 {
			t.Errorf("one call too many: %v", err)
		}
		close(until)
		wg.Wait()
		if _, err := few.Call(t.Context(), c.Pool.Remote("s"), &text{}); err != nil {
			t.Errorf("when the others are over: %v", err)
		}
		first, err := open.Open(t.Context(), c.Pool.Remote("s"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		second, err := open.Open(t.Context(), c.Pool.Remote("s"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := second.Recv(); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("one stream too many: %v", err)
		}
		first.Close()
		second.Close()
	})
}

// TestBusy: while the processors cannot keep up, requests beyond a calm number are refused, and nothing else is.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, until := peertest.New(t), make(chan struct{})
		s := w.Start("s", peer.ServerConfig{Room: admission.New(admission.Config{Calm: 1, Busy: func() bool { return true }})}, nil, func(s *peer.Server) {
			blocking(echo, s, until)
			govern.Handle(s, same)
		})
		defer s.Close()
		r := s.Pool.Remote("s")
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := echo.Call(t.Context(), r, &text{}); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(100 * time.Millisecond)
		_, err := echo.Call(t.Context(), r, &text{})
		if e := api.AsError(err); e.Code != api.CodeUnavailable || e.RetryAfter == 0 {
			t.Errorf("one too many: %v", err)
		}
		if _, err := govern.Call(t.Context(), r, &text{}); err != nil {
			t.Errorf("the cluster's own calls have no part in that: %v", err)
		}
		close(until)
		first.Wait()
		if _, err := echo.Call(t.Context(), r, &text{}); err != nil {
			t.Errorf("the first of its kind: %v", err)
		}
	})
}

func TestClosedPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := peertest.New(t)
		s, c := w.Start("s", peer.ServerConfig{}, nil, everything), w.Start("c", peer.ServerConfig{}, nil, everything)
		defer s.Close()
		before := c.Pool.Remote("s")
		c.Close()
		s.Pool.Close()
		for _, r := range []*peer.Remote{before, c.Pool.Remote("s"), c.Pool.RemoteAt("s")} {
			if _, err := echo.Call(t.Context(), r, &text{}); api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("a call: %v", err)
			}
			if _, err := r.Calls(t.Context()); api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("the lane of calls: %v", err)
			}
		}
		for _, r := range []*peer.Remote{before, c.Pool.Remote("s"), s.Pool.Remote("s")} {
			if _, err := chat.Open(t.Context(), r); api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("a stream: %v", err)
			}
			if _, err := long.Ask(t.Context(), r, "q"); api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("a merged question: %v", err)
			}
		}
	})
}

// TestMerged: right answers to many questions at once.
func TestMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := peertest.New(t)
		s, c := w.Start("s", peer.ServerConfig{}, nil, everything), w.Start("c", peer.ServerConfig{}, nil, nil)
		defer s.Close()
		defer c.Close()
		for _, at := range []*peertest.Station{s, c} {
			r := at.Pool.Remote("s")
			var wg sync.WaitGroup
			for n := range 24 {
				wg.Go(func() {
					if got, err := long.Ask(t.Context(), r, strings.Repeat("q", n)); err != nil || got != n {
						t.Errorf("asked %d: %d, %v", n, got, err)
					}
				})
			}
			wg.Wait()
		}
	})
}

// TestMergedStartsAfterArrival: what is asked while messages are under way is answered by a later one, whose answers are given
// after the question; messages are few however many ask.
func TestMergedStartsAfterArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := peertest.New(t)
		var now, messages atomic.Int64
		now.Store(1)
		s := w.Start("s", peer.ServerConfig{}, nil, func(s *peer.Server) {
			long.Handle(s, func(string) int {
				messages.Add(1)
				return int(now.Load())
			})
		})
		c := w.Start("c", peer.ServerConfig{}, nil, nil)
		defer s.Close()
		defer c.Close()
		r := c.Pool.Remote("s")
		if got, err := long.Ask(t.Context(), r, "q"); err != nil || got != 1 {
			t.Fatalf("%d, %v", got, err)
		}
		w.Fabric.Cut("s", "c") // answers are held back
		var wg sync.WaitGroup
		early := func() {
			if got, err := long.Ask(t.Context(), r, "q"); err != nil || got != 1 {
				t.Errorf("asked before the change: %d, %v", got, err)
			}
		}
		wg.Go(early)
		time.Sleep(100 * time.Millisecond)
		wg.Go(early)
		time.Sleep(100 * time.Millisecond)
		before := messages.Load()
		now.Store(2)
		for range 50 {
			wg.Go(func() {
				if got, err := long.Ask(t.Context(), r, "q"); err != nil || got != 2 {
					t.Errorf("asked after the change: %d, %v", got, err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		if n := messages.Load() - before; n != 0 {
			t.Errorf("%d questions left while two messages were under way", n)
		}
		w.Fabric.Heal("s", "c")
		wg.Wait()
		if n := messages.Load() - before; n != 1 {
			t.Errorf("fifty that asked the same were asked for %d times", n)
		}
	})
}

func TestMergedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := peertest.New(t)
		s, c := w.Start("s", peer.ServerConfig{}, nil, everything), w.Start("c", peer.ServerConfig{}, nil, nil)
		defer s.Close()
		defer c.Close()
		r := c.Pool.Remote("s")
		if _, err := long.Ask(t.Context(), r, "q"); err != nil {
			t.Fatal(err)
		}
		w.Fabric.Cut("s", "c")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := long.Ask(ctx, r, "q"); api.CodeOf(err) != api.CodeUnavailable || time.Since(began) != time.Second {
			t.Errorf("a silent node: %v after %v", err, time.Since(began))
		}
		if _, err := long.Ask(t.Context(), r, "q"); err == nil || time.Since(began) > 12*time.Second {
			t.Errorf("a silent node, without a deadline: %v after %v", err, time.Since(began))
		}
		w.Fabric.Heal("s", "c")
		time.Sleep(time.Minute)
		if got, err := long.Ask(t.Context(), r, "q"); err != nil || got != 1 {
			t.Errorf("when it is back: %d, %v", got, err)
		}
	})
}

// TestTraceThroughNodes: a node without a collector makes no span and passes the trace on, so that the span of the node behind it is below
// the client's; a call that is not traced is not.
func TestTraceThroughNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := peertest.New(t), &tracetest.Recorder{}
		owner := w.Start("owner", peer.ServerConfig{Tracer: trace.New(r, 1)}, nil, everything)
		defer owner.Close()
		var between *peertest.Station
		between = w.Start("between", peer.ServerConfig{Tracer: trace.Forward()}, nil, func(s *peer.Server) {
			echo.Handle(s, func(ctx context.Context, q *text) (*text, error) {
				return echo.Call(ctx, between.Pool.Remote("owner"), q)
			})
		})
		defer between.Close()
		edge := w.Start("edge", peer.ServerConfig{Role: api.RoleEdge, Tracer: trace.Forward()}, nil, nil)
		defer edge.Close()
		for _, h := range []http.Header{{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Tracestate": {"a=b"}}, nil} {
			ctx, _ := trace.Forward().Serve(t.Context(), "HTTP", h)
			if _, err := echo.Call(ctx, edge.Pool.Remote("between"), &text{}); err != nil {
				t.Fatal(err)
			}
		}
		all := r.Spans()
		if len(all) != 1 || all[0].Parent.SpanID().String() != "b7ad6b7169203331" || all[0].Self.TraceState().String() != "a=b" || all[0].Ends != 1 {
			t.Errorf("the spans are %+v", all)
		}
	})
}
