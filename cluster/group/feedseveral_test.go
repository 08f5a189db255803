package group

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// piece is a part of what testInit founds the group with, or of what it took over at another epoch.
func piece(start, end api.Key, epoch uint64) words.Piece {
	return words.Piece{Range: api.Range{Start: start, End: end}, Of: 1, Epoch: epoch, Group: "g.1"}
}

// puts is a transaction that puts all the keys.
func puts(keys ...api.Key) *words.Txn {
	t := &words.Txn{}
	for _, k := range keys {
		t.Then = append(t.Then, api.Op{Kind: api.OpPut, Key: k, Value: []byte("v")})
	}
	return t
}

func deletes(keys ...api.Key) *words.Txn {
	t := &words.Txn{}
	for _, k := range keys {
		t.Then = append(t.Then, api.Op{Kind: api.OpDelete, Key: k})
	}
	return t
}

// TestFeedOfSeveral checks that a feed of several pieces delivers what a command changed in them in one batch, of each piece from its own
// position, live and from the history, and which of them lack something.
func TestFeedOfSeveral(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		left, right := piece("", "m", 1), piece("p", "", 1)
		several := func(i, j uint64) words.FeedRequest {
			at := func(i uint64) words.Position { return words.Position{Incarnation: 1, Index: i} }
			return words.FeedRequest{Piece: left, After: at(i), Also: []words.FeedPart{{Piece: right, After: at(j)}}}
		}
		start := a.counter()
		live, first := a.subscribe(several(start, start))
		if len(first.Parts) != 2 || first.Parts[0].To != first.To || first.Parts[1] != first.Parts[0] || first.Gap != "" {
			t.Fatalf("begins with %+v", first)
		}
		a.mustWrite(puts("a", "x"))
		b := live.next()
		if live.keys() != "a x" || len(b.Parts) != 0 {
			t.Errorf("got %q in %+v", live.keys(), b)
		}
		a.mustWrite(puts("b", "n", "y"))
		a.mustWrite(puts("n"))
		a.mustWrite(puts("c", "z"))
		live.upTo(a.counter())
		if live.keys() != "a x b y c z" {
			t.Errorf("got %q", live.keys())
		}
		at := live.events[0].Index
		behind, first := a.subscribe(several(at, start))
		if first.To.Index != start || first.Parts[0].To.Index != at || first.Parts[1].To.Index != start {
			t.Errorf("begins with %+v", first)
		}
		if behind.upTo(a.counter()); behind.keys() != "x b y c z" {
			t.Errorf("from two positions: got %q", behind.keys())
		}
		floor := live.events[2].Index
		a.try(fsm.TrimHistory{Term: l.now(), Below: floor + 1, Limit: 100})
		lacks, first := a.subscribe(several(floor+1, start))
		if first.Gap != "" || first.Parts[0].Gap != "" || first.Parts[1].Gap != api.GapTrimmed || first.Parts[1].To.Index != floor {
			t.Errorf("trimmed: %+v", first)
		}
		if lacks.upTo(a.counter()); lacks.keys() != "c z" {
			t.Errorf("behind the gap: got %q", lacks.keys())
		}
		for name, r := range map[string]words.FeedRequest{
			"of one key twice":  {Piece: left, Also: []words.FeedPart{{Piece: piece("a", "b", 1)}}},
			"of another group":  {Piece: left, Also: []words.FeedPart{{Piece: words.Piece{Range: right.Range, Of: 1, Epoch: 1, Group: "g.2"}}}},
			"of no shard":       {Piece: left, Also: []words.FeedPart{{Piece: words.Piece{Range: right.Range, Epoch: 1, Group: "g.1"}}}},
			"of too many":       {Piece: left, Also: make([]words.FeedPart, words.MaxFeedPieces)},
			"beside too many":   {Piece: left, Beside: make([]words.Piece, words.MaxFeedPieces+1)},
			"of an empty range": {Piece: left, Also: []words.FeedPart{{Piece: piece("z", "y", 1)}}},
		} {
			if _, err := a.authority.Feed(t.Context(), &r); api.CodeOf(err) != api.CodeInvalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		r := several(start, start)
		r.Also[0].Epoch = 4
		_, err := a.authority.Feed(t.Context(), &r)
		wantCode(t, err, api.CodeWrongGroup)
	})
}

// TestFeedOfSeveralOverAMove checks that a feed of several pieces ends where one of them was given up, so that nothing of the others is
// delivered from there before its caller follows the new owner.
func TestFeedOfSeveralOverAMove(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		r := words.FeedRequest{Piece: piece("", "m", 1), Also: []words.FeedPart{{Piece: piece("m", "", 1)}}}
		live, _ := a.subscribe(r)
		a.mustWrite(puts("a", "x"))
		at := a.try(fsm.Cede{Term: l.now(), Range: api.Range{Start: "m", End: "p"}, Epoch: 7, To: []api.GroupID{"g.2"}}).Index
		a.mustWrite(puts("b", "y"))
		behind, _ := a.subscribe(r)
		for name, s := range map[string]*subscriber{"live": live, "behind": behind} {
			b := s.next()
			for !b.Last() {
				b = s.next()
			}
			if b.Moved == nil || b.Moved.Part != 1 || b.To.Index != at || s.keys() != "a x" {
				t.Errorf("%s: %+v, got %q", name, b, s.keys())
			}
			if _, err := s.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: after the move: %v", name, err)
			}
		}
	})
}

// TestFeedIsHalted checks that a feed ends where its group took over what follows a piece beside it, whether it was live, is behind, or
// begins later, and delivers nothing that the group changed since: a feed of both delivers that together.
func TestFeedIsHalted(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		rng := api.Range{Start: "m", End: "p"}
		receipt := *a.try(fsm.Cede{Term: l.now(), Range: rng, Epoch: 7, To: []api.GroupID{"g.2"}}).Receipt
		start := words.Position{Incarnation: 1, Index: a.counter()}
		other := words.Piece{Range: rng, Of: 1, Epoch: 7, Group: "g.2"}
		halting := words.FeedRequest{Piece: piece("", "m", 1), After: start, Beside: []words.Piece{other}}
		live, _ := a.subscribe(halting)
		a.mustWrite(puts("a"))
		receipt.Epoch, receipt.To, receipt.From = 9, []api.GroupID{"g.1"}, []fsm.Source{{Group: "g.2", Index: 0, Of: 1}}
		since := a.try(fsm.Adopt{Receipt: receipt, Shard: fsm.Shard{Range: rng, Epoch: 9, Of: 1}}).Index
		a.mustWrite(puts("b", "m/1"))
		halted := func(name string, s *subscriber, at uint64, keys string) {
			t.Helper()
			b := &words.FeedBatch{To: s.to}
			for n := 0; !b.Last() && n < 10; n++ {
				b = s.next()
			}
			if !b.Halted || b.Moved != nil || b.To.Index != at || s.keys() != keys {
				t.Errorf("%s: %+v at %d, got %q", name, b, s.to.Index, s.keys())
			}
			if _, err := s.Next(); b.Last() && !errors.Is(err, io.EOF) {
				t.Errorf("%s: after its end: %v", name, err)
			}
		}
		behind, _ := a.subscribe(halting)
		halted("live", live, since, "a")
		halted("behind", behind, since, "a")
		later := halting
		later.After.Index = since + 1
		s, first := a.subscribe(later)
		if !first.Halted || first.To.Index != since+1 {
			t.Errorf("later: %+v, %+v", first, s)
		}

		both := words.FeedRequest{Piece: halting.Piece, After: words.Position{Incarnation: 1, Index: since}, Also: []words.FeedPart{{Piece: piece("m", "p", 9)}}}
		joined, _ := a.subscribe(both)
		if b := joined.next(); fmt.Sprint(joined.keys()) != "b m/1" || len(b.Events) != 2 {
			t.Errorf("of both: %+v", b)
		}
		past := halting
		past.Beside = []words.Piece{{Range: rng, Of: 1, Epoch: 11, Group: "g.3"}}
		if s, _ := a.subscribe(past); s.upTo(a.counter()).keys() != "a b" {
			t.Errorf("of what was before: got %q", s.keys())
		}

		a.mustWrite(deletes("m/1"))
		a.try(fsm.Cede{Term: l.now(), Range: rng, Epoch: 13, To: []api.GroupID{"g.2"}})
		again, _ := a.subscribe(halting)
		halted("given up again", again, since, "a")
		over := halting
		over.After.Index = a.counter()
		a.mustWrite(puts("c"))
		if s, _ := a.subscribe(over); s.upTo(a.counter()).keys() != "c" {
			t.Errorf("after it was given up again: got %q", s.keys())
		}
		over.Now = true
		if s, first := a.subscribe(over); !first.Halted || len(first.Events) > 0 {
			t.Errorf("from now, after it was given up again: %+v, %+v", first, s)
		}
		over.Beside = past.Beside
		over.Beside[0].Epoch = 13
		if s, first := a.subscribe(over); first.Halted {
			t.Errorf("from now, beside the present owner: %+v, %+v", first, s)
		}
	})
}

// busyHistory is a machine to which something happens just before its history is read, once.
type busyHistory struct {
	feedMachine
	happen func()
	once   sync.Once
}

func (m *busyHistory) History(after uint64, limit int) (fsm.History, error) {
	m.once.Do(m.happen)
	return m.feedMachine.History(after, limit)
}

// TestHubFallsBehindWhatItHears checks that a hub which reads the history beyond what it has heard of passes nothing on twice, and that a
// feed ends where it should also if that is there.
func TestHubFallsBehindWhatItHears(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		rng := api.Range{Start: "m", End: "p"}
		receipt := *a.try(fsm.Cede{Term: l.now(), Range: rng, Epoch: 7, To: []api.GroupID{"g.2"}}).Receipt
		receipt.Epoch, receipt.To, receipt.From = 9, []api.GroupID{"g.1"}, []fsm.Source{{Group: "g.2", Index: 0, Of: 1}}
		var since uint64
		put := func(keys ...api.Key) {
			then := puts(keys...).Then
			if res := a.try(fsm.Write{Term: l.now(), Txn: api.Txn{Then: then}}); res.Err != nil {
				t.Error(res.Err)
			}
		}
		a.authority.feeds = &busyHistory{feedMachine: a.machine, happen: func() {
			put("b")
			since = a.try(fsm.Adopt{Receipt: receipt, Shard: fsm.Shard{Range: rng, Epoch: 9, Of: 1}}).Index
			put("c", "m/1")
		}}
		at := words.Position{Incarnation: 1, Index: a.counter()}
		all, _ := a.subscribe(words.FeedRequest{Piece: piece("", "m", 1), After: at})
		halting, _ := a.subscribe(words.FeedRequest{Piece: piece("", "m", 1), After: at, Beside: []words.Piece{{Range: rng, Of: 1, Epoch: 7, Group: "g.2"}}})
		h := all.feed().hub
		h.mu.Lock() // its goroutine waits
		put("a")
		h.intake.Lock()
		h.intake.lost, h.intake.commands, h.intake.bytes = true, nil, 0
		h.intake.Unlock()
		h.mu.Unlock()
		synctest.Wait()
		put("d")
		synctest.Wait()
		if all.upTo(a.counter()); all.keys() != "a b c d" {
			t.Errorf("got %q", all.keys())
		}
		b := halting.next()
		for n := 0; !b.Last() && n < 10; n++ {
			b = halting.next()
		}
		if !b.Halted || b.To.Index != since || halting.keys() != "a b" {
			t.Errorf("%+v, halted at %d, got %q", b, halting.to.Index, halting.keys())
		}
	})
}
