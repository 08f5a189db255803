package watch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
)

var prefix = api.PrefixRange

// TestWatchFromNow: a watch tells what comes after it, with an id for every transaction.
func TestWatchFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		w.put("a/b/before", "1")
		c := watch(t, h, api.WatchRequest{Range: prefix("a/b/")})
		if b := c.next(); !b.Ready || b.Cursor == "" {
			t.Fatalf("%+v", b)
		}
		w.put("a/b/1", "x")
		w.put("a/c/1", "of another prefix")
		w.write(map[api.Key]string{"a/b/2": "y", "a/b/3": "z"})
		if got := c.until(3); got != "a/b/1=x a/b/2=y a/b/3=z " || c.whole != 3 {
			t.Errorf("%s, %d of them whole", got, c.whole)
		}
	})
}

// TestProgress: a watcher to which nothing happens hears every 10 seconds how far it is, and its cursor moves.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		c := watch(t, h, api.WatchRequest{Range: prefix("a/b/")})
		c.next()
		first, began := c.cursor, time.Now()
		w.put("other", "x")
		b := c.next()
		if d := time.Since(began); d != progressEvery || len(b.Events) > 0 || b.Cursor == first || b.Age <= 0 || b.Age > 2*time.Second {
			t.Errorf("after %v: %+v", d, b)
		}
		w.trim("g")
		c = watch(t, h, api.WatchRequest{Range: prefix("a/b/"), From: c.cursor})
		if b := c.next(); b.Gap != nil || !b.Ready {
			t.Errorf("a cursor that moved along meets %+v", b)
		}
	})
}

// TestOneUpstream: ten thousand watchers of a prefix, new ones and ones with cursors, cost one feed. One more is refused.
func TestOneUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		first := watch(t, h, api.WatchRequest{Range: prefix("a/b/")})
		first.next()
		var all []*client
		for i := range MaxWatchers - 1 {
			from := first.cursor
			if i%100 == 0 {
				from = ""
			}
			all = append(all, watch(t, h, api.WatchRequest{Range: prefix("a/b/"), From: from}))
		}
		_, err := h.Watch(t.Context(), &api.WatchRequest{Range: prefix("a/b/")})
		if api.CodeOf(err) != api.CodeUnavailable || api.AsError(err).RetryAfter == 0 || !strings.Contains(err.Error(), "10000 watches") {
			t.Errorf("one over the limit: %v", err)
		}
		w.put("a/b/k", "v")
		shared := first.next()
		for _, c := range all {
			if c.next(); len(c.log) > 0 {
				t.Fatal("told before it was ready")
			}
			if b := c.next(); b != shared {
				t.Fatalf("%+v is not the batch that the others share", b)
			}
		}
		if w.feeds != 1 || h.upstreams.Load() != 1 {
			t.Errorf("%d feeds were opened, %d are open", w.feeds, h.upstreams.Load())
		}
		for _, c := range all {
			_ = c.s.Close()
		}
		_ = first.s.Close()
		synctest.Wait()
		if n := h.upstreams.Load(); n != 0 || len(h.sources) != 0 || len(h.watchers) != 0 {
			t.Errorf("after the last watcher %d feeds are open", n)
		}
	})
}

// TestNowIsShared: watchers from now that come together share the question; one that comes while it is under way shares the next.
func TestNowIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		w.hold = make(chan struct{})
		ready := make(chan bool, 100)
		for range 100 {
			go func() {
				s, err := h.Watch(t.Context(), &api.WatchRequest{Range: prefix("a/b/")})
				if err == nil {
					t.Cleanup(func() { _ = s.Close() })
				}
				ready <- err == nil
			}()
		}
		time.Sleep(time.Second)
		close(w.hold)
		for range 100 {
			if !<-ready {
				t.Error("a watch failed")
			}
		}
		if w.nows > 2 {
			t.Errorf("%d questions for 100 watchers", w.nows)
		}
	})
}

// TestNowAsksTheLeader: a watch from now does not begin at the position of a source that is behind.
func TestNowAsksTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g", "h")
		h := w.hub(t)
		old := watch(t, h, api.WatchRequest{Range: prefix("")})
		old.next()
		time.Sleep(time.Second)
		w.mu.Lock()
		w.down["h"] = true // what it tells comes late
		w.mu.Unlock()
		w.fail()
		k, other := keyOf("h"), keyOf("g")
		w.put(k, "before")
		w.mu.Lock()
		w.down["h"] = false
		w.mu.Unlock()
		c := watch(t, h, api.WatchRequest{Range: prefix("")})
		w.put(other, "after")
		c.next()
		if got := c.until(1); got != string(other)+"=after " {
			t.Errorf("told %q", got)
		}
	})
}

// keyOf returns a key of g or of h, in a world of these two.
func keyOf(g api.GroupID) api.Key {
	w := newWorld("g", "h")
	for i := range 100 {
		k := api.Key(fmt.Sprintf("d/%d/k", i))
		if x, _ := w.owner(k); x.id == g {
			return k
		}
	}
	panic("there is none")
}

// TestNarrower: a watcher of a part of a range that is watched shares its feed, and is told its part alone; its cursor is of its part.
func TestNarrower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g", "h")
		h := w.hub(t)
		wide := watch(t, h, api.WatchRequest{Range: prefix("d/")})
		wide.next()
		w.put("d/1/a", "0")
		wide.take(1)
		synctest.Wait()
		feeds := w.feeds
		narrow := watch(t, h, api.WatchRequest{Range: prefix("d/1/")})
		keys := watch(t, h, api.WatchRequest{Range: prefix("d/1/"), KeysOnly: true})
		narrow.next()
		keys.next()
		w.put("d/1/a", "1")
		w.put("d/2/a", "2")
		w.put("d/1/b", "3")
		if got := narrow.until(2); got != "d/1/a=1 d/1/b=3 " {
			t.Errorf("told %q", got)
		}
		if got := keys.until(2); got != "d/1/a= d/1/b= " {
			t.Errorf("without values: told %q", got)
		}
		if w.feeds != feeds {
			t.Errorf("%d feeds instead of %d", w.feeds, feeds)
		}
		if c := decoded(t, narrow.cursor); c.Range != prefix("d/1/") || len(c.Pieces) != 1 {
			t.Errorf("%+v", c)
		}
	})
}

// TestQuietPart: a watcher of a quiet part of a busy range is not behind when the ring has lost rounds that have nothing for it, and
// nothing is kept for it of rounds that it passes over.
func TestQuietPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		wide := watch(t, h, api.WatchRequest{Range: prefix("d/")})
		wide.next()
		quiet := watch(t, h, api.WatchRequest{Range: prefix("d/1/")})
		quiet.next()
		w.put("d/1/a", "first")
		wide.take(1)
		quiet.take(1)
		value := strings.Repeat("v", 100_000)
		for i := range 60 { // more than the ring holds
			w.put(api.Key(fmt.Sprintf("d/2/%02d", i)), value)
			wide.take(i + 2)
		}
		w.put("d/1/a", "second")
		w.put("d/2/x", "not told")
		w.put("d/1/b", "third")
		synctest.Wait() // it takes only now
		if got := quiet.until(3); got != "d/1/a=first d/1/a=second d/1/b=third " || quiet.whole != 3 {
			t.Errorf("told %q, %d of it before the cursor", got, quiet.whole)
		}
		if w.feeds != 1 {
			t.Errorf("%d feeds", w.feeds)
		}
		if n := len(quiet.s.(*watcher).view.rendered); n > 3 {
			t.Errorf("%d rounds are kept for it", n)
		}
		// What it wants and the ring has lost it gets by a feed of its own.
		w.put("d/1/c", value)
		for i := range 60 {
			w.put(api.Key(fmt.Sprintf("d/2/%02d", i)), value)
			wide.take(i + 66)
		}
		if quiet.take(4); w.feeds != 2 || quiet.log[3].Key != "d/1/c" {
			t.Errorf("%d feeds, told %q", w.feeds, quiet.text())
		}
	})
}

// TestOldestCursorOpens: watchers that come with cursors of the last moments share one feed from the oldest of them.
func TestOldestCursorOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		c := watch(t, w.hub(t), api.WatchRequest{Range: prefix("a/b/")})
		c.next()
		cursors := []api.Cursor{c.cursor}
		for i := range 20 {
			w.put(api.Key(fmt.Sprint("a/b/", i)), "v")
			c.take(i + 1)
			cursors = append(cursors, c.cursor)
		}
		other := w.hub(t)
		feeds := w.feeds
		var all []*client
		for i := range 200 {
			all = append(all, watch(t, other, api.WatchRequest{Range: prefix("a/b/"), From: cursors[20-i%21]}))
		}
		for i, x := range all {
			n := 20 - i%21
			if x.until(20 - n); len(x.log) != 20-n || x.whole != len(x.log) && n < 20 {
				t.Fatalf("from behind %d events: %s, whole %d", n, x.text(), x.whole)
			}
		}
		if w.feeds != feeds+1 {
			t.Errorf("%d feeds", w.feeds-feeds)
		}
	})
}

// TestSlowWatcher: a watcher that takes nothing costs nothing but its place: the others are told, and after 30 seconds it is closed.
// One that takes seldom catches up by a feed of its own and misses nothing.
func TestSlowWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		stuck, slow, fast := watch(t, h, api.WatchRequest{Range: prefix("a/")}), watch(t, h, api.WatchRequest{Range: prefix("a/")}), watch(t, h, api.WatchRequest{Range: prefix("a/")})
		for _, c := range []*client{stuck, slow, fast} {
			c.next()
		}
		value := strings.Repeat("v", 100_000)
		for i := range 60 { // more than the ring holds
			w.put(api.Key(fmt.Sprintf("a/%02d", i)), value)
			fast.take(i + 1)
		}
		if n := h.ringBytes.Load(); n > MaxRingBytes {
			t.Errorf("the ring has %d bytes", n)
		}
		slow.take(60)
		for i, e := range slow.log {
			if e.Version != fast.log[i].Version {
				t.Fatalf("event %d is %v", i, e.Version)
			}
		}
		feeds := w.feeds
		if feeds != 2 {
			t.Errorf("%d feeds", feeds)
		}
		w.put("a/x", "shared again")
		slow.take(61)
		synctest.Wait()
		if w.feeds != feeds || h.upstreams.Load() != 1 {
			t.Errorf("%d feeds are open after it has caught up", h.upstreams.Load())
		}
		for range 4 {
			fast.next()
			slow.next()
		}
		b, err := stuck.s.Next()
		if api.CodeOf(err) != api.CodeUnavailable || !strings.Contains(err.Error(), "took nothing for 30 seconds") {
			t.Errorf("%+v, %v", b, err)
		}
		if len(h.watchers) != 2 {
			t.Errorf("%d watchers", len(h.watchers))
		}
	})
}

// TestCatchUpsQueue: of many watchers that are behind, 64 read the history at once. All come through, also if some stop taking.
func TestCatchUpsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		live := watch(t, h, api.WatchRequest{Range: prefix("a/")})
		live.next()
		old := live.cursor
		value := strings.Repeat("v", 100_000)
		for i := range 60 {
			w.put(api.Key(fmt.Sprintf("a/%02d", i)), value)
			live.take(i + 1)
		}
		var all []*client
		for range 3 * MaxCatchUps {
			all = append(all, watch(t, h, api.WatchRequest{Range: prefix("a/"), From: old}))
		}
		most := int64(0)
		done := make(chan int)
		for i, c := range all {
			go func() {
				defer func() { done <- len(c.log) }()
				if i%3 == 0 {
					c.take(7) // and stops
					return
				}
				c.take(60)
			}()
		}
		for i := range all {
			most = max(most, h.upstreams.Load())
			if n := <-done; n < 7 || n > 7 && n < 60 {
				t.Errorf("watcher %d was told %d events", i, n)
			}
		}
		if most > MaxCatchUps+1 {
			t.Errorf("%d feeds at once", most)
		}
	})
}

// TestSilentCatchUp: watchers that catch up and are told nothing, since their owners are out of reach, give their turns to others.
func TestSilentCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		live := watch(t, h, api.WatchRequest{Range: prefix("a/")})
		live.next()
		old := live.cursor
		value := strings.Repeat("v", 100_000)
		for i := range 60 {
			w.put(api.Key(fmt.Sprintf("a/%02d", i)), value)
			live.take(i + 1)
		}
		for i := range MaxCatchUps + 1 { // the first one has the source, which none of the others can use
			at := cursor.Cursor{Range: prefix("b/"), Pieces: []cursor.Piece{{
				Piece: words.Piece{Range: prefix("b/"), Of: 1, Epoch: uint64(1000 - i), Group: "g"}, // which it has yet to take over
			}}}
			from, err := at.Encode()
			if err != nil {
				t.Fatal(err)
			}
			stuck := watch(t, h, api.WatchRequest{Range: prefix("b/"), From: from})
			go func() {
				for err := error(nil); err == nil; {
					_, err = stuck.s.Next()
				}
			}()
			time.Sleep(2 * gatherTime)
		}
		if !h.turns.all() {
			t.Fatal("not all turns are taken")
		}
		c := watch(t, h, api.WatchRequest{Range: prefix("a/"), From: old})
		began := time.Now()
		if c.take(60); time.Since(began) > 2*progressEvery {
			t.Errorf("it took %v", time.Since(began))
		}
	})
}

// all reports whether all turns are taken.
func (t *turns) all() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taken == MaxCatchUps
}

// TestWiderIsRefused: if a node may not have the feed of a wider range, watches of its parts that shared it go on, each by its own.
func TestWiderIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		from := watch(t, w.hub(t), api.WatchRequest{Range: prefix("d/")})
		from.next()
		w.mu.Lock()
		w.denied = func(r api.Range) bool { return !prefix("d/1/x/").ContainsRange(r) }
		w.mu.Unlock()
		h := w.hub(t)
		wide := watch(t, h, api.WatchRequest{Range: prefix("d/"), From: from.cursor})
		part := watch(t, h, api.WatchRequest{Range: prefix("d/1/x/")})
		part.next()
		if _, err := part.s.Next(); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("the part: %v", err)
		}
		wide.next()
		if _, err := wide.s.Next(); api.CodeOf(err) != api.CodeDenied {
			t.Errorf("the whole: %v", err)
		}
		// Of a directory that was refused no feed is asked for again.
		h.upstreams.Add(MaxUpstreams)
		defer h.upstreams.Add(-MaxUpstreams)
		for range 2 {
			part = watch(t, h, api.WatchRequest{Range: prefix("d/1/x/"), From: part.cursor})
			part.next()
			w.put("d/1/x/k", "v")
			for err := error(nil); err == nil && len(part.log) == 0; {
				var b *api.WatchBatch
				if b, err = part.s.Next(); err == nil {
					part.keep(b)
				}
			}
		}
		if part.text() != "d/1/x/k=v " {
			t.Errorf("told %q", part.text())
		}
	})
}

// TestDirectories: with very many feeds open, a new one is of a whole directory, which the next watchers there share.
func TestDirectories(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		h.upstreams.Add(MaxUpstreams)
		defer h.upstreams.Add(-MaxUpstreams)
		a := watch(t, h, api.WatchRequest{Range: prefix("d/1/a")})
		a.next()
		b := watch(t, h, api.WatchRequest{Range: prefix("d/1/b")})
		b.next()
		w.put("d/1/a", "1")
		w.put("d/1/b", "2")
		if a.until(1) != "d/1/a=1 " || b.until(1) != "d/1/b=2 " || w.feeds != 1 {
			t.Errorf("%q, %q by %d feeds", a.text(), b.text(), w.feeds)
		}
		if c := decoded(t, a.cursor); c.Range != prefix("d/1/a") {
			t.Errorf("%+v", c)
		}
	})
}

// TestRingsShrink: the rings of all sources are bounded together; the one that was joined longest ago keeps less.
func TestRingsShrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		h.ringBytes.Add(MaxRingsBytes - 3<<20)
		defer h.ringBytes.Add(-(MaxRingsBytes - 3<<20))
		var all []*client
		for i := range 2 {
			c := watch(t, h, api.WatchRequest{Range: prefix(api.Key(fmt.Sprintf("d/%d/", i)))})
			c.next()
			time.Sleep(time.Second)
			all = append(all, c)
		}
		value := strings.Repeat("v", 100_000)
		for i := range 40 {
			w.put(api.Key(fmt.Sprintf("d/%d/k", i%2)), value)
			all[i%2].take(i/2 + 1)
		}
		old, young := h.sources[viewKey{prefix("d/0/"), false}], h.sources[viewKey{prefix("d/1/"), false}]
		if h.ringBytes.Load() > MaxRingsBytes || old.bytes >= young.bytes {
			t.Errorf("%d bytes, of which the older source has %d and the younger %d", h.ringBytes.Load(), old.bytes, young.bytes)
		}
	})
}

// TestCollapse: a watcher that is behind is told the newest event of each key alone.
func TestCollapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		c := watch(t, h, api.WatchRequest{Range: prefix("a/"), Collapse: true})
		c.next()
		time.Sleep(time.Second)
		for i := range 300 {
			w.put(api.Key(fmt.Sprintf("a/%d", i%3)), fmt.Sprint(i))
		}
		w.write(map[api.Key]string{"a/1": ""})
		synctest.Wait()
		b := c.next()
		if got := c.text(); got != "a/0=297 a/2=299 a/1- " || b.Cursor == "" {
			t.Errorf("told %q", got)
		}
		for i := range 2 * MaxDirtyKeys {
			w.put(api.Key(fmt.Sprintf("a/k%d", i)), "v")
		}
		synctest.Wait()
		if b := c.next(); len(b.Events) < MaxDirtyKeys || len(b.Events) > MaxDirtyKeys+5 {
			t.Errorf("%d keys at once", len(b.Events))
		}
		c.take(3 + 2*MaxDirtyKeys)
	})
}

// TestOwnersOutOfReach: a watch from now whose owner does not answer is refused in time. One that has begun says how old it is, and goes
// on when the owner is back.
func TestOwnersOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		c := watch(t, h, api.WatchRequest{Range: prefix("a/")})
		c.next()
		time.Sleep(2 * time.Second)
		w.mu.Lock()
		w.down["g"] = true
		w.mu.Unlock()
		w.fail()
		began := time.Now()
		_, err := h.Watch(t.Context(), &api.WatchRequest{Range: prefix("a/")})
		if api.CodeOf(err) != api.CodeUnavailable || time.Since(began) > api.DefaultTimeout+time.Second || !strings.Contains(err.Error(), "did not answer in time") {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if b := c.next(); b.Age < 9*time.Second {
			t.Errorf("age %v", b.Age)
		}
		w.put("a/k", "v")
		w.mu.Lock()
		w.down["g"] = false
		w.mu.Unlock()
		c.take(1)
	})
}

// TestEnds: watches end with their ctx, by Close and with the hub, and hold nothing then.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		ctx, cancel := context.WithCancel(t.Context())
		for _, end := range []func(s api.WatchStream){
			func(api.WatchStream) { cancel() },
			func(s api.WatchStream) { _ = s.Close() },
			func(api.WatchStream) { h.Close() },
		} {
			s, err := h.Watch(ctx, &api.WatchRequest{Range: prefix("a/"), List: ctx.Err() != nil})
			if err != nil {
				if ctx = context.WithoutCancel(ctx); api.CodeOf(err) != api.CodeUnavailable {
					t.Error(err)
				}
				s, err = h.Watch(ctx, &api.WatchRequest{Range: prefix("a/"), List: true})
			}
			if err != nil {
				t.Fatal(err)
			}
			for b, err := s.Next(); !b.Ready; b, err = s.Next() {
				if err != nil {
					t.Fatal(err)
				}
			}
			go func() {
				time.Sleep(time.Second)
				end(s)
			}()
			if b, err := s.Next(); api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("%+v, %v", b, err)
			}
			synctest.Wait()
			if len(h.watchers) != 0 || h.upstreams.Load() != 0 {
				t.Errorf("%d watchers, %d feeds", len(h.watchers), h.upstreams.Load())
			}
		}
		if _, err := h.Watch(context.Background(), &api.WatchRequest{}); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("a closed hub: %v", err)
		}
	})
}
