package router

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/placement"
)

// fakeFeed is a feed of one node. Like a leader's it first says where it begins, and a mark once a second.
type fakeFeed struct {
	ctx   context.Context
	at    words.Position
	first *words.FeedBatch
	then  chan any // a *words.FeedBatch or an error
	mute  bool
}

func (f *fakeFeed) Next() (*words.FeedBatch, error) {
	if b := f.first; b != nil {
		f.first = nil
		return b, nil
	}
	mark := time.After(time.Second)
	if f.mute {
		mark = nil
	}
	select {
	case x := <-f.then:
		if err, bad := x.(error); bad {
			return nil, err
		}
		b := x.(*words.FeedBatch)
		f.at = b.To
		return b, nil
	case <-mark:
		return &words.FeedBatch{To: f.at, Age: 1}, nil
	case <-f.ctx.Done():
		return nil, &api.Error{Code: api.CodeUnavailable, Hint: "the stream is over"}
	}
}

func (f *fakeFeed) Close() error { return nil }

// feeds is the leaders' side of a test of feeds.
type feeds struct {
	*backend
	opened []words.FeedRequest
	nodes  []api.NodeID
	newest *fakeFeed
	refuse error
	mute   bool
	old    bool // the nodes serve one piece at a time
}

func (x *feeds) open(ctx context.Context, node api.NodeID, r *words.FeedRequest) (words.Feed, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.opened, x.nodes = append(x.opened, *r), append(x.nodes, node)
	if x.refuse != nil {
		return nil, x.refuse
	}
	at := r.After
	if r.Now {
		at = words.Position{Incarnation: 1, Index: 100}
	}
	x.newest = &fakeFeed{ctx: ctx, at: at, first: &words.FeedBatch{To: at}, then: make(chan any, 8), mute: x.mute}
	return x.newest, nil
}

func (x *feeds) set(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f()
}

func at(index uint64) words.Position { return words.Position{Incarnation: 1, Index: index} }

func batchTo(index uint64) *words.FeedBatch {
	return &words.FeedBatch{To: at(index), Events: []words.FeedEvent{{Index: index}}}
}

// followed runs f with a router's feed from now of a piece of a.1, whose leader is a1.
func followed(t *testing.T, f func(t *testing.T, x *feeds, r *Router, feed words.Feed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x := &feeds{backend: newBackend(t)}
		x.feed = x.open
		r := x.router(t)
		feed, err := r.Feed(t.Context(), &words.FeedRequest{Now: true, Piece: words.Piece{Range: api.PrefixRange("x/"), Of: 2, Epoch: 1, Group: "a.1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer feed.Close()
		if b, err := feed.Next(); err != nil || b.To != at(100) {
			t.Fatalf("%+v, %v", b, err)
		}
		f(t, x, r, feed)
	})
}

// TestFeedGoesOn checks that a feed goes on at its position when its node breaks off, does not lead any more, or falls silent, and
// when another node says that it leads.
func TestFeedGoesOn(t *testing.T) {
	for name, breaks := range map[string]func(x *feeds, r *Router){
		"not leader": func(x *feeds, _ *Router) {
			x.leaders["a.1"] = "a2"
			x.newest.then <- error(&api.Error{Code: api.CodeNotLeader, Leader: "a2"})
		},
		"broken": func(x *feeds, _ *Router) {
			x.newest.then <- error(&api.Error{Code: api.CodeUnavailable, Hint: "the stream is over"})
		},
		"silent": func(x *feeds, _ *Router) { x.newest.mute = true },
		"another leads": func(x *feeds, r *Router) {
			x.leaders["a.1"], x.newest.mute = "a2", true
			go r.Leads(words.Leads{Group: "a.1", Term: 9, Node: "a2"})
		},
		"away for a while": func(x *feeds, _ *Router) {
			x.leaders["a.1"] = ""
			x.newest.then <- error(&api.Error{Code: api.CodeUnavailable})
			time.AfterFunc(90*time.Second, func() { x.set(func() { x.leaders["a.1"] = "a0" }) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			followed(t, func(t *testing.T, x *feeds, r *Router, feed words.Feed) {
				x.newest.then <- batchTo(103)
				if b, err := feed.Next(); err != nil || b.To != at(103) {
					t.Fatalf("%+v, %v", b, err)
				}
				began, asked := time.Now(), len(x.calls())
				x.set(func() { breaks(x, r) })
				go func() {
					for {
						time.Sleep(10 * time.Millisecond)
						more := false
						x.set(func() {
							if more = len(x.opened) > 1; more {
								x.newest.then <- batchTo(104)
							}
						})
						if more {
							return
						}
					}
				}()
				b, err := feed.Next()
				if err != nil || len(b.Events) != 1 || b.To != at(104) {
					t.Fatalf("%+v, %v", b, err)
				}
				if len(x.opened) != 2 || x.opened[1].Now || x.opened[1].After != at(103) {
					t.Errorf("asked for %+v", x.opened)
				}
				took, calls := time.Since(began), len(x.calls())-asked
				switch name {
				case "away for a while":
					if took < 90*time.Second || took > 91*time.Second || calls > 1500 {
						t.Errorf("it took %v and %d calls", took, calls)
					}
				case "silent":
					if took < 4*time.Second || took > 6*time.Second {
						t.Errorf("it took %v", took)
					}
				default:
					if took > time.Second {
						t.Errorf("it took %v", took)
					}
				}
			})
		})
	}
}

// TestFeedEnds checks how feeds end: with their context, behind a move, and by a refusal that no other node would change.
func TestFeedEnds(t *testing.T) {
	followed(t, func(t *testing.T, x *feeds, _ *Router, feed words.Feed) {
		x.newest.then <- &words.FeedBatch{To: at(110), Moved: &words.Moved{Epoch: 4}}
		if b, err := feed.Next(); err != nil || b.Moved == nil {
			t.Fatalf("%+v, %v", b, err)
		}
		if _, err := feed.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("behind a move: %v", err)
		}
	})
	followed(t, func(t *testing.T, x *feeds, _ *Router, feed words.Feed) {
		x.newest.then <- error(api.Errorf(api.CodeDenied, "not your keys"))
		x.set(func() { x.refuse = api.Errorf(api.CodeDenied, "not your keys") })
		if _, err := feed.Next(); api.CodeOf(err) != api.CodeDenied {
			t.Errorf("denied: %v", err)
		}
	})
	for _, leads := range []api.NodeID{"a1", ""} {
		followed(t, func(t *testing.T, x *feeds, _ *Router, feed words.Feed) {
			x.set(func() {
				x.mute, x.leaders["a.1"] = true, leads
				x.newest.then <- error(&api.Error{Code: api.CodeUnavailable})
			})
			time.AfterFunc(30*time.Second, func() { feed.Close() })
			began := time.Now()
			for {
				_, err := feed.Next()
				if err == nil {
					continue
				}
				if api.CodeOf(err) != api.CodeUnavailable || time.Since(began) != 30*time.Second {
					t.Errorf("%v after %v", err, time.Since(began))
				}
				return
			}
		})
	}
}

// TestFeedThatCannotBegin checks that a feed which no node can begin says why, after the time of a request.
func TestFeedThatCannotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &feeds{backend: newBackend(t), refuse: api.Errorf(api.CodeUnavailable, "there is no history")}
		x.feed = x.open
		for _, leader := range []api.NodeID{"a1", ""} {
			x.set(func() { x.leaders["a.1"] = leader })
			began := time.Now()
			feed, err := x.router(t).Feed(t.Context(), &words.FeedRequest{Piece: words.Piece{Of: 2, Epoch: 1, Group: "a.1"}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = feed.Next()
			if took := time.Since(began); api.CodeOf(err) != api.CodeUnavailable || took != api.DefaultTimeout {
				t.Errorf("%v after %v", err, took)
			}
			if leader != "" && !strings.Contains(err.Error(), "there is no history") {
				t.Errorf("the error does not say why: %v", err)
			}
			feed.Close()
		}
	})
}

// begin begins a feed.
func begin(t *testing.T, r *Router, q *words.FeedRequest) words.Feed {
	t.Helper()
	f, err := r.Feed(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFeedOfTheWrongGroup checks that a group which has not adopted the piece yet is asked again, and that one which has forgotten
// it is not: because it has told a position in it, or once the map says that the piece has moved on.
func TestFeedOfTheWrongGroup(t *testing.T) {
	followed(t, func(t *testing.T, x *feeds, r *Router, feed words.Feed) {
		wrong := error(api.Errorf(api.CodeWrongGroup, "not adopted yet"))
		x.set(func() { x.refuse = wrong })
		q := words.FeedRequest{Piece: words.Piece{Range: api.PrefixRange("x/"), Of: 2, Epoch: 1, Group: "a.1"}, After: at(100)}
		for name, f := range map[string]words.Feed{"begun": feed, "at a position": begin(t, r, &q)} {
			if name == "begun" {
				x.newest.then <- error(&api.Error{Code: api.CodeUnavailable})
			}
			began := time.Now()
			if _, err := f.Next(); api.CodeOf(err) != api.CodeWrongGroup || time.Since(began) > time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
			_ = f.Close()
		}
		q.After = words.Position{}
		feed = begin(t, r, &q)
		defer feed.Close()
		time.AfterFunc(8*time.Second, func() { x.set(func() { x.refuse = nil }) })
		began := time.Now()
		if b, err := feed.Next(); err != nil || time.Since(began) < 8*time.Second || time.Since(began) > 10*time.Second {
			t.Fatalf("%+v, %v after %v", b, err, time.Since(began))
		}
		if n := len(x.opened); n > 60 {
			t.Errorf("a group that is not ready was asked %d times in 8 s", n)
		}
		if x.refreshes == 0 {
			t.Error("no newer map was asked for")
		}
		x.set(func() {
			x.refuse = wrong
			x.refresh = func() error {
				x.set(func() {
					later := *x.now
					later.Version++
					later.Ranges = append([]placement.Span(nil), x.now.Ranges...)
					for i := range later.Ranges {
						later.Ranges[i].Epoch = 7
					}
					x.now = &later
				})
				return nil
			}
		})
		x.newest.then <- error(&api.Error{Code: api.CodeUnavailable})
		for {
			_, err := feed.Next()
			if err == nil {
				continue
			}
			if api.CodeOf(err) != api.CodeWrongGroup {
				t.Errorf("a piece that has moved on: %v", err)
			}
			return
		}
	})
}

// TestFeedOfSeveral checks that a feed of several pieces goes on with each of them at its own position, that a node which serves one piece
// at a time ends it, and that a group which does not know one of them is not asked again.
func TestFeedOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &feeds{backend: newBackend(t)}
		x.feed = func(ctx context.Context, node api.NodeID, r *words.FeedRequest) (words.Feed, error) {
			f, err := x.open(ctx, node, r)
			if err == nil && !x.old {
				x.newest.first.Parts = []words.PartBegin{{To: r.After}, {To: r.Also[0].After}}
			}
			return f, err
		}
		of := words.Piece{Range: api.PrefixRange("x/"), Of: 2, Epoch: 1, Group: "a.1"}
		also := of
		also.Range = api.PrefixRange("y/")
		q := words.FeedRequest{Piece: of, After: at(100), Also: []words.FeedPart{{Piece: also, After: at(300)}}}
		feed, err := x.router(t).Feed(t.Context(), &q)
		if err != nil {
			t.Fatal(err)
		}
		defer feed.Close()
		if b, err := feed.Next(); err != nil || len(b.Parts) != 2 {
			t.Fatalf("%+v, %v", b, err)
		}
		for _, to := range []uint64{200, 400} {
			x.newest.then <- batchTo(to)
			if b, err := feed.Next(); err != nil || b.To != at(to) {
				t.Fatalf("%+v, %v", b, err)
			}
			x.newest.then <- error(&api.Error{Code: api.CodeNotLeader})
			if b, err := feed.Next(); err != nil || b.To != at(to) { // a mark of the next attachment
				t.Fatalf("%+v, %v", b, err)
			}
			if r := x.opened[len(x.opened)-1]; r.After != at(to) || r.Also[0].After != at(max(to, 300)) {
				t.Errorf("behind %d it goes on with %+v", to, r)
			}
		}
		x.set(func() { x.old = true })
		x.newest.then <- error(&api.Error{Code: api.CodeUnavailable})
		if _, err := feed.Next(); api.CodeOf(err) != words.Apart {
			t.Errorf("at an older node: %v", err)
		}
		x.set(func() { x.refuse = api.Errorf(api.CodeWrongGroup, "not adopted yet") })
		again, err := x.router(t).Feed(t.Context(), &q)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		began := time.Now()
		if _, err := again.Next(); api.CodeOf(err) != api.CodeWrongGroup || time.Since(began) > time.Second {
			t.Errorf("of what the group does not know: %v", err)
		}
	})
}

// TestFeedOfARemovedGroup checks that a feed of a group which the newest map does not have any more ends, also one that had begun, if the
// keys have a later owner.
func TestFeedOfARemovedGroup(t *testing.T) {
	followed(t, func(t *testing.T, x *feeds, r *Router, feed words.Feed) {
		x.set(func() {
			x.leaders["a.1"] = ""
			later := *x.now
			later.Version++
			later.Groups = slices.DeleteFunc(slices.Clone(x.now.Groups), func(g placement.Group) bool { return g.ID == "a.1" })
			later.Ranges = slices.Clone(x.now.Ranges)
			for i := range later.Ranges {
				later.Ranges[i].Epoch, later.Ranges[i].Groups = 7, []api.GroupID{"b.1"}
			}
			x.refresh = func() error { x.set(func() { x.now = &later }); return nil }
		})
		x.newest.then <- error(&api.Error{Code: api.CodeUnavailable})
		stop := time.AfterFunc(time.Minute, func() { feed.Close() })
		defer stop.Stop()
		for {
			_, err := feed.Next()
			if err == nil {
				continue
			}
			if api.CodeOf(err) != api.CodeWrongGroup {
				t.Errorf("of a group that was removed: %v", err)
			}
			return
		}
	})
}
