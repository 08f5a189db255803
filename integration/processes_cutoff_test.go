package integration

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/words"
)

const cutOffTerm = 2 * time.Second // T

// slack is what a busy machine may add to a bound before it counts as broken. No check of safety has any.
const slack = 2 * time.Second

// ageRounding is what Edgehold-Age may lose by its three decimals.
const ageRounding = time.Millisecond

// cutOffFleet is one server and one edge of another region. Each advertises a relay, so that cutting both relays takes
// every way between the nodes and leaves their clients.
func cutOffFleet(t *testing.T, binary string) (f *fleet, server, edge *daemon, between []*relay) {
	f = newFleet(t, binary, "--lease-term", cutOffTerm.String())
	serverAt, edgeAt := freeAddress(t), freeAddress(t)
	toServer, toEdge := newRelay(t, serverAt), newRelay(t, edgeAt)
	server = f.server(t, "us-east-1", "us-east", "", "--listen", serverAt, "--advertise", toServer.address())
	edge = f.edge(t, "eu-west-edge-1", "eu-west", toServer.address(), "--listen", edgeAt, "--advertise", toEdge.address())
	return f, server, edge, []*relay{toServer, toEdge}
}

// testEdgeCutOff cuts an edge off while it holds leases. By its own clock it stops using them within T; it then says
// that it is unavailable, or, if asked for stale data, how old that is. Writes elsewhere to what it has leased wait for
// at most W, once.
func testEdgeCutOff(t *testing.T, f *fleet, server, edge *daemon, between []*relay) {
	ready(t, f.nodes...)
	for _, key := range []string{"leased", "other"} {
		mustPut(t, server, key, "old")
		leaseAt(t, edge, key)
	}
	w := watch(edge, "/v1/kv/leased?timeout=300ms")
	defer w.end()
	w.see(t, "an answer under the lease", func(r reply) bool { return r.servedBy() == "lease" })
	for _, r := range between {
		r.cut()
	}
	cut := time.Now()

	if r := mustPut(t, server, "free", "new"); r.ended.Sub(r.began) > slack {
		t.Errorf("a write of a key without leases took %v", r.ended.Sub(r.began))
	}
	first := mustPut(t, server, "leased", "new")
	delay := first.ended.Sub(first.began)
	bound := words.GrantorWait(cutOffTerm, clock.PauseAllowance(clock.Source)) // W
	if delay > bound+slack {
		t.Errorf("the cut-off edge delayed a write by %v; W is %v", delay, bound)
	}
	if timing := first.header.Get("Server-Timing"); !strings.Contains(timing, edge.name) {
		t.Errorf("the delayed write does not name the holder that delayed it: Server-Timing is %q", timing)
	}
	second := mustPut(t, server, "other", "new") // leased by the same session, which is dead now
	if d := second.ended.Sub(second.began); d > bound/2 || strings.Contains(second.header.Get("Server-Timing"), "revoke") {
		t.Errorf("a second write waited too: %v, Server-Timing %q", d, second.header.Get("Server-Timing"))
	}
	w.see(t, "unavailable", func(r reply) bool { return r.status == http.StatusServiceUnavailable })
	checkStale(t, edge, cut)
	w.end()
	w.judge(t, cut, first.ended)
	t.Logf("T %v, W %v: the write waited %v; the last answer under the lease began %v after the cut",
		cutOffTerm, bound, delay.Round(time.Millisecond), w.lastLease().Sub(cut).Round(time.Millisecond))

	for _, r := range between {
		r.heal()
	}
	for _, key := range []string{"leased", "other"} {
		if r := leaseAt(t, edge, key); r.body != "new" {
			t.Errorf("after the cut has healed, %s is %q at the edge", key, r.body)
		}
	}
}

// checkStale asks the cut-off edge: it has no answer but a stale one, whose age is right.
func checkStale(t *testing.T, edge *daemon, cut time.Time) {
	t.Helper()
	r := edge.get("/v1/kv/leased?timeout=300ms")
	if r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, `"unavailable"`) || r.header.Get("Retry-After") == "" {
		t.Errorf("cut off, the edge answers %d, %v: %s", r.status, r.header, r.body)
	}
	one, age1 := stale(t, edge)
	var two reply
	var age2 time.Duration
	eventually(t, time.Minute, "the age grows", func() bool {
		two, age2 = stale(t, edge)
		return age2 > age1+200*time.Millisecond
	})
	// The instant at which the value was known to be current is age before the answer. It lies before the lease can have
	// ended, and not long before that: the edge renews once a quarter of T.
	known := one.began.Add(-age1)
	if known.After(cut.Add(cutOffTerm + ageRounding)) {
		t.Errorf("the age %v is too small: %v after the cut, nothing was known", age1, known.Sub(cut))
	}
	if least := cut.Add(cutOffTerm - cutOffTerm/4 - slack); one.ended.Add(-age1).Before(least) {
		t.Errorf("the age %v is too great: %v after the cut, the lease was running", age1, one.ended.Add(-age1).Sub(cut))
	}
	if grown := age2 - age1; grown > two.ended.Sub(one.began)+ageRounding || grown < two.began.Sub(one.ended)-ageRounding {
		t.Errorf("the age grew by %v in %v to %v", grown, two.began.Sub(one.ended), two.ended.Sub(one.began))
	}
}

func stale(t *testing.T, edge *daemon) (reply, time.Duration) {
	t.Helper()
	r := edge.get("/v1/kv/leased?consistency=stale")
	seconds, err := strconv.ParseFloat(r.header.Get("Edgehold-Age"), 64)
	if r.status != http.StatusOK || r.body != "old" || r.servedBy() != "stale" || err != nil {
		t.Fatalf("a stale read at the cut-off edge: %d %q, %v, %v", r.status, r.body, r.header, r.err)
	}
	return r, time.Duration(seconds * float64(time.Second))
}

func mustPut(t *testing.T, d *daemon, key, value string) reply {
	t.Helper()
	r := d.put("/v1/kv/"+key, value)
	if r.err != nil || r.status != http.StatusOK {
		t.Fatalf("put %s at %s: %d %s, %v", key, d.name, r.status, r.body, r.err)
	}
	return r
}

// leaseAt reads until the node answers under a lease.
func leaseAt(t *testing.T, d *daemon, key string) (r reply) {
	t.Helper()
	eventually(t, 30*time.Second, "a lease on "+key+" at "+d.name, func() bool {
		r = d.get("/v1/kv/" + key)
		return r.servedBy() == "lease"
	})
	return r
}

// watcher asks a node the same again and again.
type watcher struct {
	quit  chan struct{}
	once  sync.Once
	tasks sync.WaitGroup

	mu   sync.Mutex
	seen []reply
}

func watch(d *daemon, path string) *watcher {
	w := &watcher{quit: make(chan struct{})}
	for range 2 {
		w.tasks.Go(func() {
			for {
				r := d.get(path)
				w.mu.Lock()
				w.seen = append(w.seen, r)
				w.mu.Unlock()
				select {
				case <-w.quit:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	return w
}

func (w *watcher) replies() []reply {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clip(w.seen)
}

// see waits for a reply from now on.
func (w *watcher) see(t *testing.T, what string, ok func(reply) bool) {
	t.Helper()
	next := len(w.replies())
	eventually(t, 30*time.Second, what, func() bool {
		all := w.replies()
		for ; next < len(all); next++ {
			if ok(all[next]) {
				return true
			}
		}
		return false
	})
}

func (w *watcher) end() {
	w.once.Do(func() { close(w.quit) })
	w.tasks.Wait()
}

func (w *watcher) lastLease() (last time.Time) {
	for _, r := range w.replies() {
		if r.servedBy() == "lease" && r.began.After(last) {
			last = r.began
		}
	}
	return last
}

// judge finds answers under the lease that began later than T after the cut, whatever else they said, and old ones that
// began after the new value was acknowledged elsewhere.
func (w *watcher) judge(t *testing.T, cut, written time.Time) {
	t.Helper()
	under := 0
	for _, r := range w.replies() {
		after := r.began.Sub(cut)
		switch {
		case r.err != nil:
			t.Errorf("%v after the cut: %v", after, r.err)
		case r.status == http.StatusOK && r.body == "old" && r.began.After(written):
			t.Errorf("stale: %v after the cut, %v after the write, the edge answered %q by %s", after, r.began.Sub(written), r.body, r.servedBy())
		case r.servedBy() == "lease" && after > cutOffTerm:
			t.Errorf("%v after the cut, T is %v, the edge answered under the lease", after, cutOffTerm)
		case r.servedBy() == "lease" && after > 0:
			under++
		case r.status != http.StatusOK && r.status != http.StatusServiceUnavailable:
			t.Errorf("%v after the cut the edge answered %d: %s", after, r.status, r.body)
		}
	}
	if under == 0 {
		t.Error("the edge used no lease while it was cut off: nothing was shown")
	}
}
