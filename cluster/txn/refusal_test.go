package txn

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestStepsThatFail checks that a function that cannot be carried out is reported as such, with an id or without, and
// that nothing is written.
func TestStepsThatFail(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		if _, err := g.Do(within(t, 5*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/word", "w"), putOp("eu/word", "w")}}}); err != nil {
			t.Fatal(err)
		}
		for i, far := range []api.Key{"us/word", "eu/word"} {
			for _, id := range []api.RequestID{{}, requestOf(byte(i + 1))} {
				_, err := g.Do(within(t, 5*time.Second), &words.Txn{Txn: api.Txn{ID: id, Then: []api.Op{putOp("eu/a", "1"), putOp("us/a", "1"), addOp(far, 1)}}})
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

// toldTo is a participant that gives the answers that it is set to give.
type toldTo struct {
	mu       sync.Mutex
	prepare  map[api.GroupID][]*fsm.Vote // in turn; yes when there are no more
	decide   []func() (*fsm.Decision, error)
	outcome  func() (*fsm.Decision, error)
	asked    []string
	resolved chan struct{} // if set, Resolve waits for it
}

func (p *toldTo) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, fmt.Sprintf(format, args...))
}

func (p *toldTo) Prepare(_ context.Context, c *fsm.Prepare, _ []ident.DroppedLease, _ bool) (*fsm.Vote, error) {
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

func (p *toldTo) CommitLast(context.Context, *fsm.CommitLast, []ident.DroppedLease) (*fsm.Vote, error) {
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

func (p *toldTo) Outcome(_ context.Context, ref ident.TxnRef, abort bool) (*fsm.Decision, error) {
	p.note("outcome %v", abort)
	if p.outcome != nil {
		return p.outcome()
	}
	return &fsm.Decision{Txn: ref.ID, Outcome: ident.TxnAborted}, nil
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

// finished returns the refusal of an attempt that was pushed.
func finished() *fsm.Vote {
	v := no(fsm.Finished)
	v.Decision = &fsm.Decision{Outcome: ident.TxnAborted}
	return v
}

func attempted(rec *fsm.Record) *fsm.Vote {
	v := no(fsm.Attempted)
	v.Stored = rec
	return v
}

// TestRefusals checks what each refusal of a group means for the caller. It checks whether the attempt was aborted
// before the caller got its answer or another attempt was made.
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
		{name: "pushed", vote: finished(), tries: 2},
		{name: "expired", vote: no(fsm.Finished), code: api.CodeConflict, tries: 1},
		{name: "moved", vote: no(api.CodeWrongGroup), tries: 2},
		{name: "condition", vote: no(api.CodePreconditionFailed), tries: 2},
		{name: "done", vote: attempted(result), tries: 1},
		{name: "of nothing", vote: attempted(nil), code: api.CodeInternal, tries: 1},
		{name: "earlier aborted", vote: attempted(earlier), outcome: &fsm.Decision{Outcome: ident.TxnAborted}, tries: 2},
		{name: "earlier committed", vote: attempted(earlier), outcome: &fsm.Decision{Outcome: ident.TxnCommitted, Held: true, Outcomes: result.Outcomes}, tries: 1},
		{name: "earlier expired", vote: attempted(earlier), outcome: &fsm.Decision{Outcome: ident.TxnAborted, Expired: true}, code: api.CodeConflict, tries: 1},
		{name: "earlier unknown", vote: attempted(earlier), outErr: api.Errorf(api.CodeUnavailable, "cut off"), code: api.CodeAmbiguous, tries: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				p := &toldTo{prepare: map[api.GroupID][]*fsm.Vote{"eu.1": {c.vote}}}
				p.outcome = func() (*fsm.Decision, error) {
					if c.outcome == nil && c.outErr == nil {
						return &fsm.Decision{Outcome: ident.TxnAborted}, nil
					}
					return c.outcome, c.outErr
				}
				refreshed := false
				g := w.gateway("us", func(cfg *Config) {
					cfg.Groups, cfg.Refresh = p, func(context.Context) error { refreshed = true; return nil }
				})
				tx := leasedOn(&words.Txn{Txn: api.Txn{ID: api.RequestID{Client: api.ClientID{1}, Seq: 1}, Then: []api.Op{putOp("eu/a", "1"), putOp("us/a", "1")}}}, "eu/far")
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

// TestDecisions checks each answer, or missing answer, of the decision group to a commit.
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
			return &fsm.Decision{Outcome: ident.TxnAborted}, nil
		}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				p := &toldTo{decide: c.decide}
				g := w.gateway("us", func(cfg *Config) { cfg.Groups = p })
				_, err := g.Do(within(t, 5*time.Second), leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{putOp("eu/a", "1"), putOp("us/a", "1")}}}, "eu/far"))
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

// TestCloseWaits checks that Close ends the work that goes on after answers, and waits for it, and that work over
// MaxCleanups is not begun.
func TestCloseWaits(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		p := &toldTo{prepare: map[api.GroupID][]*fsm.Vote{}, resolved: make(chan struct{})}
		g := w.gateway("us", func(c *Config) { c.Groups, c.MaxCleanups, c.Cleanup = p, 2, time.Hour })
		for range 5 {
			p.prepare["eu.1"] = []*fsm.Vote{no(api.CodeConflict)}
			_, err := g.Do(within(t, 5*time.Second), leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{putOp("eu/a", "1"), putOp("us/a", "1")}}}, "eu/far"))
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
		_, err := g.Do(within(t, 5*time.Second), leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{putOp("eu/a", "1"), putOp("us/a", "1")}}}, "eu/far"))
		if api.CodeOf(err) != api.CodeConflict || g.cleaning != 0 {
			t.Errorf("after Close: %v, and %d are being cleaned up", err, g.cleaning)
		}
	})
}

// TestNoOfTheNearGroup checks that if the far group commits last, the near group's vote of no ends the attempt by
// itself. It does not if a copy of the prepare message may still be on its way, and lock.
func TestNoOfTheNearGroup(t *testing.T) {
	for _, unsure := range []bool{false, true} {
		inWorld(t, 1, func(t *testing.T, w *world) {
			vote := no(fsm.RetryIntents)
			vote.Unsure = unsure
			p := &toldTo{prepare: map[api.GroupID][]*fsm.Vote{"us.1": {vote}}}
			g := w.gateway("us", func(cfg *Config) { cfg.Groups = p })
			_, _ = g.Do(within(t, time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}})
			synctest.Wait()
			if len(p.asked) < 2 || p.asked[0] != "prepare us.1" || (p.asked[1] == "decide aborted") != unsure {
				t.Errorf("unsure %v: %q", unsure, p.asked)
			}
		})
	}
}

// TestRefusedLastIsOver checks that a last group that has refused an attempt does not commit a later copy of the
// message. The copy comes when nothing is in the way any more, and when the other participants have dropped what they
// had prepared. A commit would leave half of the transaction.
func TestRefusedLastIsOver(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		eu := w.groups["eu.1"].leader()
		ref := func(client byte, decider api.GroupID, age time.Duration) ident.TxnRef {
			return ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{client}, Seq: 1, Attempt: 1 << 16, Decider: decider}, Age: ageOfClock(-age)}
		}
		older := ref(9, "us.1", time.Second)
		if v, err := eu.Prepare(within(t, time.Second), &fsm.Prepare{Group: "eu.1", Txn: older, Then: []api.Op{putOp("eu/hot", "older")}}, nil, false); err != nil || v.Refused != nil {
			t.Fatal(v, err)
		}
		last := &fsm.CommitLast{Txn: ref(8, "eu.1", 0), Then: []api.Op{putOp("eu/hot", "half")}, Participants: []api.GroupID{"us.1"}}
		v, err := eu.CommitLast(within(t, time.Second), last, nil)
		if err != nil || v.Refused == nil || v.Decision == nil || v.Decision.Outcome != ident.TxnAborted || v.Decision.Expired {
			t.Errorf("with an older one in the way: %+v, %v", v, err)
		}
		if err := eu.Resolve(within(t, time.Second), fsm.Resolve{Group: "eu.1", Txn: older.ID, Outcome: ident.TxnAborted}); err != nil {
			t.Fatal(err)
		}
		v, err = eu.CommitLast(within(t, time.Second), last, nil)
		if err != nil || v.Refused == nil || v.Refused.Code != fsm.Finished {
			t.Errorf("a copy of it: %+v, %v", v, err)
		}
		if got := w.value("eu/hot"); got != "" {
			t.Errorf("the copy wrote %q", got)
		}
	})
}

// TestRefusedLastLetsGo checks that if the last group votes no and no copy of the message can still commit, the near
// group's locks go with that answer. They do not wait for another round trip to the far group.
func TestRefusedLastLetsGo(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		older := ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{9}, Seq: 1, Attempt: 1 << 16, Decider: "us.1"}, Age: uint64(time.Now().Add(-time.Second).UnixNano())}
		v, err := w.groups["eu.1"].leader().Prepare(within(t, time.Second), &fsm.Prepare{Group: "eu.1", Txn: older, Then: []api.Op{addOp("eu/hot", 1)}}, nil, false)
		if err != nil || v.Refused != nil {
			t.Fatal(v, err)
		}
		done := make(chan error, 1)
		g := w.gateway("us")
		go func() {
			_, err := g.Do(within(t, 20*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{addOp("us/hot", 1), addOp("eu/hot", 1)}}})
			done <- err
		}()
		near := w.groups["us.1"].machine
		for near.Meta().Prepared == 0 {
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		for near.Meta().Prepared > 0 {
			time.Sleep(time.Millisecond)
		}
		// The near group's vote comes back. The last group is asked, waits for a moment, and votes no. Then the near
		// group receives the abort.
		if held := time.Since(began); held > 4*oneWay+50*time.Millisecond {
			t.Errorf("the near group's locks stayed for %v", held)
		}
		if err := <-done; err != nil { // the older one is aborted when it has stayed for too long
			t.Error(err)
		}
		w.settled(20 * q)
		if w.value("us/hot") != "1" || w.value("eu/hot") != "1" {
			t.Errorf("%q and %q", w.value("us/hot"), w.value("eu/hot"))
		}
	})
}
