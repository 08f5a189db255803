package txn

import (
	"context"
	"slices"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// attempt is one try to commit a branch. Only its run can decide to commit it.
type attempt struct {
	*running
	branch *branch
	parts  []*part
	ref    ident.TxnRef
	last   *part // the part that commits in its own entry (M3); nil if there is none
	votes  []*fsm.Vote
	// claimed reports whether the anchor's group may have noted this attempt.
	claimed bool
}

// attempt tries to commit the branch once.
func (r *running) attempt(ctx context.Context, b *branch) ended {
	parts, err := r.parts(b)
	if err != nil {
		return ended{err: err}
	}
	if len(parts) == 0 {
		return r.nothingToLock(b)
	}
	if lost := r.lost(parts); lost != nil {
		return ended{err: lost}
	}
	a := &attempt{running: r, branch: b, parts: parts, last: r.last(parts, b)}
	r.mode = "m2"
	var decider api.GroupID
	if a.last != nil {
		r.mode, decider = "m3", a.last.group
	} else if decider, err = r.decider(parts); err != nil {
		return ended{err: err}
	}
	if a.ref, err = r.ref(decider); err != nil {
		return ended{err: err}
	}
	if r.named && a.ref.Epoch == 0 {
		return ended{err: &api.Error{Code: api.CodeUnavailable, Op: "txn", RetryAfter: pauseMost,
			Hint: "this node has not heard lately from " + string(decider) + ", which would decide; nothing was written"}}
	}
	return a.run(ctx)
}

// nothingToLock ends a branch that has no steps and whose conditions are all covered by leases of this node. The branch
// holds if those leases are still held.
func (r *running) nothingToLock(b *branch) ended {
	if b.leased != nil && !r.txn.LeasesHeld() {
		r.leasesOff = true
		return ended{again: causeLease}
	}
	return ended{res: &api.TxnResult{Committed: b.held}}
}

func (a *attempt) run(ctx context.Context) ended {
	if no := a.prepare(ctx); no != nil {
		if a.last != nil && no.refused { // the only group that was asked has refused for certain: no group holds anything of the attempt
			return a.goOn(ctx, *no)
		}
		return a.abort(ctx, *no)
	}
	if err := answerable(a.branch.ops, a.entries()); err != nil {
		return a.abort(ctx, ended{err: err})
	}
	if a.last != nil {
		return a.commitLast(ctx)
	}
	if guardLeasesAfterLocks && !a.leasesHeld() { // after everything is locked: otherwise two transactions could miss each other's writes
		a.leasesOff = true
		return a.abort(ctx, ended{again: causeLease})
	}
	return a.decide(ctx)
}

// answerable refuses an answer with more values than a transaction may return. Each group has bounded its own part. The
// group that commits last adds at most sums and lengths.
func answerable(ops []api.Op, entries []api.Entry) error {
	size := 0
	for i := range ops {
		if ops[i].Answers() {
			size += len(entries[i].Value)
		}
	}
	if size <= api.MaxTxnWorkBytes {
		return nil
	}
	return api.Errorf(api.CodeTooLarge, "the values that the transaction reads are %d bytes, over the limit of %d bytes", size, api.MaxTxnWorkBytes)
}

func (a *attempt) leasesHeld() bool {
	return a.branch.leased == nil || a.txn.LeasesHeld()
}

// prepare has all groups vote at once, except the one that commits last. It returns nil if all of them voted yes.
func (a *attempt) prepare(ctx context.Context) *ended {
	if !guardLeasesAfterLocks && !a.leasesHeld() { // the mutant: checked too early
		a.leasesOff = true
		return &ended{again: causeLease}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.votes = make([]*fsm.Vote, len(a.parts))
	var mu sync.Mutex
	var no *ended
	refuse := func(p *part, e ended) {
		if no == nil || a.claimFirst && p.claim {
			no = &e
		}
		if !a.claimFirst {
			cancel() // the other votes no longer matter
		}
	}
	var wg sync.WaitGroup
	for i, p := range a.parts {
		if p == a.last {
			continue
		}
		wg.Go(func() {
			v, err := a.preparePart(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				refuse(p, ended{err: notApplied(err)})
			case v.Refused != nil:
				refuse(p, a.refused(p, v))
			default:
				a.votes[i] = v
			}
			a.claimed = a.claimed || p.claim && (err != nil || v.Refused == nil)
		})
	}
	wg.Wait()
	return no
}

// preparePart has one group vote.
func (a *attempt) preparePart(ctx context.Context, p *part) (v *fsm.Vote, err error) {
	defer a.cfg.Faults.Catch("prepare", &err)
	return a.cfg.Groups.Prepare(ctx, &fsm.Prepare{
		Group: p.group, Txn: a.ref, AckedBelow: a.id.AckedBelow, Epoch: a.cfg.DedupEpoch(p.group).Count,
		If: p.conds, Then: p.ops, Claim: a.claim(p),
	}, p.dropped, a.last != nil)
}

// claim returns the claim that the anchor's group is to note, or nil if the part has none.
func (a *attempt) claim(p *part) *fsm.Claim {
	if !p.claim {
		return nil
	}
	return &fsm.Claim{Body: a.body, After: a.after}
}

// refused returns what a vote of no on the part means for the attempt.
func (a *attempt) refused(p *part, v *fsm.Vote) ended {
	out := ended{refused: !v.Unsure}
	switch e := v.Refused; e.Code {
	case fsm.Attempted:
		out.again, out.earlier = causeEarlier, v.Stored
	case fsm.RetryIntents:
		out.again = causeContention
	case fsm.Finished:
		if out.again = causePushed; a.named && (v.Decision == nil || v.Decision.Expired) {
			out.again, out.err = "", requestExpired() // any other attempt would be refused for the same reason
		}
	case api.CodeWrongGroup:
		out.again = causeMoved
	default:
		step := e.Op != "" && (e.Code == api.CodePreconditionFailed || e.Code == api.CodeTooLarge) // a function refused
		switch {
		case step && a.named && !p.claim && !a.claimFirst:
			out.again = causeStep
		case e.Code == api.CodePreconditionFailed && !step:
			out.again = causeCondition
		default:
			out.err = e
		}
	}
	return out
}

// decide commits.
func (a *attempt) decide(ctx context.Context) ended {
	d, err := a.cfg.Groups.Decide(ctx, &fsm.Decide{
		Txn: a.ref, AckedBelow: a.id.AckedBelow, Outcome: ident.TxnCommitted, Participants: a.participants(),
		Held: a.branch.held, Outcomes: fsm.Outcomes(a.branch.ops, a.entries()),
	})
	if err != nil {
		a.clean(nil)
		return ended{err: unknown(err)}
	}
	switch {
	case d.Outcome == ident.TxnCommitted:
		return ended{res: a.result()}
	case d.Expired: // an earlier copy of this message may have committed and been forgotten since
		a.clean(d)
		return ended{err: expired()}
	}
	a.aborted(d) // a request that waited too long for this attempt had it aborted
	return ended{again: causePushed}
}

// expired returns the error for an attempt that is no longer remembered: its client has acknowledged it, or a day has
// passed.
func expired() error {
	return &api.Error{Code: api.CodeAmbiguous, Op: "txn",
		Hint: "the decision group remembers nothing of the transaction any more; read before you repeat it"}
}

// requestExpired returns the error for a late copy of a request: its client has acknowledged the answer, or the request
// is a day old.
func requestExpired() error {
	return &api.Error{Code: api.CodeConflict, Op: "txn", Unknown: true,
		Hint: "the request id has expired: what became of the request is not remembered any more; read before you repeat it under another id"}
}

// unknown returns the failure of a message that may have committed.
func unknown(err error) error {
	e := *api.AsError(err)
	if e.Op = "txn"; e.Code == api.CodeAmbiguous {
		e.Hint = "it is unknown whether this was committed; repeat it with the same idempotency key, or read before you repeat it"
	}
	return &e
}

// commitLast has the last group prepare and commit in one step.
func (a *attempt) commitLast(ctx context.Context) ended {
	p := a.last
	c := &fsm.CommitLast{
		Txn: a.ref, AckedBelow: a.id.AckedBelow, If: p.conds, Then: p.ops, Claim: a.claim(p), Held: a.branch.held,
		Outcomes: fsm.Outcomes(a.branch.ops, a.entries()), Places: p.places,
	}
	for _, o := range a.parts {
		if o != p {
			c.Participants = append(c.Participants, o.group)
		}
	}
	v, err := a.cfg.Groups.CommitLast(ctx, c, p.dropped)
	a.claimed = a.claimed || p.claim && err != nil
	switch {
	case err != nil:
		return a.abort(ctx, ended{err: unknown(err)})
	case v.Refused != nil:
		no := a.refused(p, v)
		if d := v.Decision; d != nil && d.Outcome == ident.TxnAborted && !d.Expired {
			a.aborted(d) // by the decision group, with its refusal
			return a.goOn(ctx, no)
		}
		return a.abort(ctx, no)
	case v.Txn == nil: // it had committed before: this is the answer to a repetition
		return ended{res: a.ownResult(v.Decision)}
	}
	for i, o := range a.parts {
		if o == p {
			a.votes[i] = v
		}
	}
	return ended{res: a.result()}
}

// participants returns the groups that have prepared.
func (a *attempt) participants() []api.GroupID {
	groups := make([]api.GroupID, len(a.parts))
	for i, p := range a.parts {
		groups[i] = p.group
	}
	return groups
}

// entries returns the branch's entries, as voted.
func (a *attempt) entries() []api.Entry {
	if a.branch.state != nil {
		return slices.Clone(a.branch.state)
	}
	entries := make([]api.Entry, len(a.branch.ops))
	for i, p := range a.parts {
		if v := a.votes[i]; v != nil {
			for j, place := range p.places {
				entries[place] = v.Txn.Entries[j]
			}
		}
	}
	return entries
}

func (a *attempt) result() *api.TxnResult {
	res := &api.TxnResult{Committed: a.branch.held, Entries: a.entries()}
	for i := range a.branch.ops {
		if !a.branch.ops[i].Answers() {
			res.Entries[i].Value = nil
		}
	}
	for _, v := range a.votes {
		t := &res.Timing
		t.Route, t.Revoke, t.Commit = max(t.Route, v.Timing.Route), max(t.Revoke, v.Timing.Revoke), max(t.Commit, v.Timing.Commit)
		t.Delayed = append(t.Delayed, v.Timing.Delayed...)
	}
	res.Timing.Delayed = res.Timing.Delayed[:min(len(res.Timing.Delayed), words.MaxDelays)]
	return res
}

// ownResult returns the result of this attempt if the answer that carried it was lost. The votes hold what was read.
func (a *attempt) ownResult(d *fsm.Decision) *api.TxnResult {
	res := a.replay(d)
	res.Replayed = false
	for i, e := range a.entries() {
		if a.branch.state == nil && a.branch.ops[i].Kind == api.OpGet {
			res.Entries[i] = e
		}
	}
	return res
}

func (a *attempt) replay(d *fsm.Decision) *api.TxnResult {
	return d.Replay(&a.txn.Txn)
}
