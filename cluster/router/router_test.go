package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

var onceID = api.RequestID{Client: api.ClientID{1}, Seq: 1}

func TestConfig(t *testing.T) {
	if _, err := New(Config{}); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("an empty config gave %v", err)
	}
}

func TestLearnsLeader(t *testing.T) {
	b := newBackend(t)
	one, _, _ := keysOf(t, b)
	r := b.router(t)
	for range 2 {
		if _, err := r.Do(t.Context(), put(one, "v")); err != nil {
			t.Fatal(err)
		}
	}
	// The node itself is asked first. Its answer names the leader, and it is not asked again.
	if want := []string{"a0 txn a.1", "a1 txn a.1", "a1 txn a.1"}; !slices.Equal(b.calls(), want) {
		t.Errorf("asked %q, want %q", b.calls(), want)
	}
	if g, ok := r.Locate(one); g != "a.1" || !ok || r.Leader(g) != "a1" {
		t.Errorf("%q is located at %s, led by %s", one, g, r.Leader(g))
	}
}

func TestLeadsAnnounced(t *testing.T) {
	b := newBackend(t)
	_, _, far := keysOf(t, b)
	r := b.router(t)
	r.Leads(words.Leads{Group: "b.1", Term: 4, Node: "b1"})
	r.Leads(words.Leads{Group: "b.1", Term: 3, Node: "b2"}) // late
	if _, err := r.Do(t.Context(), put(far, "v")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"b1 txn b.1"}; !slices.Equal(b.calls(), want) {
		t.Errorf("asked %q, want %q", b.calls(), want)
	}
}

func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one, _, _ := keysOf(t, b)
		r := b.router(t)
		if _, err := r.Do(t.Context(), put(one, "v")); err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		b.leaders["a.1"] = "" // an election
		b.before = func(_ context.Context, node api.NodeID, _ string, _ api.GroupID) error {
			if node == "a1" {
				return api.Errorf(api.CodeUnavailable, "no connection")
			}
			return nil
		}
		b.mu.Unlock()
		time.AfterFunc(2*time.Second, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.leaders["a.1"] = "a2"
		})
		began := time.Now()
		if _, err := r.Do(t.Context(), put(one, "w")); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > 2500*time.Millisecond {
			t.Errorf("the write came through %v after it was sent", d)
		}
		if n := len(b.calls()); n > 60 {
			t.Errorf("%d calls in two seconds", n)
		}
	})
}

func TestUnavailableWithinTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one, _, _ := keysOf(t, b)
		b.leaders["a.1"] = ""
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, err := b.router(t).Do(ctx, put(one, "v", onceID))
		if api.CodeOf(err) != api.CodeUnavailable || time.Since(began) > 3*time.Second {
			t.Errorf("gave %v after %v", err, time.Since(began))
		}
		_, err = words.Read(t.Context(), b.router(t), &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{one}}})
		if api.CodeOf(err) != api.CodeUnavailable || time.Since(began) > 3*time.Second+api.DefaultTimeout {
			t.Errorf("without a deadline: %v after %v", err, time.Since(began))
		}
	})
}

// TestUnknownOutcome checks that a write without an ID is not sent again once it may have been applied. A write with an
// ID is, with the same ID.
func TestUnknownOutcome(t *testing.T) {
	b := newBackend(t)
	one, _, _ := keysOf(t, b)
	r := b.router(t)
	lost := 0
	b.after = func(_ context.Context, _ api.NodeID, _ string, _ api.GroupID, err error) error {
		if lost++; lost == 1 {
			return api.Errorf(api.CodeAmbiguous, "the connection broke")
		}
		return err
	}
	if _, err := r.Do(t.Context(), put(one, "v")); api.CodeOf(err) != api.CodeAmbiguous {
		t.Errorf("an unknown outcome became %v", err)
	}
	if want := []string{"a0 txn a.1", "a1 txn a.1"}; !slices.Equal(b.calls(), want) {
		t.Errorf("asked %q, want %q", b.calls(), want)
	}
	lost = 0
	res, err := r.Do(t.Context(), put(one, "w", onceID))
	if err != nil || !res.Replayed {
		t.Errorf("the repetition gave %+v, %v", res, err)
	}
}

// TestUnknownStaysUnknown checks that the answer to a later attempt proves nothing about an earlier one of unknown
// outcome.
func TestUnknownStaysUnknown(t *testing.T) {
	for _, second := range []*api.Error{
		{Code: api.CodeUnavailable}, {Code: api.CodeConflict}, {Code: api.CodeNotLeader}, {Code: api.CodeUnavailable, RetryAfter: time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(t)
			one, _, _ := keysOf(t, b)
			n := 0
			b.before = func(_ context.Context, node api.NodeID, _ string, _ api.GroupID) error {
				if n++; n == 1 {
					return api.CodeAmbiguous
				}
				return second
			}
			if _, err := b.router(t).Do(t.Context(), put(one, "v", onceID)); api.CodeOf(err) != api.CodeAmbiguous {
				t.Errorf("ambiguous, then %v, became %v", second, err)
			}
		})
	}
}

// voter answers each CommitLast with the next of its answers.
type voter struct {
	remote.Participant
	answers []error // nil: a vote of no
}

func (v *voter) CommitLast(context.Context, *fsm.CommitLast, []ident.DroppedLease) (*fsm.Vote, error) {
	err := v.answers[0]
	if v.answers = v.answers[1:]; err != nil {
		return nil, err
	}
	return &fsm.Vote{Refused: &api.Error{Code: fsm.RetryIntents}}, nil
}

// TestNoAfterUnknownCommit checks that a vote of no is certain, but not after an attempt to commit that may still be on
// its way.
func TestNoAfterUnknownCommit(t *testing.T) {
	lost := api.Errorf(api.CodeAmbiguous, "the connection broke")
	for _, c := range []struct {
		answers []error
		want    api.Code
	}{{[]error{nil}, ""}, {[]error{&api.Error{Code: api.CodeNotLeader}, nil}, ""}, {[]error{lost, nil}, api.CodeAmbiguous}} {
		b := newBackend(t)
		b.participant = &voter{answers: c.answers}
		v, err := b.router(t).CommitLast(t.Context(), &fsm.CommitLast{Txn: ident.TxnRef{ID: ident.TxnID{Decider: "a.1"}}}, nil)
		if api.CodeOf(err) != c.want || err == nil && v.Refused == nil {
			t.Errorf("%v became %+v, %v", c.answers, v, err)
		}
	}
}

func (v *voter) Prepare(ctx context.Context, _ *fsm.Prepare, _ []ident.DroppedLease, _ bool) (*fsm.Vote, error) {
	return v.CommitLast(ctx, nil, nil)
}

// TestNoAfterUnknownPrepare checks that a vote of no is not certain if another attempt may still be on its way, and
// lock.
func TestNoAfterUnknownPrepare(t *testing.T) {
	lost := api.Errorf(api.CodeAmbiguous, "the connection broke")
	for _, c := range []struct {
		answers []error
		unsure  bool
	}{{[]error{nil}, false}, {[]error{&api.Error{Code: api.CodeNotLeader}, nil}, false}, {[]error{lost, nil}, true}} {
		b := newBackend(t)
		b.participant = &voter{answers: c.answers}
		v, err := b.router(t).Prepare(t.Context(), &fsm.Prepare{Group: "a.1"}, nil, false)
		if err != nil || v.Refused == nil || v.Unsure != c.unsure {
			t.Errorf("%v became %+v, %v", c.answers, v, err)
		}
	}
}

// TestReadsAreNeverAmbiguous checks that reads are repeated after a lost answer, and that their outcome is never
// unknown.
func TestReadsAreNeverAmbiguous(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one, _, _ := keysOf(t, b)
		b.before = func(context.Context, api.NodeID, string, api.GroupID) error { return context.DeadlineExceeded }
		r := b.router(t)
		if _, err := words.Read(t.Context(), r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{one}}}); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("read gave %v", err)
		}
		if _, err := r.List(t.Context(), &words.ListRequest{}); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("list gave %v", err)
		}
	})
}

// TestSilentNode checks that a read does not wait for a silent node longer than one attempt may take. A write that may
// be repeated leaves the node at once when another announces that it leads.
func TestSilentNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one, _, _ := keysOf(t, b)
		r := b.router(t)
		r.Leads(words.Leads{Group: "a.1", Term: 1, Node: "a2"})
		b.before = func(ctx context.Context, node api.NodeID, _ string, _ api.GroupID) error {
			if node != "a2" {
				return nil
			}
			<-ctx.Done()
			return &api.Error{Code: api.CodeAmbiguous, Err: ctx.Err()}
		}
		began := time.Now()
		if _, err := words.Read(t.Context(), r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{one}}}); err != nil || time.Since(began) > 2100*time.Millisecond {
			t.Errorf("read: %v after %v", err, time.Since(began))
		}
		r.Leads(words.Leads{Group: "a.1", Term: 2, Node: "a2"})
		time.AfterFunc(100*time.Millisecond, func() { r.Leads(words.Leads{Group: "a.1", Term: 3, Node: "a1"}) })
		began = time.Now()
		if _, err := r.Do(t.Context(), put(one, "v", onceID)); err != nil || time.Since(began) > 200*time.Millisecond {
			t.Errorf("write: %v after %v", err, time.Since(began))
		}
	})
}

// TestBusy checks that a leader that asks to wait is asked again after that time, and that the other nodes are not
// asked.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one, _, _ := keysOf(t, b)
		r := b.router(t)
		r.Leads(words.Leads{Group: "a.1", Term: 1, Node: "a1"})
		n := 0
		b.before = func(context.Context, api.NodeID, string, api.GroupID) error {
			if n++; n == 1 {
				return &api.Error{Code: api.CodeUnavailable, RetryAfter: time.Second}
			}
			return nil
		}
		began := time.Now()
		if _, err := r.Do(t.Context(), put(one, "v")); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < time.Second || d > 1100*time.Millisecond || n != 2 {
			t.Errorf("came through after %v and %d calls", d, n)
		}
	})
}

// TestNoTriesLeft checks that a request whose tries a group has used up is not tried again.
func TestNoTriesLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one, _, _ := keysOf(t, b)
		r := b.router(t)
		n := 0
		b.before = func(context.Context, api.NodeID, string, api.GroupID) error {
			n++
			return &api.Error{Code: words.Exhausted, RetryAfter: time.Second}
		}
		_, err := r.Do(t.Context(), put(one, "v"))
		if e := api.AsError(err); e == nil || e.Code != api.CodeUnavailable || e.RetryAfter != time.Second || n != 1 {
			t.Errorf("%v, after %d calls", err, n)
		}
	})
}

// TestTooManyArePatient checks that only a bounded number of requests wait for a leader that asks them to. The others
// are refused at once, with the leader's own error.
func TestTooManyArePatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one, _, _ := keysOf(t, b)
		r := b.router(t)
		r.cfg.MaxPaused = 3
		r.Leads(words.Leads{Group: "a.1", Term: 1, Node: "a1"})
		began := time.Now()
		b.before = func(context.Context, api.NodeID, string, api.GroupID) error {
			if time.Since(began) < time.Second {
				return &api.Error{Code: api.CodeUnavailable, RetryAfter: time.Second}
			}
			return nil
		}
		var errs, served atomic.Int64
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				_, err := r.Do(t.Context(), put(one, "v"))
				switch e := api.AsError(err); {
				case err == nil:
					served.Add(1)
				case e.Code == api.CodeUnavailable && e.RetryAfter == time.Second && time.Since(began) == 0:
					errs.Add(1)
				default:
					t.Errorf("after %v: %v", time.Since(began), err)
				}
			})
		}
		all.Wait()
		if errs.Load() != 7 || served.Load() != 3 {
			t.Errorf("%d were refused and %d served", errs.Load(), served.Load())
		}
		if _, err := r.Do(t.Context(), put(one, "v")); err != nil { // their places are free again
			t.Error(err)
		}
	})
}

func TestSeveralGroups(t *testing.T) {
	b := newBackend(t)
	one, two, far := keysOf(t, b)
	r := b.router(t)
	for _, k := range []api.Key{one, two, far} {
		if _, err := r.Do(t.Context(), put(k, "of "+string(k))); err != nil {
			t.Fatal(err)
		}
	}
	keys := []api.Key{far, one, two, one, "b/absent"}
	res, err := words.Read(t.Context(), r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: keys, Known: make([]api.Version, len(keys))}})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range res.Entries {
		if e.Key != keys[i] || e.Exists != (i < 4) || e.Exists && string(e.Value) != "of "+string(keys[i]) {
			t.Errorf("entry %d is %+v", i, e)
		}
	}
	if res.Snapshot || res.Group != "" || res.ServedBy != api.ServedByOwner {
		t.Errorf("several owners gave %+v", res)
	}
	single, err := words.Read(t.Context(), r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{one}}})
	if err != nil || !single.Snapshot || single.Group != "a.1" {
		t.Errorf("one owner gave %+v, %v", single, err)
	}
	txn := put(one, "x")
	txn.If = []api.Cond{{Kind: api.CondExists, Key: far}}
	_, err = r.Do(t.Context(), txn)
	if e := api.AsError(err); e.Code != api.CodeWrongGroup || !strings.Contains(e.Hint, "several groups (a.1 owns") {
		t.Errorf("a transaction of two groups gave %v", err)
	}
}

// TestKnownOwner checks that a request goes to the group that it names, without looking up its keys. If that group is
// not the owner, the keys are looked up, and the owner is asked at once.
func TestKnownOwner(t *testing.T) {
	b := newBackend(t)
	one, _, _ := keysOf(t, b)
	r := b.router(t, func(c *Config) {
		c.Map = func() *placement.Map {
			m := *b.placement()
			m.Version = 1 // never newer
			return &m
		}
	})
	for _, g := range []api.GroupID{"a.1", "a.2"} {
		txn, read := put(one, "v"), &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{one}}, Group: g}
		txn.Group = g
		before := len(b.calls())
		if res, err := r.Do(t.Context(), txn); err != nil || !res.Committed || txn.Group != g {
			t.Errorf("%s: the transaction gave %+v, %v", g, res, err)
		}
		if res, err := words.Read(t.Context(), r, read); err != nil || string(res.Entries[0].Value) != "v" {
			t.Errorf("%s: the read gave %+v, %v", g, res, err)
		}
		asked := map[string]int{}
		for _, c := range b.calls()[before:] {
			op, group, _ := strings.Cut(c[strings.Index(c, " ")+1:], " ")
			if group != string(g) && group != "a.1" {
				t.Errorf("%s: %s was asked", g, group)
			}
			asked[op+" "+group]++
		}
		if asked["txn a.1"] == 0 || asked["read a.1"] == 0 || g != "a.1" && (asked["txn "+string(g)] == 0 || asked["read "+string(g)] == 0) {
			t.Errorf("%s: asked were %v", g, asked)
		}
	}
	if b.refreshes != 0 {
		t.Errorf("the map was fetched %d times", b.refreshes)
	}
}

// TestLeaseWishes checks that a request for leases goes to the group that it names, and to no other.
func TestLeaseWishes(t *testing.T) {
	b := newBackend(t)
	one, two, _ := keysOf(t, b)
	sid := ident.SessionID{Incarnation: 1, Index: 9}
	seen := map[api.GroupID]ident.SessionID{}
	var mu sync.Mutex
	r := b.router(t, func(c *Config) {
		inner := c.Remote
		c.Remote = func(node api.NodeID) Target {
			return spy{inner(node), func(q *words.ReadRequest) {
				mu.Lock()
				defer mu.Unlock()
				seen[q.Group] = q.Session
			}}
		}
	})
	q := &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{one, two}}, Group: "a.1", Session: sid}
	if _, err := words.Read(t.Context(), r, q); err != nil {
		t.Fatal(err)
	}
	if seen["a.1"] != sid || !seen["a.2"].IsZero() || q.Group != "a.1" || len(q.Keys) != 2 {
		t.Errorf("wishes reached %v; the request is now %+v", seen, q)
	}
}

type spy struct {
	Target
	read func(*words.ReadRequest)
}

func (s spy) Read(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	s.read(q)
	return s.Target.Read(ctx, q, out)
}

// TestMoved checks that if the owner has changed, the map is fetched and the new owner asked. The write keeps its ID
// and epoch.
func TestMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one, _, _ := keysOf(t, b)
		old := b.now
		next := moved(t, old, "x/", "b")
		stale := old
		b.now = next
		b.refresh = func() error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.refreshes > 2 {
				stale = next
			}
			return nil
		}
		r := b.router(t, func(c *Config) {
			c.Map = func() *placement.Map {
				b.mu.Lock()
				defer b.mu.Unlock()
				return stale
			}
			c.DedupEpoch = func(g api.GroupID) ident.DedupEpoch { return ident.DedupEpoch{Group: g, Incarnation: 1, Count: 4} }
		})
		if _, err := r.Do(t.Context(), put(one, "v", onceID)); err != nil {
			t.Fatal(err)
		}
		if g, _ := r.Locate(one); g != "b.1" && g != "b.2" {
			t.Errorf("%q is at %s", one, g)
		}
		res, err := words.Read(t.Context(), r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{one}}})
		if err != nil || string(res.Entries[0].Value) != "v" {
			t.Errorf("read %+v, %v", res, err)
		}
		stale, b.refreshes = old, 0
		if page, err := r.List(t.Context(), &words.ListRequest{ListRequest: api.ListRequest{Range: api.PrefixRange("x/")}}); err != nil || len(page.Entries) != 1 {
			t.Errorf("listed %+v, %v", page, err)
		}
	})
}

// moved returns the map after the prefix was given to the region.
func moved(t *testing.T, m *placement.Map, prefix api.Key, region api.RegionID) *placement.Map {
	t.Helper()
	x := placement.New()
	results, err := x.Apply(1, [][]byte{placement.Encode(placement.Init{Map: m}), placement.Encode(placement.SetRange{
		Range: api.PrefixRange(prefix), Epoch: 2, Region: region, Groups: m.GroupsOf(region),
	})})
	if err != nil || results[1].Err != nil {
		t.Fatal(err, results[1].Err)
	}
	return results[1].Map
}

func TestNoMapYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one, _, _ := keysOf(t, b)
		m := b.now
		b.now = nil
		r := b.router(t)
		if _, ok := r.Locate(one); ok {
			t.Error("located without a map")
		}
		if _, err := r.Do(t.Context(), put(one, "v")); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("without a map: %v", err)
		}
		b.refresh = func() error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.now = m
			return nil
		}
		if _, err := r.Do(t.Context(), put(one, "v")); err != nil {
			t.Error(err)
		}
	})
}

// TestDedupEpochs checks that a request names the epoch of the group that it is sent to, as known then. After an
// attempt of unknown outcome it keeps the epoch of that attempt, even if that is another group's. An epoch that is
// already set stays.
func TestDedupEpochs(t *testing.T) {
	b := newBackend(t)
	one, _, _ := keysOf(t, b)
	m := b.now
	next := moved(t, m, "x/", "b")
	count, answers := uint64(0), []error(nil)
	var seen []ident.DedupEpoch
	r := b.router(t, func(c *Config) {
		c.DedupEpoch = func(g api.GroupID) ident.DedupEpoch {
			count++
			return ident.DedupEpoch{Group: g, Incarnation: 1, Count: count}
		}
		inner := c.Remote
		c.Remote = func(node api.NodeID) Target {
			return answering{inner(node), func(x *words.Txn) error {
				seen = append(seen, x.Epoch)
				if len(answers) == 0 {
					return nil
				}
				err := answers[0]
				if answers = answers[1:]; api.CodeOf(err) == api.CodeWrongGroup {
					b.mu.Lock()
					defer b.mu.Unlock()
					b.now = next
				}
				return err
			}}
		}
	})
	var given ident.DedupEpoch
	send := func(id api.RequestID, errs ...error) []ident.DedupEpoch {
		t.Helper()
		seen, answers, count, b.now = nil, errs, 0, m
		txn := put(one, "v", id)
		txn.Epoch = given
		if _, err := r.Do(t.Context(), txn); err != nil {
			t.Fatal(err)
		}
		if txn.ID != id || txn.Epoch != given {
			t.Errorf("the caller's own id became %+v, of %v", txn.ID, txn.Epoch)
		}
		return seen
	}
	owner, _ := r.Locate(one)
	at := func(counts ...uint64) (es []ident.DedupEpoch) {
		for _, n := range counts {
			es = append(es, ident.DedupEpoch{Group: owner, Incarnation: 1, Count: n})
		}
		return es
	}
	refused, unknown := error(&api.Error{Code: api.CodeUnavailable, RetryAfter: 1}), error(api.CodeAmbiguous)
	if got := send(onceID); !slices.Equal(got, at(1)) {
		t.Errorf("at once: %v", got)
	}
	if got := send(onceID, refused, refused); !slices.Equal(got, at(1, 2, 3)) {
		t.Errorf("refused twice: %v", got)
	}
	if got := send(onceID, refused, unknown, refused); !slices.Equal(got, at(1, 2, 2, 2)) {
		t.Errorf("unknown once: %v", got)
	}
	given = ident.DedupEpoch{Group: "g.9", Incarnation: 1, Count: 3}
	if got := send(onceID, refused); !slices.Equal(got, []ident.DedupEpoch{given, given}) {
		t.Errorf("a given epoch became %v", got)
	}
	given = ident.DedupEpoch{}
	if got := send(onceID, refused, api.CodeWrongGroup); got[1] != at(2)[0] || got[2].Group == owner || got[2].Count != 3 {
		t.Errorf("moved: %v", got)
	}
	if got := send(onceID, unknown, api.CodeWrongGroup); !slices.Equal(got, at(1, 1, 1)) {
		t.Errorf("unknown, and then moved: %v", got)
	}
}

// answering answers transactions by itself.
type answering struct {
	Target
	do func(*words.Txn) error
}

func (a answering) Do(_ context.Context, x *words.Txn) (*api.TxnResult, error) {
	if err := a.do(x); err != nil {
		return nil, err
	}
	return &api.TxnResult{Committed: true, Group: x.Group}, nil
}

func TestLessor(t *testing.T) {
	b := newBackend(t)
	r := b.router(t)
	grant, err := r.OpenSession(t.Context(), words.OpenSession{Group: "b.1"})
	err = errors.Join(err, r.CloseSession(t.Context(), "b.1", grant.Session, ident.Nonce{}), r.Release(t.Context(), "b.1", nil))
	if err != nil || grant.Session.IsZero() || b.calls()[len(b.calls())-1] != "b1 release b.1" {
		t.Errorf("gave %+v, %v; asked %q", grant, err, b.calls())
	}
}

func TestOnLeader(t *testing.T) {
	b := newBackend(t)
	r := b.router(t)
	var at []api.NodeID
	err := r.OnLeader(t.Context(), ident.MetaGroup, "map", true, func(_ context.Context, node api.NodeID) error {
		at = append(at, node)
		if node != "a2" {
			return &api.Error{Code: api.CodeNotLeader, Leader: "a2"}
		}
		return nil
	})
	if err != nil || at[len(at)-1] != "a2" {
		t.Errorf("went to %v: %v", at, err)
	}
	err = r.OnLeader(t.Context(), "a.1", "cede", true, func(context.Context, api.NodeID) error { return api.CodeWrongGroup })
	if !errors.Is(err, api.CodeWrongGroup) {
		t.Errorf("gave %v", err)
	}
}

// TestConcurrent is for the race detector: it sends many requests while leaders change.
func TestConcurrent(t *testing.T) {
	b := newBackend(t)
	one, two, far := keysOf(t, b)
	r := b.router(t, func(c *Config) { c.MinBackoff, c.MaxBackoff = time.Millisecond, time.Millisecond })
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				id := api.RequestID{Client: api.ClientID{byte(i + 1)}, Seq: uint64(j + 1)}
				_, err1 := r.Do(t.Context(), put([]api.Key{one, two, far}[j%3], "v", id))
				_, err2 := words.Read(t.Context(), r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{one, two, far}}})
				if err := errors.Join(err1, err2); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 100 {
		g := []api.GroupID{"a.1", "a.2", "b.1"}[i%3]
		leader := api.NodeID(fmt.Sprint(string(g[0]), i%2))
		b.mu.Lock()
		b.leaders[g] = leader
		b.mu.Unlock()
		r.Leads(words.Leads{Group: g, Term: api.Term(i), Node: leader})
	}
	wg.Wait()
}
