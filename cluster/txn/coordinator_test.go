package txn

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/placement"
)

// TestStore: a coordinator passes the suite of all Stores, where all keys are one group's, and where they are spread over
// several groups, so that nearly every transaction goes across them.
func TestStore(t *testing.T) {
	for _, groups := range []int{1, 3} {
		for _, c := range storetest.Cases() {
			t.Run(fmt.Sprintf("%d groups/%s", groups, c.Name), func(t *testing.T) {
				inWorld(t, groups, func(t *testing.T, w *world) {
					g := w.gateway("us")
					c.Run(t, g)
					time.Sleep(time.Second)
					w.settled(20 * q)
					if across := g.told.of("edgehold_txn_total m2 ok"); groups == 1 && across > 0 {
						t.Errorf("%v transactions across one group", across)
					}
				})
			})
		}
	}
}

// leasedOn has the transaction test, under a lease that holds, that a far key is absent: then it is committed by M2.
func leasedOn(tx *api.Txn, far api.Key) *api.Txn {
	tx.Leased, tx.LeasesHeld = append(tx.Leased, len(tx.If)), func() bool { return true }
	tx.If = append(tx.If, api.Cond{Kind: api.CondAbsent, Key: far})
	return tx
}

// TestModes: what one group owns passes through, near and far alone commit in the far group, and all else by a decision of a
// near group; each takes the time that its messages need.
func TestModes(t *testing.T) {
	for _, c := range []struct {
		mode  string
		took  time.Duration
		txn   *api.Txn
		reads bool
	}{
		{"m1", q, &api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("us/b", "1")}}, false},
		{"m3", 2 * q, &api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/b", "1")}}, false},
		{"m2", 2 * q, leasedOn(&api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/b", "1")}}, "eu/far"), false},
		{"read", 2 * q, &api.Txn{Then: []api.Op{{Kind: api.OpGet, Key: "us/a"}, {Kind: api.OpGet, Key: "eu/b"}}}, true},
	} {
		inWorld(t, 1, func(t *testing.T, w *world) {
			g := w.gateway("us")
			began := time.Now()
			res, err := g.Do(within(t, 5*time.Second), c.txn)
			if err != nil || !res.Committed || g.told.of("edgehold_txn_total "+c.mode+" ok") != 1 {
				t.Errorf("%s: %+v, %v, %v", c.mode, res, err, g.told.n)
			}
			if took := time.Since(began); took > c.took+20*time.Millisecond {
				t.Errorf("%s took %v", c.mode, took)
			}
			w.settled(4 * q)
			if w.value("us/a") != "1" != c.reads {
				t.Errorf("%s: %q", c.mode, w.value("us/a"))
			}
		})
	}
}

// TestLeasesThatBreak: what was read under a lease is asked of its group where the lease has not held until all was locked.
func TestLeasesThatBreak(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		tx := leasedOn(&api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}, "eu/far")
		tx.LeasesHeld = func() bool { return false }
		if res, err := g.Do(within(t, 5*time.Second), tx); err != nil || !res.Committed || g.told.of("edgehold_txn_retries_total lease") != 1 {
			t.Errorf("%+v, %v, %v", res, err, g.told.n)
		}
		p, err := g.Do(within(t, 5*time.Second), &api.Txn{Then: []api.Op{putOp("eu/far", "there now")}})
		if err != nil || !p.Committed {
			t.Fatal(err)
		}
		if res, err := g.Do(within(t, 5*time.Second), tx); err != nil || res.Committed || !res.Entries[0].Exists {
			t.Errorf("the lease said so, and it was not: %+v, %v", res, err)
		}
		w.settled(20 * q)
		if w.value("us/a") != "1" || w.value("eu/a") != "1" {
			t.Errorf("%q and %q", w.value("us/a"), w.value("eu/a"))
		}
	})
}

// TestLeasesAreAskedAfterLocks: two transactions at once, each of which has read under a lease what the other writes: one of
// them is told so. The leases here are like real ones: a prepare takes them.
func TestLeasesAreAskedAfterLocks(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		held := func(k api.Key) func() bool {
			return func() bool {
				g, _, _ := w.m.Locate(k)
				m := w.groups[g].machine
				es, err := m.Read([]api.Key{k})
				return err == nil && !es[0].Exists && len(m.Intents([]api.Key{k})) == 0
			}
		}
		results := make(chan *api.TxnResult)
		for region, keys := range map[string][2]api.Key{"us": {"us/duty", "eu/duty"}, "eu": {"eu/duty", "us/duty"}} {
			tx := leasedOn(&api.Txn{Then: []api.Op{putOp(keys[0], "off"), putOp("us/log-"+api.Key(region), "x"), putOp("eu/log-"+api.Key(region), "x")}}, keys[1])
			tx.LeasesHeld = held(keys[1])
			g := w.gateway(region)
			go func() {
				res, err := g.Do(within(t, 20*time.Second), tx)
				if err != nil {
					t.Error(err)
					res = &api.TxnResult{}
				}
				results <- res
			}()
		}
		if one, two := <-results, <-results; one.Committed == two.Committed {
			t.Errorf("%+v and %+v", one, two)
		}
		w.settled(20 * q)
	})
}

// TestBranches: if, then and else over two groups, in every state.
func TestBranches(t *testing.T) {
	txn := func(id api.RequestID) *api.Txn {
		return &api.Txn{ID: id,
			If:   []api.Cond{{Kind: api.CondExists, Key: "us/flag"}, {Kind: api.CondValue, Key: "eu/flag", Value: []byte("up")}},
			Then: []api.Op{addOp("us/then", 1), {Kind: api.OpDelete, Key: "eu/flag"}},
			Else: []api.Op{putOp("us/flag", "up"), putOp("eu/flag", "up"), addOp("eu/else", 1), {Kind: api.OpGet, Key: "us/then"}},
		}
	}
	inWorld(t, 1, func(t *testing.T, w *world) {
		g, other := w.gateway("us"), w.gateway("eu")
		for i := range 6 {
			id := api.RequestID{}
			if i >= 2 {
				id = requestOf(byte(i))
			}
			res, err := g.Do(within(t, 5*time.Second), txn(id))
			if err != nil || res.Committed != (i%2 == 1) || len(res.Entries) != 4-2*(i%2) {
				t.Fatalf("%d: %+v, %v", i, res, err)
			}
			if i < 2 {
				continue
			}
			again, err := other.Do(within(t, 5*time.Second), txn(id))
			if err != nil || !again.Replayed || again.Committed != res.Committed || again.Entries[0].Version != res.Entries[0].Version {
				t.Errorf("%d, again: %+v, %v", i, again, err)
			}
		}
		w.settled(20 * q)
		if w.value("us/then") != "3" || w.value("eu/else") != "3" || w.value("eu/flag") != "" {
			t.Errorf("then %q, else %q, flag %q", w.value("us/then"), w.value("eu/else"), w.value("eu/flag"))
		}
	})
}

// TestAskedAgain: a request that is sent again is answered as it was, also where its own writes have made its conditions
// fail, or keep its steps from being carried out, or where it would only read now.
func TestAskedAgain(t *testing.T) {
	big := make([]byte, api.MaxValueBytes/2+1)
	for name, tx := range map[string]*api.Txn{
		"condition": {If: []api.Cond{{Kind: api.CondAbsent, Key: "us/a"}, {Kind: api.CondAbsent, Key: "eu/a"}}, Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}},
		"far":       {If: []api.Cond{{Kind: api.CondAbsent, Key: "us/a"}}, Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}},
		"step far":  {Then: []api.Op{addOp("us/n", 1<<62), addOp("us/n", 1<<62-1), putOp("eu/a", "1")}},
		"step near": {Then: []api.Op{putOp("us/a", "1"), addOp("eu/n", 1<<62), addOp("eu/n", 1<<62-1)}},
		"size":      {Then: []api.Op{{Kind: api.OpAppendIfAbsent, Key: "us/l", Value: append([]byte("x"), big...)}, putOp("eu/a", "1")}},
		"looks now": {If: []api.Cond{{Kind: api.CondExists, Key: "us/a"}}, Then: []api.Op{{Kind: api.OpGet, Key: "eu/a"}, {Kind: api.OpGet, Key: "us/a"}}, Else: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}},
		"not held":  {If: []api.Cond{{Kind: api.CondExists, Key: "us/a"}, {Kind: api.CondExists, Key: "eu/a"}}, Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}},
		"failed":    {If: []api.Cond{{Kind: api.CondExists, Key: "us/a"}}, Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}},
	} {
		for _, region := range []string{"us", "eu"} {
			t.Run(name+" from "+region, func(t *testing.T) {
				inWorld(t, 1, func(t *testing.T, w *world) {
					tx := *tx
					tx.ID = requestOf(1)
					res, err := w.gateway("us").Do(within(t, 5*time.Second), &tx)
					if err != nil {
						t.Fatal(err)
					}
					if name == "not held" || name == "failed" { // it holds when it is sent again
						_, err := w.gateway("us").Do(within(t, 5*time.Second), &api.Txn{Then: []api.Op{putOp("us/a", "2"), putOp("eu/a", "2")}})
						if err != nil {
							t.Fatal(err)
						}
					}
					again, err := w.gateway(region).Do(within(t, 5*time.Second), &tx)
					if err != nil || !again.Replayed || again.Committed != res.Committed || len(again.Entries) != len(res.Entries) {
						t.Fatalf("%+v, %v; it was %+v", again, err, res)
					}
					for i := range res.Entries {
						if x, y := &res.Entries[i], &again.Entries[i]; x.Key != y.Key || x.Version != y.Version || x.Exists != y.Exists {
							t.Errorf("%+v; it was %+v", y, x)
						}
					}
				})
			})
		}
	}
}

// TestOneGroupAfterSeveral: a request whose keys are one group's now was tried across groups before, when they were not: what
// stands of that is found and ended, or is the answer.
func TestOneGroupAfterSeveral(t *testing.T) {
	for _, outcome := range []api.TxnOutcome{api.TxnUndecided, api.TxnAborted, api.TxnCommitted} {
		inWorld(t, 1, func(t *testing.T, w *world) {
			g := w.gateway("us")
			tx := &api.Txn{ID: requestOf(1), Then: []api.Op{addOp("us/a", 1), addOp("us/b", 1)}}
			ref := api.TxnRef{ID: api.TxnID{Client: tx.ID.Client, Seq: 1, Attempt: 9 << 16, Decider: "eu.1"}, Age: 1, Anchor: "us/a", Epoch: g.cfg.DedupEpoch("eu.1")}
			v, err := g.line.Prepare(within(t, time.Second), &fsm.Prepare{Group: "us.1", Txn: ref, Then: tx.Then, Claim: &fsm.Claim{Body: fsm.Fingerprint(tx)}}, nil, false)
			if err != nil || v.Refused != nil {
				t.Fatal(v, err)
			}
			if outcome != api.TxnUndecided {
				d := &fsm.Decide{Txn: ref, Outcome: outcome}
				if outcome == api.TxnCommitted {
					d.Participants, d.Held, d.Outcomes = []api.GroupID{"us.1"}, true, fsm.Outcomes(tx.Then, v.Txn.Entries)
				}
				if _, err := g.line.Decide(within(t, time.Second), d); err != nil {
					t.Fatal(err)
				}
			}
			for n := range 2 {
				res, err := g.Do(within(t, 10*time.Second), tx)
				if err != nil || !res.Committed || string(res.Entries[0].Value) != "1" || res.Replayed != (n == 1 || outcome == api.TxnCommitted) {
					t.Errorf("%v, %d: %+v, %v", outcome, n, res, err)
				}
			}
			w.settled(sweepBound)
			if a, b := w.value("us/a"), w.value("us/b"); a != "1" || b != "1" {
				t.Errorf("%v: %q and %q", outcome, a, b)
			}
		})
	}
}

// TestStepsThatFail: a function that cannot be carried out is told as such, with an id or without, and nothing is written.
func TestStepsThatFail(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		if _, err := g.Do(within(t, 5*time.Second), &api.Txn{Then: []api.Op{putOp("us/word", "w"), putOp("eu/word", "w")}}); err != nil {
			t.Fatal(err)
		}
		for i, far := range []api.Key{"us/word", "eu/word"} {
			for _, id := range []api.RequestID{{}, requestOf(byte(i + 1))} {
				_, err := g.Do(within(t, 5*time.Second), &api.Txn{ID: id, Then: []api.Op{putOp("eu/a", "1"), putOp("us/a", "1"), addOp(far, 1)}})
				if api.CodeOf(err) != api.CodePreconditionFailed || api.AsError(err).Key != far {
					t.Errorf("%q, %v: %v", far, id, err)
				}
			}
		}
		w.settled(20 * q)
		if w.value("us/a") != "" || w.value("eu/a") != "" {
			t.Error("something was written")
		}
	})
}

// told is a participant that says what it is told to.
type toldTo struct {
	mu       sync.Mutex
	prepare  map[api.GroupID][]*fsm.Vote // in turn; yes when there are no more
	decide   []func() (*fsm.Decision, error)
	outcome  func() (*fsm.Decision, error)
	asked    []string
	resolved chan struct{} // where set, Resolve waits for it
}

func (p *toldTo) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, fmt.Sprintf(format, args...))
}

func (p *toldTo) Prepare(_ context.Context, c *fsm.Prepare, _ []api.DroppedLease, _ bool) (*fsm.Vote, error) {
	p.note("prepare %s", c.Group)
	p.mu.Lock()
	defer p.mu.Unlock()
	if vs := p.prepare[c.Group]; len(vs) > 0 {
		p.prepare[c.Group] = vs[1:]
		if vs[0] == nil {
			return nil, api.Errorf(api.CodeAmbiguous, "lost")
		}
		return vs[0], nil
	}
	return &fsm.Vote{Txn: &api.TxnResult{Entries: make([]api.Entry, len(c.Then))}}, nil
}

func (p *toldTo) CommitLast(context.Context, *fsm.CommitLast, []api.DroppedLease) (*fsm.Vote, error) {
	return nil, api.Errorf(api.CodeInternal, "not in this test")
}

func (p *toldTo) Decide(_ context.Context, d *fsm.Decide) (*fsm.Decision, error) {
	p.note("decide %v", d.Outcome)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.decide) > 0 {
		f := p.decide[0]
		p.decide = p.decide[1:]
		return f()
	}
	return &fsm.Decision{Txn: d.Txn.ID, Outcome: d.Outcome, Participants: d.Participants}, nil
}

func (p *toldTo) Outcome(_ context.Context, ref api.TxnRef, abort bool) (*fsm.Decision, error) {
	p.note("outcome %v", abort)
	if p.outcome != nil {
		return p.outcome()
	}
	return &fsm.Decision{Txn: ref.ID, Outcome: api.TxnAborted}, nil
}

func (p *toldTo) Resolve(ctx context.Context, c fsm.Resolve) error {
	if p.resolved != nil {
		select {
		case <-p.resolved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.note("resolve %s %v", c.Group, c.Outcome)
	return nil
}

func no(code api.Code) *fsm.Vote { return &fsm.Vote{Refused: &api.Error{Code: code}} }

func attempted(rec *fsm.Record) *fsm.Vote {
	v := no(fsm.Attempted)
	v.Stored = rec
	return v
}

// TestRefusals: what a group says instead of yes, what it means for the caller, and whether the attempt was aborted before the
// caller was told or another one was made.
func TestRefusals(t *testing.T) {
	earlier := &fsm.Record{Client: api.ClientID{1}, Seq: 1, Attempt: 7 << 16, Decider: "eu.1", DeciderEpoch: 1}
	result := &fsm.Record{Committed: true, Outcomes: []fsm.Outcome{{Version: api.Version{Epoch: 1, Index: 5}, Exists: true}, {}}}
	for _, c := range []struct {
		name    string
		vote    *fsm.Vote
		outcome *fsm.Decision // of an earlier attempt
		outErr  error
		code    api.Code // of the answer; "": it is committed
		tries   int
	}{
		{name: "lost", vote: nil, code: api.CodeUnavailable, tries: 1},
		{name: "unavailable", vote: no(api.CodeUnavailable), code: api.CodeUnavailable, tries: 1},
		{name: "conflict", vote: no(api.CodeConflict), code: api.CodeConflict, tries: 1},
		{name: "too large", vote: no(api.CodeTooLarge), code: api.CodeTooLarge, tries: 1},
		{name: "invalid", vote: no(api.CodeInvalid), code: api.CodeInvalid, tries: 1},
		{name: "internal", vote: no(api.CodeInternal), code: api.CodeInternal, tries: 1},
		{name: "contention", vote: no(fsm.RetryIntents), tries: 2},
		{name: "pushed", vote: no(fsm.Finished), tries: 2},
		{name: "moved", vote: no(api.CodeWrongGroup), tries: 2},
		{name: "condition", vote: no(api.CodePreconditionFailed), tries: 2},
		{name: "done", vote: attempted(result), tries: 1},
		{name: "of nothing", vote: attempted(nil), code: api.CodeInternal, tries: 1},
		{name: "earlier aborted", vote: attempted(earlier), outcome: &fsm.Decision{Outcome: api.TxnAborted}, tries: 2},
		{name: "earlier committed", vote: attempted(earlier), outcome: &fsm.Decision{Outcome: api.TxnCommitted, Held: true, Outcomes: result.Outcomes}, tries: 1},
		{name: "earlier expired", vote: attempted(earlier), outcome: &fsm.Decision{Outcome: api.TxnAborted, Expired: true}, code: api.CodeConflict, tries: 1},
		{name: "earlier unknown", vote: attempted(earlier), outErr: api.Errorf(api.CodeUnavailable, "cut off"), code: api.CodeAmbiguous, tries: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				p := &toldTo{prepare: map[api.GroupID][]*fsm.Vote{"eu.1": {c.vote}}}
				p.outcome = func() (*fsm.Decision, error) {
					if c.outcome == nil && c.outErr == nil {
						return &fsm.Decision{Outcome: api.TxnAborted}, nil
					}
					return c.outcome, c.outErr
				}
				refreshed := false
				g := w.gateway("us", func(cfg *Config) {
					cfg.Groups, cfg.Refresh = p, func(context.Context) error { refreshed = true; return nil }
				})
				tx := leasedOn(&api.Txn{ID: api.RequestID{Client: api.ClientID{1}, Seq: 1}, Then: []api.Op{putOp("eu/a", "1"), putOp("us/a", "1")}}, "eu/far")
				res, err := g.Do(within(t, 5*time.Second), tx)
				if api.CodeOf(err) != c.code || err == nil && !res.Committed {
					t.Fatalf("%+v, %v", res, err)
				}
				synctest.Wait()
				tries := 0
				for _, a := range p.asked {
					if a == "prepare eu.1" {
						tries++
					}
				}
				if tries != c.tries {
					t.Errorf("%d tries: %q", tries, p.asked)
				}
				if at := slices.Index(p.asked, "decide aborted"); at < 0 {
					t.Errorf("the attempt was not aborted: %q", p.asked)
				} else if second := slices.Index(p.asked[at:], "decide committed"); (second >= 0) != (tries == 2) {
					t.Errorf("%q", p.asked)
				}
				if refreshed != (c.name == "moved") {
					t.Errorf("the map was refreshed: %v", refreshed)
				}
			})
		})
	}
}

// TestDecisions: what the decision group says, or does not, to a commit.
func TestDecisions(t *testing.T) {
	fails := func(code api.Code) func() (*fsm.Decision, error) {
		return func() (*fsm.Decision, error) { return nil, &api.Error{Code: code} }
	}
	for _, c := range []struct {
		name   string
		decide []func() (*fsm.Decision, error)
		code   api.Code
	}{
		{"committed", nil, ""},
		{"lost", []func() (*fsm.Decision, error){fails(api.CodeAmbiguous)}, api.CodeAmbiguous},
		{"refused", []func() (*fsm.Decision, error){fails(api.CodeUnavailable)}, api.CodeUnavailable},
		{"pushed before", []func() (*fsm.Decision, error){func() (*fsm.Decision, error) {
			return &fsm.Decision{Outcome: api.TxnAborted}, nil
		}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				p := &toldTo{decide: c.decide}
				g := w.gateway("us", func(cfg *Config) { cfg.Groups = p })
				_, err := g.Do(within(t, 5*time.Second), leasedOn(&api.Txn{Then: []api.Op{putOp("eu/a", "1"), putOp("us/a", "1")}}, "eu/far"))
				if api.CodeOf(err) != c.code {
					t.Errorf("%v", err)
				}
				synctest.Wait()
				if pushed := slices.Contains(p.asked, "outcome true"); pushed != (c.code != "") {
					t.Errorf("what is not known is made known afterwards: %q", p.asked)
				}
			})
		})
	}
}

// TestOldestGoesOn: of transactions that meet on hot keys, the oldest is never aborted for a lock; all of them get through.
func TestOldestGoesOn(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		var busy sync.WaitGroup
		stop := make(chan struct{})
		var done atomic.Int64
		for i := range 8 {
			g := w.gateway([]string{"us", "eu"}[i%2], func(c *Config) { c.Rand = nil })
			busy.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					tx := &api.Txn{Then: []api.Op{addOp("us/hot", 1), addOp("eu/hot", 1)}}
					if i%3 != 0 {
						tx = leasedOn(tx, "eu/far")
					}
					if _, err := g.Do(within(t, 20*time.Second), tx); err != nil {
						t.Errorf("%d of %d: %v", n, i, err)
					}
					done.Add(1)
				}
			})
		}
		old := w.gateway("us")
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			tx := leasedOn(&api.Txn{Age: 1, Then: []api.Op{addOp("us/hot", 1), addOp("eu/hot", 1)}}, "eu/far")
			began := time.Now()
			if _, err := old.Do(within(t, 20*time.Second), tx); err != nil {
				t.Error(err)
			}
			done.Add(1)
			if took := time.Since(began); took > 10*q {
				t.Errorf("the oldest took %v", took)
			}
		}
		close(stop)
		busy.Wait()
		if n := old.told.of("edgehold_txn_retries_total contention"); n > 0 {
			t.Errorf("the oldest gave way %v times", n)
		}
		w.settled(20 * q)
		if sum := fmt.Sprint(done.Load()); w.value("us/hot") != sum || w.value("eu/hot") != sum {
			t.Errorf("%s transactions made %q and %q", sum, w.value("us/hot"), w.value("eu/hot"))
		}
	})
}

// TestReadersDoNotStarveWriters: a key that younger transactions lock to read, one after the other and never all at once
// free, is written by an older one all the same.
func TestReadersDoNotStarveWriters(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		var busy sync.WaitGroup
		stop := make(chan struct{})
		for i := range 12 {
			g := w.gateway("us", func(c *Config) { c.Rand = nil })
			busy.Go(func() {
				time.Sleep(time.Duration(i) * q / 6)
				for {
					select {
					case <-stop:
						return
					default:
					}
					tx := leasedOn(&api.Txn{If: []api.Cond{{Kind: api.CondAbsent, Key: "eu/read"}}, Then: []api.Op{putOp(api.Key(fmt.Sprintf("us/%d", i)), "1")}}, "eu/far")
					_, _ = g.Do(within(t, 20*time.Second), tx)
				}
			})
		}
		time.Sleep(10 * q)
		began := time.Now()
		_, err := w.gateway("us").Do(within(t, 20*time.Second), leasedOn(&api.Txn{Age: 1, Then: []api.Op{addOp("us/w", 1), addOp("eu/read", 1)}}, "eu/far"))
		if took := time.Since(began); err != nil || took > 10*q {
			t.Errorf("after %v: %v", took, err)
		}
		close(stop)
		busy.Wait()
		w.settled(20 * q)
	})
}

// TestCloseWaits: Close ends what goes on after answers, and waits for it; what is over MaxCleanups is not begun.
func TestCloseWaits(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		p := &toldTo{prepare: map[api.GroupID][]*fsm.Vote{}, resolved: make(chan struct{})}
		g := w.gateway("us", func(c *Config) { c.Groups, c.MaxCleanups, c.Cleanup = p, 2, time.Hour })
		for range 5 {
			p.prepare["eu.1"] = []*fsm.Vote{no(api.CodeConflict)}
			_, err := g.Do(within(t, 5*time.Second), leasedOn(&api.Txn{Then: []api.Op{putOp("eu/a", "1"), putOp("us/a", "1")}}, "eu/far"))
			if api.CodeOf(err) != api.CodeConflict {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		g.mu.Lock()
		if g.cleaning != 2 {
			t.Errorf("%d are being cleaned up", g.cleaning)
		}
		g.mu.Unlock()
		g.Close()
		if g.cleaning != 0 {
			t.Error("Close did not wait")
		}
		p.prepare["eu.1"] = []*fsm.Vote{no(api.CodeConflict)}
		_, err := g.Do(within(t, 5*time.Second), leasedOn(&api.Txn{Then: []api.Op{putOp("eu/a", "1"), putOp("us/a", "1")}}, "eu/far"))
		if api.CodeOf(err) != api.CodeConflict || g.cleaning != 0 {
			t.Errorf("after Close: %v, and %d are being cleaned up", err, g.cleaning)
		}
	})
}

// TestTimeUp: a caller that gives up before anything is decided is told that nothing was written, at once, and then nothing
// is.
func TestTimeUp(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		for d := time.Millisecond; d < 3*q; d += 3 * time.Millisecond {
			for _, tx := range []*api.Txn{
				{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}},
				leasedOn(&api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}, "eu/far"),
			} {
				before := w.value("us/a")
				began := time.Now()
				res, err := g.Do(within(t, d), tx)
				took := time.Since(began)
				w.settled(sweepBound)
				after := w.value("us/a")
				switch {
				case took > d+time.Millisecond:
					t.Errorf("%v: it took %v", d, took)
				case w.value("eu/a") != after:
					t.Errorf("%v: half of it: %q, %q", d, w.value("eu/a"), after)
				case err == nil && (before == after || string(res.Entries[0].Value) != after):
					t.Errorf("%v: committed, and %q became %q", d, before, after)
				case err != nil && api.CodeOf(err) != api.CodeAmbiguous && before != after:
					t.Errorf("%v: %v, and %q became %q", d, err, before, after)
				}
			}
		}
	})
}

// TestConfig: what is missing is told.
func TestConfig(t *testing.T) {
	if _, err := New(Config{}); api.CodeOf(err) != api.CodeInvalid {
		t.Error(err)
	}
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us", func(c *Config) { c.DedupEpoch = func(api.GroupID) uint64 { return 0 } })
		_, err := g.Do(within(t, time.Second), &api.Txn{ID: requestOf(1), Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}})
		if api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("without an epoch: %v", err)
		}
		none := w.gateway("us", func(c *Config) { c.Map = func() *placement.Map { return nil } })
		if _, err := none.Do(within(t, time.Second), &api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("us/b", "1")}}); err != nil {
			t.Errorf("without a map the store behind is asked: %v", err)
		}
	})
}
