package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
)

// source is a group's feed whose batches are the test's.
type source struct {
	ctx    context.Context
	next   func() (*words.FeedBatch, error) // nil: batches as they come
	batch  chan *words.FeedBatch
	taken  atomic.Int64
	closed atomic.Bool
}

func newSource() *source { return &source{batch: make(chan *words.FeedBatch)} }

// open is the Feed of a fakeGroup.
func (s *source) open(ctx context.Context, _ *words.FeedRequest) (words.Feed, error) {
	s.ctx = ctx
	return s, nil
}

func (s *source) Next() (*words.FeedBatch, error) {
	s.taken.Add(1)
	if s.next != nil {
		return s.next()
	}
	select {
	case b, more := <-s.batch:
		if !more {
			return nil, io.EOF
		}
		return b, nil
	case <-s.ctx.Done():
		return nil, api.Errorf(api.CodeUnavailable, "the feed was closed")
	}
}

func (s *source) Close() error {
	s.closed.Store(true)
	return nil
}

var shop = words.FeedRequest{Piece: words.Piece{Range: api.PrefixRange("shop/"), Of: 1, Epoch: 2, Group: "g"}, After: words.Position{Incarnation: 1, Index: 3}}

// TestFeed checks that batches, refusals and ends of feeds arrive as they are, from another node and from the node itself.
func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := newGroup("g")
		s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}})
		defer s.close()
		c := w.start("c", config{})
		defer c.close()
		for _, at := range []*station{s, c} {
			x := newSource()
			var asked *words.FeedRequest
			g.feed = func(ctx context.Context, r *words.FeedRequest) (words.Feed, error) {
				asked = r
				return x.open(ctx, r)
			}
			f, err := at.node("s").Feed(t.Context(), &shop)
			if err != nil {
				t.Fatal(err)
			}
			sent := &words.FeedBatch{To: words.Position{Incarnation: 1, Index: 9}, Events: []words.FeedEvent{{Index: 8, Event: api.Event{
				Kind: api.EventPut, Key: "shop/\xff", Version: api.Version{Epoch: 2, Index: 7}, Value: []byte("v"), TTL: time.Second, Txn: 5}}}}
			go func() { x.batch <- sent }()
			b, err := f.Next()
			if err != nil || fmt.Sprint(b) != fmt.Sprint(sent) || !reflect.DeepEqual(*asked, shop) {
				t.Fatalf("%s: %+v, %v; asked %+v", at.id, b, err, asked)
			}
			moved := &words.FeedBatch{To: sent.To, Gap: api.GapTrimmed, Moved: &words.Moved{Range: shop.Range, Epoch: 4, To: []api.GroupID{"h"}}}
			go func() { x.batch <- moved; close(x.batch) }()
			b, err = f.Next()
			if err != nil || b.Gap != api.GapTrimmed || fmt.Sprint(b.Moved) != fmt.Sprint(moved.Moved) {
				t.Fatalf("%s: %+v, %v", at.id, b, err)
			}
			if _, err = f.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: behind the end: %v", at.id, err)
			}
			f.Close()
			synctest.Wait()
			if !x.closed.Load() {
				t.Errorf("%s: the group's feed is open", at.id)
			}
			for _, code := range []api.Code{api.CodeNotLeader, api.CodeWrongGroup, api.CodeUnavailable} {
				g.feed = func(context.Context, *words.FeedRequest) (words.Feed, error) {
					return nil, &api.Error{Code: code, Leader: "x", Hint: "said so"}
				}
				f, err := at.node("s").Feed(t.Context(), &shop)
				if err != nil {
					t.Fatal(err)
				}
				_, err = f.Next()
				if e := api.AsError(err); e.Code != code || e.Leader != "x" || e.Hint != "said so" {
					t.Errorf("%s: %v, want %s", at.id, err, code)
				}
				f.Close()
			}
			other := shop
			other.Group = "h"
			f, err = at.node("s").Feed(t.Context(), &other)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = f.Next(); api.CodeOf(err) != api.CodeNotLeader {
				t.Errorf("%s: of a group that is not there: %v", at.id, err)
			}
			f.Close()
		}
	})
}

// TestFeedOfAnOlderNode checks that a node of a version without feeds, and one that is not there, are unavailable.
func TestFeedOfAnOlderNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		old := w.Start("old", peer.ServerConfig{}, nil, nil)
		defer old.Close()
		c := w.start("c", config{})
		defer c.close()
		for id, why := range map[api.NodeID]string{"old": "unknown method Feed", "nowhere": ""} {
			f, err := c.node(id).Feed(t.Context(), &shop)
			if err == nil {
				_, err = f.Next()
				f.Close()
			}
			if api.CodeOf(err) != api.CodeUnavailable || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %v", id, err)
			}
		}
	})
}

// TestFeedAge checks that the age of a position counts from an instant before which the reader had sent something that the group
// had by the instant of its confirm: time on the way makes it older, however long a batch waits.
func TestFeedAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		x, g := newSource(), newGroup("g")
		g.feed = x.open
		s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}})
		defer s.close()
		c := w.start("c", config{})
		defer c.close()
		began := time.Now()
		f, err := c.node("s").Feed(t.Context(), &shop)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		mark := func(old time.Duration) {
			asOf := time.Now().Add(-old)
			x.batch <- &words.FeedBatch{AsOf: asOf, Age: words.AgeOf(asOf)}
		}
		time.Sleep(time.Second)
		mark(2 * time.Second) // an instant before the feed was asked for
		if b, err := f.Next(); err != nil || b.Age != 0 || !b.AsOf.IsZero() {
			t.Fatalf("a mark from before the first ping: %+v, %v", b, err)
		}
		mark(0)
		time.Sleep(3 * time.Second)
		b, err := f.Next()
		if err != nil || b.AsOf.Before(began) || b.AsOf.Sub(began) > 100*time.Millisecond || b.Age != time.Since(b.AsOf) {
			t.Fatalf("%+v, %v; the feed began %v ago", b, err, time.Since(began))
		}
		second := time.Now()
		time.Sleep(time.Second)
		mark(100 * time.Millisecond)
		if b, err = f.Next(); err != nil || !b.AsOf.Equal(second) {
			t.Fatalf("%+v, %v; the second ping was sent %v ago", b, err, time.Since(second))
		}
	})
}

// TestFeedIsHeldBack checks that a reader which takes nothing holds back its own feed, and no call or other feed of its node.
func TestFeedIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		x, y, g := newSource(), newSource(), newGroup("g")
		x.next = func() (*words.FeedBatch, error) {
			return &words.FeedBatch{Events: []words.FeedEvent{{Event: api.Event{Key: "shop/k", Value: bytes.Repeat([]byte("v"), 64<<10)}}}}, nil
		}
		g.feed = func(ctx context.Context, r *words.FeedRequest) (words.Feed, error) {
			if r.KeysOnly {
				return y.open(ctx, r)
			}
			return x.open(ctx, r)
		}
		s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}})
		defer s.close()
		c := w.start("c", config{})
		defer c.close()
		slow, err := c.node("s").Feed(t.Context(), &shop)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		before := x.taken.Load()
		time.Sleep(5 * time.Second)
		if n := x.taken.Load(); n != before || n == 0 || n > 64 {
			t.Errorf("%d batches of 64 KiB were taken for a reader that takes none, and %d later", before, n)
		}
		quick := shop
		quick.KeysOnly = true
		f, err := c.node("s").Feed(t.Context(), &quick)
		if err != nil {
			t.Fatal(err)
		}
		go func() { y.batch <- &words.FeedBatch{} }()
		if _, err := f.Next(); err != nil {
			t.Errorf("another feed: %v", err)
		}
		if _, err := c.node("s").List(t.Context(), &words.ListRequest{Group: "g"}); err != nil {
			t.Errorf("a call: %v", err)
		}
		for range 100 {
			if _, err := slow.Next(); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
		slow.Close()
		time.Sleep(time.Second)
		if !x.closed.Load() || !y.closed.Load() {
			t.Error("the group's feeds are open")
		}
	})
}

// TestFeedScope checks that an edge gets only keys that it serves, that what it serves is checked again before each batch, and
// that a node which was removed gets nothing more.
func TestFeedScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		x, g := newSource(), newGroup("g")
		x.next = func() (*words.FeedBatch, error) { time.Sleep(time.Second); return &words.FeedBatch{}, nil }
		g.feed = x.open
		s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}})
		defer s.close()
		e := w.start("edge-1", config{ServerConfig: peer.ServerConfig{Role: api.RoleEdge}})
		defer e.close()
		begin := func(r api.Range) words.Feed {
			q := shop
			q.Range = r
			f, err := e.node("s").Feed(t.Context(), &q)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		w.Admit("edge-1", api.RoleEdge, "shop/")
		for _, r := range []api.Range{{}, api.PrefixRange("carts/"), {Start: "shop/", End: "shop/\xff\xff"}} {
			f := begin(r)
			_, err := f.Next()
			if allowed := r.Start == "shop/"; allowed && err != nil || !allowed && api.CodeOf(err) != api.CodeDenied {
				t.Errorf("%v: %v", r, err)
			}
			f.Close()
		}
		for name, change := range map[string]func(){
			"narrowed": func() { w.Admit("edge-1", api.RoleEdge, "carts/") },
			"removed":  func() { w.Remove("edge-1") },
		} {
			w.Admit("edge-1", api.RoleEdge, "shop/")
			f := begin(api.PrefixRange("shop/"))
			if _, err := f.Next(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			change()
			if _, err := f.Next(); api.CodeOf(err) != api.CodeDenied {
				t.Errorf("%s: %v", name, err)
			}
			f.Close()
		}
	})
}

// TestFeedScopeOfSeveral checks that each piece of a feed must be of keys that an edge serves.
func TestFeedScopeOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := newGroup("g")
		g.feed = func(ctx context.Context, r *words.FeedRequest) (words.Feed, error) {
			x := newSource()
			x.next = func() (*words.FeedBatch, error) {
				time.Sleep(time.Second)
				return &words.FeedBatch{Parts: make([]words.PartBegin, 2), Halted: true}, nil
			}
			return x.open(ctx, r)
		}
		s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}})
		defer s.close()
		edge := w.start("edge-1", config{})
		defer edge.close()
		w.Admit("edge-1", api.RoleEdge, "shop/")
		for also, want := range map[string]api.Code{"shop/b/": "", "other/": api.CodeDenied} {
			r := words.FeedRequest{Piece: words.Piece{Range: api.PrefixRange("shop/a/"), Of: 1, Epoch: 2, Group: "g"}}
			r.Also = []words.FeedPart{{Piece: words.Piece{Range: api.PrefixRange(api.Key(also)), Of: 1, Epoch: 2, Group: "g"}}}
			f, err := edge.node("s").Feed(t.Context(), &r)
			if err != nil {
				t.Fatal(err)
			}
			b, err := f.Next()
			if err == nil && (len(b.Parts) != 2 || !b.Halted) {
				t.Errorf("%s: %+v", also, b)
			}
			if got := api.CodeOf(err); err != nil && got != want || err == nil && want != "" {
				t.Errorf("%s: %v, want %q", also, err, want)
			}
			if err == nil {
				if _, err := f.Next(); !errors.Is(err, io.EOF) {
					t.Errorf("behind its end: %v", err)
				}
			}
			f.Close()
		}
	})
}

// TestFeedsOfOneNode checks the bound of one node's feeds.
func TestFeedsOfOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := newGroup("g")
		g.feed = func(ctx context.Context, r *words.FeedRequest) (words.Feed, error) {
			x := newSource()
			x.next = func() (*words.FeedBatch, error) { time.Sleep(time.Second); return &words.FeedBatch{}, nil }
			return x.open(ctx, r)
		}
		s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}})
		defer s.close()
		var all []words.Feed
		for range FeedsPerNode {
			f, err := s.node("s").Feed(t.Context(), &shop)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, f)
		}
		synctest.Wait()
		f, err := s.node("s").Feed(t.Context(), &shop)
		if err == nil {
			_, err = f.Next()
		}
		if api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("one too many: %v", err)
		}
		for _, f := range all {
			f.Close()
		}
	})
}
