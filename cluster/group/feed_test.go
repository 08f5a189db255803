package group

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"fmt"

	"slices"
	"strings"

	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// everything is the piece that testInit founds the group with.
var everything = words.Piece{Of: 1, Epoch: 1, Group: "g.1"}

// subscriber is a feed under test, and what it has delivered.
type subscriber struct {
	words.Feed
	t      *testing.T
	events []words.FeedEvent
	to     words.Position
}

// subscribe begins a feed and takes its first batch, which has no events.
func (n *testNode) subscribe(r words.FeedRequest) (*subscriber, *words.FeedBatch) {
	n.log.t.Helper()
	f, err := n.authority.Feed(n.log.t.Context(), &r)
	if err != nil {
		n.log.t.Fatal(err)
	}
	s := &subscriber{Feed: f, t: n.log.t}
	b := s.next()
	if len(b.Events) > 0 {
		n.log.t.Fatalf("the first batch is %+v", b)
	}
	return s, b
}

// next takes a batch and checks that it goes on behind the one before.
func (s *subscriber) next() *words.FeedBatch {
	s.t.Helper()
	b, err := s.Next()
	if err != nil {
		s.t.Fatal(err)
	}
	s.took(b)
	return b
}

func (s *subscriber) took(b *words.FeedBatch) {
	s.t.Helper()
	if b.To.Index < s.to.Index {
		s.t.Fatalf("at %d, and then %+v", s.to.Index, b)
	}
	for _, e := range b.Events {
		last := s.to.Index
		if n := len(s.events); n > 0 {
			last = max(last, s.events[n-1].Index)
		}
		if e.Index < last || e.Index <= s.to.Index || e.Index > b.To.Index {
			s.t.Fatalf("event %+v behind %d, in a batch up to %d", e, last, b.To.Index)
		}
		s.events = append(s.events, e)
	}
	s.to = b.To
}

// upTo takes batches until the feed is at a position.
func (s *subscriber) upTo(index uint64) *subscriber {
	s.t.Helper()
	for s.to.Index < index {
		s.next()
	}
	return s
}

// keys are the keys of what was delivered.
func (s *subscriber) keys() string {
	var all []string
	for _, e := range s.events {
		all = append(all, string(e.Key))
	}
	return strings.Join(all, " ")
}

// wantEnd takes batches until the feed ends, which it does soon.
func (s *subscriber) wantEnd(code api.Code) {
	s.t.Helper()
	late := time.AfterFunc(20*time.Second, func() { s.Close() })
	defer late.Stop()
	for {
		b, err := s.Next()
		if err != nil {
			wantCode(s.t, err, code)
			return
		}
		s.took(b)
	}
}

func (n *testNode) counter() uint64 { return n.machine.Meta().Counter }

// try applies a command of the leader.
func (n *testNode) try(c fsm.Command) fsm.Result {
	n.log.t.Helper()
	res, err := n.authority.propose(context.Background(), c)
	if err != nil {
		n.log.t.Fatal(err)
	}
	return res
}

func (l *testLog) now() api.Term {
	l.mu.Lock()
	defer l.mu.Unlock()
	return api.Term(l.term)
}

// TestFeed checks that a feed delivers what changed, in order, and that one that begins at any position delivers the rest.
func TestFeed(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		live, first := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		if first.To.Index != a.counter() || first.To.Incarnation != 1 {
			t.Errorf("now is %+v, want %d", first.To, a.counter())
		}
		a.mustWrite(put("a", "1"))
		a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "c", Value: []byte("2")}, {Kind: api.OpPut, Key: "b", Value: []byte("2")}}}})
		a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "a"}}}})
		a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "absent"}}}})
		live.upTo(a.counter())
		if len(live.events) != 4 {
			t.Fatalf("got %+v", live.events)
		}
		e := live.events[0]
		if e.Kind != api.EventPut || e.Key != "a" || string(e.Value) != "1" || e.Version != (api.Version{Epoch: 1, Index: e.Index}) {
			t.Errorf("the first is %+v", e)
		}
		if e := live.events[3]; e.Kind != api.EventDelete || e.Key != "a" || live.events[1].Index != live.events[2].Index {
			t.Errorf("got %+v", live.events)
		}
		for from := uint64(1); from <= a.counter(); from++ {
			s, b := a.subscribe(words.FeedRequest{Piece: everything, After: words.Position{Incarnation: 1, Index: from}})
			if b.To.Index != from || b.Gap != "" {
				t.Fatalf("from %d: %+v", from, b)
			}
			s.to.Index = from
			want := slices.DeleteFunc(slices.Clone(live.events), func(e words.FeedEvent) bool { return e.Index <= from })
			if s.upTo(a.counter()); fmt.Sprint(s.events) != fmt.Sprint(want) {
				t.Errorf("from %d: %+v, want %+v", from, s.events, want)
			}
			s.Close()
		}
		all, _ := a.subscribe(words.FeedRequest{Piece: everything, KeysOnly: true})
		if all.upTo(a.counter()); all.keys() != "a c b a" || all.events[0].Value != nil || all.events[0].Elided {
			t.Errorf("keys only: %+v", all.events)
		}
		all.Close()
		all.wantEnd(api.CodeUnavailable)
		part, _ := a.subscribe(words.FeedRequest{Piece: words.Piece{Range: api.Range{Start: "b", End: "c"}, Of: 1, Epoch: 1, Group: "g.1"}})
		if part.upTo(a.counter()); part.keys() != "b" {
			t.Errorf("of a part: %+v", part.events)
		}
	})
}

// TestFeedIsRefused checks what Feed refuses.
func TestFeedIsRefused(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		for code, r := range map[api.Code][]words.FeedRequest{
			api.CodeInvalid: {
				{Piece: words.Piece{Epoch: 1}}, {Piece: words.Piece{Epoch: 1, Of: 1, Index: 1}},
				{Piece: words.Piece{Epoch: 1, Of: 1, Range: api.Range{Start: "b", End: "a"}}},
			},
			api.CodeWrongGroup: {
				{Piece: words.Piece{Epoch: 1, Of: 1, Group: "g.2"}}, {Piece: words.Piece{Epoch: 2, Of: 1}}, {Piece: words.Piece{Epoch: 1, Of: 2}},
			},
		} {
			for i := range r {
				_, err := l.node("a").authority.Feed(t.Context(), &r[i])
				wantCode(t, err, code)
			}
		}
		_, err := l.node("b").authority.Feed(t.Context(), &words.FeedRequest{Piece: everything})
		wantCode(t, err, api.CodeNotLeader)
		if api.AsError(err).Leader != "a" {
			t.Errorf("the leader is %q", api.AsError(err).Leader)
		}
	})
}

// TestFeedFromNow checks that a leader that was deposed without knowing it begins no feed from now: changes from before the request
// would be delivered.
func TestFeedFromNow(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.setCut(true)
		b := l.elect("b")
		b.mustWrite(put("k", "1"))
		if _, err := a.authority.Feed(t.Context(), &words.FeedRequest{Piece: everything, Now: true}); err == nil {
			t.Error("a deposed leader begins a feed from now")
		}
		s, _ := b.subscribe(words.FeedRequest{Piece: everything, Now: true})
		if b.mustWrite(put("l", "2")); s.upTo(b.counter()).keys() != "l" {
			t.Errorf("got %q", s.keys())
		}
	})
}

// TestFeedEndsWithLead checks that a feed ends before anything of a higher term applies, whether it is live or reads the history.
func TestFeedEndsWithLead(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.mustWrite(put("old", "1"))
		live, _ := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		behind, _ := a.subscribe(words.FeedRequest{Piece: everything})
		idle, _ := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		idle.next()
		b := l.elect("b")
		b.mustWrite(put("new", "2"))
		for _, s := range []*subscriber{live, behind, idle} {
			s.wantEnd(api.CodeNotLeader)
			if strings.Contains(s.keys(), "new") {
				t.Errorf("a follower delivered %q", s.keys())
			}
		}
	})
}

// always is a machine that takes what it owns for what it has always owned.
type always struct{ feedMachine }

func (always) Tenure(fsm.Shard) (fsm.Tenure, bool) { return fsm.Tenure{}, true }

// TestFeedOfAMove checks that a feed delivers all of a range that the group gives up, and then its new owner; what is left can be
// followed further from there, and what is gone from its beginning at the new owner.
func TestFeedOfAMove(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.mustWrite(put("m", "1"))
		live, _ := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		a.mustWrite(put("n", "1"))
		a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "m"}}}})
		a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "n"}}}})
		moved := api.Range{Start: "m", End: "p"}
		at := a.try(fsm.Cede{Term: l.now(), Range: moved, Epoch: 7, To: []api.GroupID{"g.2"}}).Index
		a.mustWrite(put("a", "after"))
		for name, s := range map[string]*subscriber{
			"live": live, "behind": first(a.subscribe(words.FeedRequest{Piece: everything})),
			"from the move": first(a.subscribe(words.FeedRequest{Piece: everything, After: words.Position{Incarnation: 1, Index: at - 1}})),
		} {
			var b *words.FeedBatch
			for b = s.next(); b.Moved == nil; b = s.next() {
			}
			if b.Moved.Epoch != 7 || b.Moved.Range != moved || b.To.Index < at {
				t.Errorf("%s: %+v, %+v", name, b, b.Moved)
			}
			if _, err := s.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: after the move: %v", name, err)
			}
			left, _ := a.subscribe(words.FeedRequest{Piece: words.Piece{Range: api.Range{End: "m"}, Of: 1, Epoch: 1}, After: b.To})
			left.to, left.events = s.to, s.events
			want := map[string]string{"live": "n m n a", "behind": "m n m n a", "from the move": "a"}[name]
			if left.upTo(a.counter()).keys() != want {
				t.Errorf("%s: got %q, want %q", name, left.keys(), want)
			}
			s.Close()
			left.Close()
		}
		_, b := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		if b.Moved == nil || b.To.Index != a.counter() {
			t.Errorf("from now: %+v", b)
		}
	})
}

func first(s *subscriber, _ *words.FeedBatch) *subscriber { return s }

// TestFeedOfANewOwner checks that a feed without a position begins where the group took the piece over, and has no earlier
// time at which it owned the same keys.
func TestFeedOfANewOwner(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		rng := api.Range{Start: "m", End: "p"}
		gone := func(k api.Key) *words.Txn {
			return &words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: k}}}}
		}
		a.mustWrite(put("m/1", "of epoch 1"))
		a.mustWrite(gone("m/1"))
		receipt := a.try(fsm.Cede{Term: l.now(), Range: rng, Epoch: 7, To: []api.GroupID{"g.2"}}).Receipt
		back := *receipt
		back.Epoch, back.To, back.From = 9, []api.GroupID{"g.1"}, []fsm.Source{{Group: "g.2", Index: 0, Of: 1}}
		since := a.try(fsm.Adopt{Receipt: back, Shard: fsm.Shard{Range: rng, Epoch: 9, Of: 1}}).Index
		a.mustWrite(put("m/2", "of epoch 9"))
		piece := words.Piece{Range: rng, Epoch: 9, Of: 1}
		s, b := a.subscribe(words.FeedRequest{Piece: piece})
		if b.To.Index != since || b.Gap != "" {
			t.Errorf("begins with %+v, want %d", b, since)
		}
		if s.upTo(a.counter()).keys() != "m/2" {
			t.Errorf("got %q", s.keys())
		}
		// An earlier position, by whatever way it came here, makes no difference.
		s, _ = a.subscribe(words.FeedRequest{Piece: piece, After: words.Position{Incarnation: 1, Index: 2}})
		if s.upTo(a.counter()).keys() != "m/2" {
			t.Errorf("from before: got %q", s.keys())
		}
		a.authority.feeds = always{a.machine}
		s, _ = a.subscribe(words.FeedRequest{Piece: piece})
		if s.upTo(a.counter()).keys() != "m/2" {
			t.Errorf("of all times: got %q", s.keys())
		}
	})
}

// TestFeedGaps checks that a feed reports what is missing, and goes on behind that.
func TestFeedGaps(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		for i := range 10 {
			a.mustWrite(put(api.Key(fmt.Sprint("k", i)), "v"))
		}
		counter := a.counter()
		position := func(incarnation, index uint64) words.FeedRequest {
			return words.FeedRequest{Piece: everything, After: words.Position{Incarnation: incarnation, Index: index}}
		}
		late, _ := a.subscribe(position(1, 2)) // reads on only when the history has become shorter
		a.try(fsm.TrimHistory{Term: l.now(), Below: counter - 2, Limit: 100})
		floor := a.machine.Position().Floor
		if floor != counter-3 {
			t.Fatalf("the floor is %d of %d", floor, counter)
		}
		b := late.next()
		if b.Gap != api.GapTrimmed || b.To.Index != floor {
			t.Errorf("a feed that has fallen behind: %+v", b)
		}
		if late.upTo(a.counter()).keys() != "k7 k8 k9" {
			t.Errorf("behind the gap: %q", late.keys())
		}
		for name, c := range map[string]struct {
			r      words.FeedRequest
			reason api.GapReason
			keys   string
		}{
			"trimmed":           {position(1, floor-1), api.GapTrimmed, "k7 k8 k9"},
			"from the start":    {position(0, 0), api.GapTrimmed, "k7 k8 k9"},
			"at the floor":      {position(1, floor), "", "k7 k8 k9"},
			"other incarnation": {position(2, floor+2), api.GapRestored, "k7 k8 k9"},
			"ahead":             {position(1, counter+100), api.GapRestored, "k7 k8 k9"},
			"now":               {words.FeedRequest{Piece: everything, Now: true, After: words.Position{Incarnation: 9, Index: 1}}, "", ""},
		} {
			s, b := a.subscribe(c.r)
			if s.upTo(a.counter()); b.Gap != c.reason || s.keys() != c.keys {
				t.Errorf("%s: gap %q, then %q; want %q, %q", name, b.Gap, s.keys(), c.reason, c.keys)
			}
			s.Close()
		}
	})
}

// TestFeedWithoutHistory checks that a feed ends if the group keeps its history no more, and that none begins: also if it is kept
// again before the feed has noticed.
func TestFeedWithoutHistory(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		s, _ := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		again, _ := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		a.try(fsm.HistoryMax{Term: l.now()})
		s.wantEnd(api.CodeUnavailable)
		_, err := a.authority.Feed(t.Context(), &words.FeedRequest{Piece: everything, Now: true})
		wantCode(t, err, api.CodeUnavailable)
		a.mustWrite(put("untold", "1"))
		a.try(fsm.HistoryMax{Term: l.now(), Bytes: 1 << 20})
		a.mustWrite(put("told", "1"))
		b := again.next()
		if b.Gap != api.GapTrimmed || again.upTo(a.counter()).keys() != "told" {
			t.Errorf("%+v, then %q", b, again.keys())
		}
	})
}

// TestFeedValues checks that a value which is too long for the history is delivered while the key has it, and never another one.
func TestFeedValues(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		long := func(c string) string { return strings.Repeat(c, fsm.MaxEventBytes+1) }
		live, _ := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		a.mustWrite(put("k", long("a")))
		a.mustWrite(put("k", long("b")))
		a.mustWrite(put("gone", long("c")))
		a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "gone"}}}})
		s, _ := a.subscribe(words.FeedRequest{Piece: everything})
		s.upTo(a.counter())
		if e := s.events[0]; !e.Elided || len(e.Value) > 0 {
			t.Errorf("a value that was replaced: %d bytes %q, elided %v", len(e.Value), e.Value[:1], e.Elided)
		}
		if e := s.events[1]; e.Elided || string(e.Value) != long("b") {
			t.Errorf("the present value: %d bytes, elided %v", len(e.Value), e.Elided)
		}
		if e := s.events[2]; !e.Elided {
			t.Errorf("a value that was deleted: %d bytes", len(e.Value))
		}
		live.upTo(a.counter())
		if e := live.events[0]; e.Elided || string(e.Value) != long("a") {
			t.Errorf("got at once: %d bytes, elided %v", len(e.Value), e.Elided)
		}
	})
}

// TestFeedTTL checks that events say what is left of a key's time to live when they are sent, and that its end is delivered.
func TestFeedTTL(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		live, _ := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k", Value: []byte("v"), TTL: 5 * time.Second}}}})
		if live.upTo(a.counter()); live.events[0].TTL <= 4*time.Second || live.events[0].TTL > 5*time.Second {
			t.Errorf("got at once: %+v", live.events[0])
		}
		time.Sleep(2 * time.Second)
		late, _ := a.subscribe(words.FeedRequest{Piece: everything})
		if late.next(); late.events[0].TTL <= 2*time.Second || late.events[0].TTL > 3*time.Second {
			t.Errorf("got after 2 s: %+v", late.events[0])
		}
		for len(late.events) < 2 {
			late.next()
		}
		if e := late.events[1]; e.Kind != api.EventExpire || e.Key != "k" || e.TTL != 0 {
			t.Errorf("got %+v", e)
		}
		again, _ := a.subscribe(words.FeedRequest{Piece: everything})
		if again.upTo(a.counter()); again.events[0].TTL != time.Millisecond {
			t.Errorf("got after its end: %+v", again.events[0])
		}
	})
}

// TestFeedAges checks that marks say how old a position is: not younger than the confirm that they rest on, and not at all without
// one. A leader that has stepped down ends its feeds though nothing of a higher term has applied.
func TestFeedAges(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		s, _ := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		a.set(func(h *hooks) { h.confirm = func() time.Duration { return 300 * time.Millisecond } })
		began := time.Now()
		s.next()
		b := s.next()
		if b.Age < 300*time.Millisecond || b.Age > 1300*time.Millisecond || !b.AsOf.Equal(time.Now().Add(-b.Age)) || time.Since(began) > 3*time.Second {
			t.Errorf("a mark after %v: %+v", time.Since(began), b)
		}
		a.mustWrite(put("k", "1"))
		if b = s.next(); len(b.Events) != 1 || b.Age != 0 && b.To.Index < a.counter() {
			t.Errorf("got %+v", b)
		}
		a.setCut(true)
		l.elect("b")
		l.node("b").mustWrite(put("k", "2"))
		// The marks of a leader that no quorum confirms get older.
		if b = s.next(); b.Age > 0 && time.Since(b.AsOf) < 300*time.Millisecond {
			t.Errorf("a deposed leader says that its position is %v old", b.Age)
		}
		l.mu.Lock()
		a.believes, a.term = "b", l.term // it learns of the other without applying anything
		l.mu.Unlock()
		s.wantEnd(api.CodeNotLeader)
		_, err := a.authority.Feed(t.Context(), &words.FeedRequest{Piece: everything})
		wantCode(t, err, api.CodeNotLeader)
	})
}

// TestFeedBehind checks that a feed whose queue is full reads the history by its own position until it has caught up, that few
// feeds do so at once, and that nothing else waits for it: neither the log, nor the other feeds.
func TestFeedBehind(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		m := &slowHistory{feedMachine: a.machine, takes: time.Second}
		a.authority.feeds = m
		live, _ := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		var slow []*subscriber
		for range 3 * FeedScans {
			s, _ := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
			slow = append(slow, s)
		}
		began := time.Now()
		var want []string
		for i := range 40 {
			k := api.Key(fmt.Sprintf("k%02d", i))
			want = append(want, string(k))
			a.mustWrite(put(k, strings.Repeat("v", fsm.MaxEventBytes/2)))
			live.upTo(a.counter())
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("40 writes took %v", took)
		}
		if m.reads.Load() != 0 || len(live.events) != 40 {
			t.Errorf("a feed that keeps up read the history %d times, and delivered %d events", m.reads.Load(), len(live.events))
		}
		for _, s := range slow {
			s.feed().queue.mu.Lock()
			if q := &s.feed().queue; !q.off || q.bytes > 0 || len(q.commands) > 0 {
				t.Errorf("the queue of a slow feed has %d bytes", q.bytes)
			}
			s.feed().queue.mu.Unlock()
		}
		var wg sync.WaitGroup
		for _, s := range slow {
			wg.Go(func() {
				for s.to.Index < a.counter() {
					b, err := s.Next()
					if err != nil {
						t.Error(err)
						return
					}
					s.took(b)
				}
			})
		}
		a.mustWrite(put("k99", "v"))
		want = append(want, "k99")
		wg.Wait()
		for _, s := range slow {
			if s.keys() != strings.Join(want, " ") {
				t.Errorf("a slow feed delivered %q", s.keys())
			}
		}
		if most := m.most.Load(); most != FeedScans {
			t.Errorf("%d feeds read the history at once, want %d", most, FeedScans)
		}
		before := m.reads.Load()
		a.mustWrite(put("more", "v"))
		for _, s := range slow {
			if s.upTo(a.counter()); s.events[len(s.events)-1].Key != "more" {
				t.Errorf("after it caught up, a feed told %+v", s.events[len(s.events)-1])
			}
		}
		if m.reads.Load() != before {
			t.Error("a feed that has caught up reads the history")
		}
	})
}

func (s *subscriber) feed() *feed { return s.Feed.(*feed) }

// slowHistory is a machine whose history takes a time to read.
type slowHistory struct {
	feedMachine
	takes            time.Duration
	reads, now, most atomic.Int64
}

func (m *slowHistory) History(after uint64, limit int) (fsm.History, error) {
	m.reads.Add(1)
	m.most.Store(max(m.most.Load(), m.now.Add(1)))
	defer m.now.Add(-1)
	time.Sleep(m.takes)
	return m.feedMachine.History(after, limit)
}

// TestFeedsLetGo checks that a hub without feeds keeps nothing and confirms nothing, and that it bounds its feeds.
func TestFeedsLetGo(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		var confirms atomic.Int64
		s, _ := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		h := s.feed().hub
		a.set(func(x *hooks) { x.confirm = func() time.Duration { confirms.Add(1); return 0 } })
		time.Sleep(10 * time.Second)
		if n := confirms.Load(); n < 9 || n > 11 {
			t.Errorf("%d confirms in 10 s", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		f, err := a.authority.Feed(ctx, &words.FeedRequest{Piece: everything})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		_, err = f.Next()
		wantCode(t, err, api.CodeUnavailable)
		f.Close()
		f.Close()
		s.Close()
		confirms.Store(0)
		a.mustWrite(put("k", "v"))
		time.Sleep(10 * time.Second)
		h.intake.Lock()
		waiting := len(h.intake.commands)
		h.intake.Unlock()
		if confirms.Load() != 0 || h.open.Load() || waiting > 0 {
			t.Errorf("a hub without feeds: %d confirms, %d commands", confirms.Load(), waiting)
		}
		var all []words.Feed
		for range MaxFeeds {
			f, err := a.authority.Feed(t.Context(), &words.FeedRequest{Piece: everything})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, f)
		}
		_, err = a.authority.Feed(t.Context(), &words.FeedRequest{Piece: everything})
		wantCode(t, err, api.CodeUnavailable)
		for _, f := range all {
			f.Close()
		}
		if h.count() != 0 {
			t.Errorf("%d feeds are left", h.count())
		}
	})
}

// TestFeedsRandomly has writers, and feeds that are slow at random, end, and go on at their position or a random one: each delivers
// exactly the history behind where it began.
func TestFeedsRandomly(t *testing.T) {
	for seed := range uint64(2) {
		bubble(t, nil, func(t *testing.T, l *testLog) {
			a := l.node("a")
			rng := rand.New(rand.NewPCG(seed, 14))
			for i := range 40 {
				a.mustWrite(put(api.Key(fmt.Sprint("b/early", i)), "v"))
			}
			done := make(chan struct{})
			var wg sync.WaitGroup
			for w := range 3 {
				r := rand.New(rand.NewPCG(seed, uint64(w)))
				wg.Go(func() {
					for range 120 {
						txn := &words.Txn{}
						for range 1 + r.IntN(3) {
							k := api.Key(fmt.Sprintf("%c/%d", "abc"[r.IntN(3)], r.IntN(8)))
							if op := (api.Op{Kind: api.OpPut, Key: k, Value: make([]byte, r.IntN(12<<10))}); r.IntN(4) > 0 {
								txn.Then = append(txn.Then, op)
							} else {
								txn.Then = append(txn.Then, api.Op{Kind: api.OpDelete, Key: k})
							}
						}
						seen := map[api.Key]bool{}
						txn.Then = slices.DeleteFunc(txn.Then, func(o api.Op) bool { twice := seen[o.Key]; seen[o.Key] = true; return twice })
						a.mustWrite(txn)
						time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
					}
				})
			}
			type reader struct {
				r    words.FeedRequest
				from uint64
				got  []words.FeedEvent
			}
			readers := make([]reader, 12)
			var reading sync.WaitGroup
			for i := range readers {
				x, r := &readers[i], rand.New(rand.NewPCG(seed, 100+uint64(i)))
				x.r = words.FeedRequest{Piece: everything, After: words.Position{Incarnation: 1, Index: uint64(1 + rng.IntN(40))}}
				if i%3 == 0 {
					x.r.Range = api.PrefixRange("b/")
				}
				x.from = x.r.After.Index
				reading.Go(func() { follow(t, a, &x.r, r, &x.got, done) })
			}
			wg.Wait()
			close(done)
			reading.Wait()
			all, err := a.machine.History(0, 1<<30)
			if err != nil || all.Position.Floor != 0 {
				t.Fatalf("%+v, %v", all.Position, err)
			}
			for i := range readers {
				x := &readers[i]
				var want []string
				for _, e := range all.Events {
					if e.Index > x.from && x.r.Range.Contains(e.Key) {
						want = append(want, fmt.Sprint(e.Index, e.Kind, e.Key, len(e.Value)))
					}
				}
				var got []string
				for _, e := range x.got {
					got = append(got, fmt.Sprint(e.Index, e.Kind, e.Key, len(e.Value)))
				}
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d: reader %d from %d told %d events, want %d", seed, i, x.from, len(got), len(want))
				}
			}
		})
	}
}

// follow reads feeds of a piece, each from where the last one ended, until done is closed and all is delivered.
func follow(t *testing.T, n *testNode, r *words.FeedRequest, rng *rand.Rand, got *[]words.FeedEvent, done <-chan struct{}) {
	for {
		f, err := n.authority.Feed(t.Context(), r)
		if err != nil {
			t.Error(err)
			return
		}
		for range 1 + rng.IntN(30) {
			b, err := f.Next()
			if err != nil {
				t.Error(err)
				return
			}
			if b.Gap != "" {
				t.Errorf("a gap: %+v", b)
			}
			*got, r.After = append(*got, b.Events...), b.To
			select {
			case <-done:
				if b.To.Index >= n.counter() {
					f.Close()
					return
				}
			default:
				time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
			}
		}
		f.Close()
	}
}

// TestHubFallsBehind checks that a hub which cannot keep what it hears reads the history once for all of its feeds, and that they
// miss nothing.
func TestHubFallsBehind(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		m := &slowHistory{feedMachine: a.machine}
		a.authority.feeds = m
		all, _ := a.subscribe(words.FeedRequest{Piece: everything, Now: true})
		var parts []*subscriber
		for i := range 20 {
			piece := everything
			piece.Range = api.PrefixRange(api.Key(fmt.Sprintf("k%02d/", i)))
			s, _ := a.subscribe(words.FeedRequest{Piece: piece, Now: true})
			parts = append(parts, s)
		}
		h := all.feed().hub
		h.mu.Lock() // its goroutine waits
		n := 2 * hubIntake / (60 << 10)
		for i := range n {
			k := api.Key(fmt.Sprintf("k%02d/%d", i%40, i))
			if res := a.try(fsm.Write{Term: l.now(), Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: make([]byte, 60<<10)}}}}); res.Err != nil {
				t.Fatal(res.Err)
			}
		}
		h.intake.Lock()
		if !h.intake.lost || len(h.intake.commands) > 0 {
			t.Errorf("%d commands of %d wait for the hub", len(h.intake.commands), n)
		}
		h.intake.Unlock()
		h.mu.Unlock()
		for i, s := range parts {
			if s.upTo(a.counter()); len(s.events) < n/40 || !strings.HasPrefix(string(s.events[0].Key), fmt.Sprintf("k%02d/", i)) {
				t.Errorf("feed %d has %q", i, s.keys())
			}
		}
		reads := m.reads.Load()
		if reads > 4 {
			t.Errorf("20 feeds of few keys read the history %d times", reads)
		}
		if all.upTo(a.counter()); len(all.events) != n {
			t.Errorf("the feed of all keys has %d events of %d", len(all.events), n)
		}
	})
}

// TestFeedIndex checks the index of feeds against a look at each of them.
func TestFeedIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 14))
	key := func() api.Key {
		return api.Key("abcdefgh"[rng.IntN(8):][:1] + "0123456789"[rng.IntN(10):][:rng.IntN(2)])
	}
	for range 300 {
		var feeds []*feed
		for range rng.IntN(12) {
			r := api.Range{Start: key(), End: key()}
			if rng.IntN(4) == 0 {
				r.Start = ""
			}
			if rng.IntN(4) == 0 {
				r.End = ""
			}
			if r.End != "" && r.End <= r.Start {
				continue
			}
			of := words.FeedRequest{Piece: words.Piece{Range: r, Of: 1, Epoch: uint64(1 + rng.IntN(2))}}
			if next := (api.Range{Start: r.End + "1", End: r.End + "9"}); r.End != "" && rng.IntN(2) == 0 {
				of.Also = []words.FeedPart{{Piece: words.Piece{Range: next, Of: 1, Epoch: uint64(1 + rng.IntN(2))}}}
			}
			x, err := newFeedOf(&of)
			if err != nil {
				t.Fatal(err)
			}
			feeds = append(feeds, &feed{request: *x})
		}
		x := newFeedIndex(feeds)
		for index := range uint64(3) {
			c := visible{index: index}
			for range 1 + rng.IntN(6) {
				c.events = append(c.events, fsm.Event{Index: index, Key: key(), Version: api.Version{Epoch: uint64(1 + rng.IntN(2))}})
			}
			for _, f := range feeds {
				f.news = nil
			}
			touched := x.pass(&c, nil)
			for _, f := range feeds {
				want := f.request.filter(c.events)
				if len(want) == 0 {
					if len(f.news) > 0 || slices.Contains(touched, f) {
						t.Fatalf("%v: %+v", f.request.Range, f.news)
					}
					continue
				}
				if len(f.news) != 1 || fmt.Sprint(f.news[0].events) != fmt.Sprint(want) || !slices.Contains(touched, f) {
					t.Fatalf("%v: %+v, want %+v of %+v", f.request.Range, f.news, want, c.events)
				}
			}
		}
	}
}
