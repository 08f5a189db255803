package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
)

// follower collects what a feed delivers.
type follower struct {
	mu     sync.Mutex
	events []words.FeedEvent
	to     words.Position
	aged   int // marks that said how old the position was
	oldest time.Duration
}

// follow reads a feed until it ends with ctx.
func (x *follower) follow(ctx context.Context, t *testing.T, f words.Feed, seen func(words.FeedEvent)) {
	defer f.Close()
	for {
		b, err := f.Next()
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("a feed ended: %v", err)
			}
			return
		}
		x.mu.Lock()
		if b.Gap != "" || b.Moved != nil || b.To.Index < x.to.Index {
			t.Errorf("behind %d the feed has %+v", x.to.Index, b)
		}
		for _, e := range b.Events {
			if e.Index <= x.to.Index || e.Index > b.To.Index {
				t.Errorf("behind %d the feed has %d", x.to.Index, e.Index)
			}
		}
		x.events, x.to = append(x.events, b.Events...), b.To
		if b.Age > 0 {
			x.aged, x.oldest = x.aged+1, max(x.oldest, b.Age)
		}
		x.mu.Unlock()
		for _, e := range b.Events {
			seen(e)
		}
	}
}

// TestFeedsOverLeaders has an edge and a server follow a group whose leader is restarted, and again, under writes. Each feed delivers
// every acknowledged write, once and in order; a reader that has seen a write in a feed reads it, or a later one, at any node; and the feeds know
// how old they are.
func TestFeedsOverLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		cfgs, nodes := b.static()
		edge := nodes["e1"]
		span, _ := cfgs["e1"].Static.Span("k")
		piece := words.Piece{Range: api.PrefixRange("k"), Of: uint32(len(span.Groups)), Epoch: span.Epoch, Group: "r.1"}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var reading sync.WaitGroup
		defer reading.Wait()
		defer cancel()
		looked := 0
		check := func(e words.FeedEvent) {
			if looked++; looked%20 != 0 {
				return
			}
			res, err := storetest.Read(ctx, edge.Store(), &api.ReadRequest{Keys: []api.Key{e.Key}})
			if err == nil && res.Entries[0].Version.Index < e.Version.Index {
				t.Errorf("told of %v of %s, and then read %v", e.Version, e.Key, res.Entries[0].Version)
			}
		}
		start := func(r words.FeedRequest, seen func(words.FeedEvent)) *follower {
			x := &follower{}
			f, err := edge.router.Feed(ctx, &r)
			if err != nil {
				t.Fatal(err)
			}
			reading.Go(func() { x.follow(ctx, t, f, seen) })
			return x
		}
		live := start(words.FeedRequest{Piece: piece, Now: true}, check)
		time.Sleep(2 * time.Second)

		stop := make(chan struct{})
		var writers sync.WaitGroup
		var mu sync.Mutex
		acked := map[api.Version]api.Key{}
		for w := range 4 {
			writers.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-time.After(10 * time.Millisecond):
					}
					k := api.Key(fmt.Sprintf("k%d", w))
					res, err := edge.Store().Do(ctx, &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte(fmt.Sprint(i))}}})
					if err == nil {
						mu.Lock()
						acked[res.Version] = k
						mu.Unlock()
					}
				}
			})
		}
		for range 2 {
			time.Sleep(2 * time.Second)
			s, _ := nodes["s1"].Group("r.1")
			id := s.Leader
			if id == "" {
				t.Fatal("there is no leader")
			}
			_ = nodes[id].Close() // the next one has the same disk
			cfg := cfgs[id]
			cfg.Listener = b.config(id, api.RoleServer).Listener
			nodes[id] = b.open(cfg)
			b.ready(nodes[id])
		}
		close(stop)
		writers.Wait()
		past := start(words.FeedRequest{Piece: piece}, func(words.FeedEvent) {})
		time.Sleep(3 * time.Second)
		cancel()
		reading.Wait()
		for name, x := range map[string]*follower{"live": live, "from the start": past} {
			told := map[api.Version]api.Key{}
			for _, e := range x.events {
				if told[e.Version] != "" {
					t.Errorf("%s: %v is delivered twice", name, e.Version)
				}
				told[e.Version] = e.Key
			}
			for v, k := range acked {
				if told[v] != k {
					t.Errorf("%s: %v of %s is not delivered", name, v, k)
				}
			}
			if x.aged == 0 || x.oldest > 10*time.Second {
				t.Errorf("%s: %d ages, up to %v", name, x.aged, x.oldest)
			}
		}
		if len(acked) < 500 || len(live.events) != len(past.events) {
			t.Errorf("%d writes, %d events, and %d from the start", len(acked), len(live.events), len(past.events))
		}
	})
}
