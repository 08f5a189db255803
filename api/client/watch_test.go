package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// watchable is a memory store that is watched through a Client.
type watchable struct {
	*storetest.Memory
	c *Client
}

// Watch implements api.Watcher by Watch and Follow.
func (w watchable) Watch(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error) {
	if r.List && r.From != "" {
		return nil, r.Check() // the Client has no words for it
	}
	next, stop := iter.Pull2(w.c.watch(ctx, "", r.From, r.List, *r))
	s := &pulled{next: next, stop: stop, cursor: r.From}
	first, err := s.Next()
	if err != nil {
		stop()
		return nil, err
	}
	if !first.Reset {
		s.first = first
	}
	return s, nil
}

// pulled is a watch of a Client as a stream.
type pulled struct {
	next   func() (Event, error, bool)
	stop   func()
	first  *api.WatchBatch
	cursor api.Cursor
}

func (p *pulled) Close() error { p.stop(); return nil }

func (p *pulled) Next() (*api.WatchBatch, error) {
	if b := p.first; b != nil {
		p.first = nil
		return b, nil
	}
	e, err, ok := p.next()
	if !ok {
		return nil, &api.Error{Code: api.CodeUnavailable, Hint: "closed"}
	}
	if err != nil {
		return nil, err
	}
	b := &api.WatchBatch{Gap: e.Gap, Ready: e.Ready, Reset: e.Reset, Age: e.Age}
	if e.Kind != 0 {
		b.Events = []api.Event{e.Event}
	}
	if e.Cursor != p.cursor { // else it does not cover this event, for all that can be seen
		b.Cursor, p.cursor = e.Cursor, e.Cursor
	}
	return b, nil
}

// serveWatched returns a Client of nodes that serve the store, and the servers.
func serveWatched(t *testing.T, m *storetest.Memory, around ...func(http.Handler) http.Handler) *Client {
	t.Helper()
	if len(around) == 0 {
		around = []func(http.Handler) http.Handler{func(h http.Handler) http.Handler { return h }}
	}
	var urls []string
	for _, f := range around {
		s := httptest.NewServer(f(httpd.New(front.New(front.Config{Store: m, Lister: m, Watcher: m}), httpd.Config{})))
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	c, err := Open(t.Context(), Config{Endpoints: urls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestWatchSuiteOverHTTP: a watch of the SDK keeps what every watcher promises.
func TestWatchSuiteOverHTTP(t *testing.T) {
	storetest.RunWatcher(t, func(t *testing.T) storetest.WatchStore {
		m := storetest.NewMemory()
		return watchable{m, serveWatched(t, m)}
	}, storetest.Options{Time: true, Functions: true})
}

// TestWatchSuiteInProcess is the same with a store in this process.
func TestWatchSuiteInProcess(t *testing.T) {
	storetest.RunWatcher(t, func(*testing.T) storetest.WatchStore {
		m := storetest.NewMemory()
		return watchable{m, New(m)}
	}, storetest.Options{Time: true, Functions: true})
}

func put(t *testing.T, s api.Store, key api.Key, value string) {
	t.Helper()
	if _, err := s.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: key, Value: []byte(value)}}}); err != nil {
		t.Fatal(err)
	}
}

// tally is what a program keeps of a watch, and checks of it.
type tally struct {
	t      *testing.T
	state  map[api.Key]string
	at     map[api.Key]api.Version
	resets int
}

func (y *tally) take(e *Event) {
	switch {
	case e.Reset:
		clear(y.state)
		clear(y.at)
		y.resets++
	case e.Gap != nil:
		y.t.Errorf("a gap %+v", e.Gap)
	case e.Kind != 0:
		if e.Version.Compare(y.at[e.Key]) <= 0 {
			y.t.Errorf("%s: version %v comes after %v", e.Key, e.Version, y.at[e.Key])
		}
		y.at[e.Key] = e.Version
		if y.state[e.Key] = string(e.Value); e.Kind != api.EventPut {
			delete(y.state, e.Key)
		}
	}
}

// cutting is a server that breaks the connection of each watch after some bytes.
func cutting(cuts *atomic.Int64) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			cuts.Add(1)
			h.ServeHTTP(&torn{ResponseWriter: w, left: 200 + rand.IntN(4000)}, r)
		})
	}
}

type torn struct {
	http.ResponseWriter
	left int
}

func (c *torn) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *torn) Write(b []byte) (int, error) {
	if c.left -= len(b); c.left < 0 {
		_, _ = c.ResponseWriter.Write(b[:len(b)+c.left]) // the connection is about to end
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(b)
}

// TestWatchBreaks: over connections that break at any byte, a Watch yields each version once and in order, and a Follow ends up with what
// there is. Both go on through another node.
func TestWatchBreaks(t *testing.T) {
	m := storetest.NewMemory()
	var first, second atomic.Int64
	c := serveWatched(t, m, cutting(&first), cutting(&second))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const n = 300
	writer := make(chan struct{})
	ready := make(chan struct{}, 2)
	go func() {
		defer close(writer)
		<-ready
		<-ready
		for i := range n {
			ops := []api.Op{{Kind: api.OpPut, Key: api.Key(fmt.Sprintf("k/%d", i%7)), Value: []byte(fmt.Sprint(i))}}
			for j := range i % 5 {
				ops = append(ops, api.Op{Kind: api.OpPut, Key: api.Key(fmt.Sprintf("k/of-%d", j)), Value: []byte(strings.Repeat("v", 50))})
			}
			if _, err := m.Do(ctx, &api.Txn{Then: ops}); err != nil {
				t.Error(err)
			}
		}
		put(t, m, "k/end", "")
	}()
	follow := func(events iter.Seq2[Event, error]) *tally {
		y := &tally{t: t, state: map[api.Key]string{}, at: map[api.Key]api.Version{}}
		for e, err := range events {
			if err != nil {
				t.Error(err)
				return y
			}
			if y.take(&e); e.Ready {
				select {
				case ready <- struct{}{}:
				default:
				}
			}
			if e.Key == "k/end" {
				break
			}
		}
		return y
	}
	followed := make(chan *tally)
	go func() { followed <- follow(c.Follow(ctx, "k/")) }()
	watched := follow(c.Watch(ctx, "k/", ""))
	y := <-followed
	<-writer
	res, err := m.List(ctx, &api.ListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range res.Entries {
		for name, state := range map[string]map[api.Key]string{"watch": watched.state, "follow": y.state} {
			if got, ok := state[e.Key]; !ok || got != string(e.Value) {
				t.Errorf("%s: %s is %q, want %q", name, e.Key, got, e.Value)
			}
		}
	}
	// How the breaks fall to the two nodes is left to chance.
	if first.Load() == 0 || second.Load() == 0 || first.Load()+second.Load() < 10 {
		t.Errorf("only %d and %d connections were cut", first.Load(), second.Load())
	}
	if watched.resets > 0 || y.resets < 1 {
		t.Errorf("%d and %d resets", watched.resets, y.resets)
	}
}

// streams is a Watcher whose streams deliver batches of a test, one slice after the other, and then end. It notes from where each began.
type streams struct {
	*storetest.Memory
	tell [][]*api.WatchBatch
	from []string
}

func (s *streams) Watch(_ context.Context, r *api.WatchRequest) (api.WatchStream, error) {
	s.from = append(s.from, fmt.Sprintf("%s%v", r.From, map[bool]string{true: " list"}[r.List]))
	if len(s.tell) == 0 {
		return nil, api.Errorf(api.CodeDenied, "the test is over")
	}
	batches := s.tell[0]
	s.tell = s.tell[1:]
	return &told{batches}, nil
}

type told struct{ batches []*api.WatchBatch }

func (s *told) Close() error { return nil }
func (s *told) Next() (*api.WatchBatch, error) {
	if len(s.batches) == 0 {
		return nil, api.Errorf(api.CodeUnavailable, "broken")
	}
	b := s.batches[0]
	s.batches = s.batches[1:]
	return b, nil
}

func change(key api.Key, index uint64) api.Event {
	return api.Event{Kind: api.EventPut, Key: key, Version: api.Version{Epoch: 1, Index: index}}
}

// scripted returns what a watch yields over the streams, as text, and its error.
func scripted(t *testing.T, watch func(context.Context) iter.Seq2[Event, error]) (got []string, err error) {
	synctest.Test(t, func(t *testing.T) {
		for e, failed := range watch(t.Context()) {
			switch {
			case failed != nil:
				err = failed
			case e.Kind != 0:
				got = append(got, fmt.Sprintf("%s%d@%s", e.Key, e.Version.Index, e.Cursor))
			default:
				word := map[bool]string{e.Gap != nil: "gap", e.Ready: "ready", e.Reset: "reset"}[true]
				got = append(got, fmt.Sprintf("%s@%s", word, e.Cursor))
			}
		}
	})
	return got, err
}

// TestWatchPassesOverRepeats: after a break, what came since the last cursor comes again and is not yielded again; a cursor covers no
// more than what was yielded; the end is an error.
func TestWatchPassesOverRepeats(t *testing.T) {
	s := &streams{Memory: storetest.NewMemory(), tell: [][]*api.WatchBatch{
		{{Ready: true, Cursor: "c1"}, {Events: []api.Event{change("a", 1), change("b", 2)}}, {Events: []api.Event{change("a", 3)}}},
		{{Ready: true, Cursor: "c1"}},
		{{Events: []api.Event{change("a", 1), change("b", 2), change("a", 3), change("b", 4)}, Cursor: "c2"}, {Events: []api.Event{change("a", 5)}}},
		{{Events: []api.Event{change("a", 5)}, Cursor: "c3"}, {Gap: &api.Gap{}, Cursor: "c4"}, {Cursor: "c5", Age: 1}, {Events: []api.Event{change("c", 6)}}},
	}}
	got, err := scripted(t, func(ctx context.Context) iter.Seq2[Event, error] { return New(s).Watch(ctx, "", "") })
	want := []string{"ready@c1", "a1@c1", "b2@c1", "a3@c1", "ready@c1", "b4@c2", "a5@c2", "gap@c4", "@c5", "c6@c5"}
	if !slices.Equal(got, want) || api.CodeOf(err) != api.CodeDenied {
		t.Errorf("yielded %q, %v\nwant %q", got, err, want)
	}
	if want := []string{"", "c1", "c1", "c2", "c5"}; !slices.Equal(s.from, want) {
		t.Errorf("the streams began at %q, want %q", s.from, want)
	}
}

// TestFollowBeginsAgain: a list that is cut off begins with a reset, and so does what follows a gap; a break later does not.
func TestFollowBeginsAgain(t *testing.T) {
	s := &streams{Memory: storetest.NewMemory(), tell: [][]*api.WatchBatch{
		{{Events: []api.Event{change("a", 1)}}},
		{{Reset: true}, {Events: []api.Event{change("a", 1), change("b", 2)}}, {Ready: true, Cursor: "c1"}, {Events: []api.Event{change("a", 3)}}},
		{{Events: []api.Event{change("a", 3), change("a", 4)}, Cursor: "c2"}},
		{{Gap: &api.Gap{}, Cursor: "c9"}, {Events: []api.Event{change("a", 9)}}},
		{{Events: []api.Event{change("a", 9)}}, {Ready: true, Cursor: "c3"}, {Reset: true}, {Events: []api.Event{change("a", 8)}}, {Ready: true, Cursor: "c4"}},
	}}
	got, err := scripted(t, func(ctx context.Context) iter.Seq2[Event, error] { return New(s).Follow(ctx, "") })
	want := []string{
		"reset@", "a1@", "reset@", "a1@", "b2@", "ready@c1", "a3@c1", "a4@c2", "reset@", "a9@", "ready@c3", "reset@", "a8@", "ready@c4",
	}
	if !slices.Equal(got, want) || api.CodeOf(err) != api.CodeDenied {
		t.Errorf("yielded %q, %v\nwant %q", got, err, want)
	}
	if want := []string{" list", " list", "c1", "c2", " list", "c4"}; !slices.Equal(s.from, want) {
		t.Errorf("the streams began at %q, want %q", s.from, want)
	}
}

// TestWatchEnds: a watch ends with an error when ctx ends, when no node takes it in time, and when it is refused; with none when its loop
// is left.
func TestWatchEnds(t *testing.T) {
	m := storetest.NewMemory()
	c := serveWatched(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var errs []error
	for e, err := range c.Watch(ctx, "a", "") {
		if err != nil {
			errs = append(errs, err)
		} else if e.Ready {
			cancel()
		}
	}
	if len(errs) != 1 || api.CodeOf(errs[0]) != api.CodeUnavailable || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("after ctx: %v", errs)
	}
	for _, err := range c.Watch(t.Context(), "a", "forged") {
		if api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), "cursor") {
			t.Errorf("a forged cursor: %v", err)
		}
	}
	for range c.Watch(t.Context(), "a", "") {
		break
	}
	for _, err := range New(noWatcher{m}).Watch(t.Context(), "a", "") {
		if api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("a store that cannot be watched: %v", err)
		}
	}
	dead, err := Open(t.Context(), Config{Endpoints: []string{"http://127.0.0.1:1"}, Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	for _, err := range dead.Watch(t.Context(), "a", "") {
		if api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("no node: %v", err)
		}
	}
}

// noWatcher is a Store alone.
type noWatcher struct{ api.Store }

// TestListThenWatch: the cursor of a list, of pages or of one, is where a watch goes on.
func TestListThenWatch(t *testing.T) {
	m := storetest.NewMemory()
	for name, c := range map[string]*Client{"http": serveWatched(t, m), "in process": New(m)} {
		for i := range api.MaxListLimit + 5 {
			put(t, m, api.Key(fmt.Sprintf("%s/%05d", name, i)), "1")
		}
		var cursor api.Cursor
		n := 0
		for _, err := range c.List(t.Context(), api.Key(name)+"/", CursorInto(&cursor)) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 3 {
				put(t, m, api.Key(name)+"/00001", "changed")
			}
		}
		for e, err := range c.Watch(t.Context(), api.Key(name)+"/", cursor) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind != 0 {
				if string(e.Value) != "changed" || n != api.MaxListLimit+5 {
					t.Errorf("%s: %d listed, then %+v", name, n, e)
				}
				break
			}
		}
		var none api.Cursor
		for range c.List(t.Context(), api.Key(name)+"/", CursorInto(&none), Limit(3)) {
		}
		p, err := c.ListPage(t.Context(), api.Key(name)+"/", Limit(api.MaxListLimit), StalePages())
		if err != nil {
			t.Fatal(err)
		}
		if p, err = c.ListPage(t.Context(), api.Key(name)+"/", FromPage(p.Next)); err != nil || p.Cursor != "" || p.Next != "" {
			t.Errorf("%s: behind a page that may be stale: %+v, %v", name, p, err)
		}
		if p, err := c.ListPage(t.Context(), api.Key(name)+"/0000", Limit(20)); err != nil || p.Cursor == "" || p.Next != "" || none != "" {
			t.Errorf("%s: a page has the cursor %q, %v; a list up to a limit has %q", name, p.Cursor, err, none)
		}
	}
}

// TestUnknownAge: the age of a node that does not know it is the greatest that there is, and not, by an overflow, below zero.
func TestUnknownAge(t *testing.T) {
	known := strconv.FormatFloat(time.Duration(math.MaxInt64).Seconds(), 'f', 3, 64) // as the API sends it
	for text, want := range map[string]time.Duration{known: math.MaxInt64, "1e300": math.MaxInt64, "0.800": 800 * time.Millisecond} {
		b, err := readEvent("progress", []byte(`{"age":`+text+`}`))
		if err != nil || b.Age != want {
			t.Errorf("the age %s is read as %v, %v; want %v", text, b.Age, err, want)
		}
	}
}

// TestWatchSilence: a node that is silent for too long is left; a program that takes longer than that for an event keeps its watch.
func TestWatchSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, node := io.Pipe()
		s := &eventStream{body: body, lines: bufio.NewReader(body), stop: func() bool { return true }, cancel: func() { _ = node.Close() }}
		s.silence = time.AfterFunc(time.Second, s.cancel)
		s.heard() // the node has answered
		go func() { _, _ = node.Write([]byte("event: ready\ndata: {}\n\nevent: reset\ndata: {}\n\n")) }()
		if b, err := s.Next(); err != nil || !b.Ready {
			t.Fatalf("%+v, %v", b, err)
		}
		time.Sleep(2 * maxSilence)
		if b, err := s.Next(); err != nil || !b.Reset {
			t.Errorf("after a long time in the program: %+v, %v", b, err)
		}
		go func() { // a node that shows signs of life, and then none
			time.Sleep(maxSilence - time.Second)
			_, _ = node.Write([]byte("event: progress\ndata: {\"age\":1}\n\n"))
		}()
		if b, err := s.Next(); err != nil || b.Age != time.Second {
			t.Errorf("%+v, %v", b, err)
		}
		began := time.Now()
		if b, err := s.Next(); api.CodeOf(err) != api.CodeUnavailable || time.Since(began) != maxSilence {
			t.Errorf("after %v of silence: %+v, %v", time.Since(began), b, err)
		}
		_ = s.Close()
	})
}
