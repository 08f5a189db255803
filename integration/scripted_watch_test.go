package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// planetWatch is a watch at one node of a planet, which goes on at others.
type planetWatch struct {
	p      *planet
	stream api.WatchStream
	r      api.WatchRequest
	events []api.Event
	cursor api.Cursor
	whole  int
	ready  bool
	gaps   int
}

func (p *planet) watch(at *host, r api.WatchRequest) *planetWatch {
	p.t.Helper()
	w := &planetWatch{p: p, r: r}
	w.goOn(at)
	return w
}

// goOn continues at a node behind the last id.
func (w *planetWatch) goOn(at *host) {
	w.p.t.Helper()
	if w.stream != nil {
		_ = w.stream.Close()
	}
	w.events = w.events[:w.whole]
	if w.r.From = w.cursor; w.r.From != "" {
		w.r.List = false
	}
	ctx := within(w.p.t, 3*time.Minute)
	s, err := at.running().Watcher().Watch(ctx, &w.r)
	if err != nil {
		w.p.t.Fatalf("watch at %s: %v", at.name, err)
	}
	w.p.t.Cleanup(func() { _ = s.Close() })
	w.stream = s
}

// until takes what is told until n events are, or until it is ready if n is 0.
func (w *planetWatch) until(n int) {
	w.p.t.Helper()
	for end := time.Now().Add(time.Minute); len(w.events) < n || !w.ready; {
		b, err := w.stream.Next()
		if err != nil || time.Now().After(end) {
			w.p.t.Fatalf("after %d events of %d: %v", len(w.events), n, err)
		}
		w.events = append(w.events, b.Events...)
		if w.ready = w.ready || b.Ready; b.Gap != nil || b.Reset {
			w.gaps++
		}
		if b.Cursor != "" {
			w.cursor, w.whole = b.Cursor, len(w.events)
		}
	}
}

// TestWatchOnAPlanet: a watch of all keys at an edge tells what is written anywhere, over a crash of a leader, a move and a change of the
// node that is watched, each version once and in order. An event is there as soon as its way allows.
func TestWatchOnAPlanet(t *testing.T) {
	t.Parallel()
	scripted(t, 2, func(p *planet) {
		edge, other := p.byName["eu-west-edge-1"], p.byName["ap-south-edge-1"]
		p.soon(30*time.Second, "the groups keep a history", func() bool {
			s, err := edge.running().Watcher().Watch(within(p.t, time.Minute), &api.WatchRequest{})
			if err == nil {
				_ = s.Close()
			}
			return err == nil
		})
		w := p.watch(edge, api.WatchRequest{})
		w.until(0)
		n := 0
		write := func(regions ...string) {
			for _, region := range regions {
				for i := range 6 {
					n++
					txn := put(api.Key(fmt.Sprintf("%s/%d", region, i)), fmt.Sprint(n))
					txn.ID = api.RequestID{Client: api.ClientID{3}, Seq: uint64(n)}
					if _, err := p.byName["us-east-edge-1"].store0().Do(within(p.t, time.Minute), txn); err != nil {
						p.t.Fatal(err)
					}
				}
			}
		}
		write("us-east", "eu-west", "ap-south")
		w.until(n)
		leader := p.leader("us-east.1")
		kill(leader)
		write("us-east")
		w.until(n)
		leader.start()
		w.goOn(other)
		write("us-east", "ap-south")
		w.until(n)

		began := time.Now()
		p.put(p.leader("us-east.2"), "us-east/delay", "x")
		n++
		w.until(n)
		if took := time.Since(began); took > reach+leeway {
			p.t.Errorf("an event took %v from its write", took)
		}

		if err := p.leader("us-east.2").running().SetPlacement(within(p.t, time.Minute), "moved/", "eu-west"); err != nil {
			p.t.Fatal(err)
		}
		write("moved")
		w.until(n)
		w.judge(n)
		p.listsThenWatches(other)
	})
}

// judge demands that every key's versions came once and in order.
func (w *planetWatch) judge(n int) {
	last := map[api.Key]api.Version{}
	for _, e := range w.events {
		if e.Version.Compare(last[e.Key]) <= 0 {
			w.p.t.Errorf("%q: version %v after %v", e.Key, e.Version, last[e.Key])
		}
		last[e.Key] = e.Version
	}
	if len(w.events) != n || w.gaps > 0 {
		w.p.t.Errorf("told %d events and %d gaps, want %d events", len(w.events), w.gaps, n)
	}
}

// listsThenWatches: a watch that lists first has all keys, and the cursor of a list continues it.
func (p *planet) listsThenWatches(at *host) {
	l := p.watch(at, api.WatchRequest{List: true})
	l.until(25)
	if len(l.events) != 25 || l.gaps > 0 { // 4 times 6 keys, and one
		p.t.Errorf("listed %d keys", len(l.events))
	}
	page := api.ListRequest{Limit: 7}
	for more := true; more; {
		res, err := at.store().List(within(p.t, time.Minute), &page)
		if err != nil {
			p.t.Fatal(err)
		}
		more = res.More
		page.Cursor, page.Range.Start = res.Cursor, res.Entries[len(res.Entries)-1].Key+"\x00"
	}
	w := p.watch(at, api.WatchRequest{From: page.Cursor})
	p.put(at, "us-east/after", "x")
	w.until(1)
	l.until(26)
	if len(w.events) != 1 || w.events[0].Key != "us-east/after" {
		p.t.Errorf("after the list: %+v", w.events)
	}
}
