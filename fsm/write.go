package fsm

import (
	"bytes"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

const kindWrite kind = 3

// Write carries out a transaction. Txn.Age is not in the log. A Write is refused with [RetryLeases] if a key that the running
// branch writes has a live lease outside Cleared and Killed; with [RetryIntents] if a key that it writes has an intent, or a key
// that is tested or read has an exclusive one; with [Attempted] if the request is under way otherwise.
type Write struct {
	Term api.Term
	Txn  api.Txn
	// Epoch is the dedup epoch of the group that the request was first sent to, as known before that; zero if it is not known. It
	// stays outside the log if Txn has no ID.
	Epoch ident.DedupEpoch
	// Cleared are leases whose holders have given up these and all earlier ones on the key.
	Cleared []ident.DroppedLease
	// Killed are sessions that have expired. All their leases end.
	Killed []ident.SessionID
	// Now is a lower bound of the group's time: deadlines count from it, or from the group's time if that is later. It may be 0 if no
	// step has a TTL.
	Now uint64
}

func (Write) kind() kind { return kindWrite }

// size is near the size of the command's bytes.
func (c Write) size() int { return codec.StepsSize(&c.Txn) + 48*len(c.Cleared) + 16*len(c.Killed) }

func (c Write) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	codec.PutRequestID(w, &c.Txn.ID)
	if !c.Txn.ID.IsZero() {
		putDedupEpoch(w, c.Epoch)
	}
	codec.PutSteps(w, &c.Txn)
	codec.PutList(w, c.Cleared, putDropped)
	codec.PutList(w, c.Killed, putSessionID)
	putNow(w, c.Now)
}

func readWrite(r *codec.Reader) Write {
	c := Write{Term: api.Term(r.Uint())}
	if c.Txn.ID = r.RequestID(); !c.Txn.ID.IsZero() {
		c.Epoch = readDedupEpoch(r)
	}
	r.Steps(&c.Txn)
	c.Cleared = readDropped(r)
	c.Killed = readSessions(r)
	c.Now = readNow(r)
	return c
}

// plan is what a transaction would do in the present state.
type plan struct {
	committed bool
	branch    []api.Op
}

// plan checks that the group owns every key, and evaluates the conditions.
func (v *view) plan(t *api.Txn) (plan, *api.Error) {
	for i := range t.If {
		if _, err := v.owner(t.If[i].Key); err != nil {
			return plan{}, err
		}
	}
	for _, branch := range [2][]api.Op{t.Then, t.Else} {
		for i := range branch {
			if _, err := v.ownerOf(&branch[i]); err != nil {
				return plan{}, err
			}
		}
	}
	p := plan{committed: true}
	for i := range t.If {
		if !v.holds(&t.If[i]) {
			p.committed = false
			break
		}
	}
	p.branch = branchOf(t, p.committed)
	return p, nil
}

// branchOf is the branch that runs.
func branchOf(t *api.Txn, committed bool) []api.Op {
	if committed {
		return t.Then
	}
	return t.Else
}

func (v *view) holds(c *api.Cond) bool {
	o, _ := v.shardOf(c.Key)
	ver, data, exists := v.state(c.Key, o)
	switch c.Kind {
	case api.CondVersion:
		return ver == c.Version
	case api.CondExists:
		return exists
	case api.CondAbsent:
		return !exists
	}
	return exists && bytes.Equal(data, c.Value)
}

// written adds the keys that the branch writes to keys, each once, in the order of its steps.
func written(branch []api.Op, keys []api.Key) []api.Key {
	var seen map[api.Key]bool // a single step needs none
	if len(branch) > 1 {
		seen = make(map[api.Key]bool, len(branch))
	}
	for i := range branch {
		k := branch[i].Key
		if !branch[i].Writes() || seen[k] {
			continue
		}
		keys = append(keys, k)
		if seen != nil {
			seen[k] = true
		}
	}
	return keys
}

// applyWrite reads a Write and carries it out. As most commands are one, it takes no memory of its own for each.
func (t *tx) applyWrite(r *codec.Reader, res *Result) *api.Error {
	w := &t.room.write
	*w = readWrite(r)
	if err := t.ready(kindWrite, r); err != nil {
		return err
	}
	return t.write(w, res)
}

// write carries out a transaction. It checks in this order: a stored result, the term, ownership, conditions, intents, steps,
// leases.
func (t *tx) write(w *Write, res *Result) *api.Error {
	err := t.checkSteps(&w.Txn)
	if err != nil {
		return err
	}
	if res.Txn, res.Stored, err = t.before(&w.Txn, w.Epoch); res.Txn != nil || err != nil {
		return err
	}
	if err = t.judged(w.Term); err != nil {
		return err
	}
	if err = t.tooMany(w.Killed); err != nil {
		return err
	}
	if !w.Txn.ID.IsZero() {
		if err = t.roomFor(&w.Txn.ID); err != nil {
			return err
		}
	}
	p, err := t.plan(&w.Txn)
	if err != nil {
		return err
	}
	if res.Intents = t.inTheWayOf(w.Txn.If, p.branch); len(res.Intents) > 0 {
		return errIntent(res.Intents)
	}
	t.pass(w.Now)
	var one [1]api.Key // most write one key
	written := written(p.branch, one[:0])
	var made []api.Step
	if t.rules.evaluates {
		err = t.evaluate(&t.room.evaluation, p.branch)
	} else {
		made, err = t.evaluateV1(p.branch)
	}
	if err != nil {
		return err
	}
	if err = t.unheld(written, w.Cleared, w.Killed, res); err != nil {
		return err
	}
	t.meta.Now = t.now
	t.kill(w.Killed, written, res)
	t.drop(w.Cleared)
	res.Txn = t.resultOf(&p)
	switch {
	case !p.committed && len(p.branch) == 0:
		res.Txn.Entries = t.tests(w.Txn.If)
	case t.rules.evaluates:
		res.Txn.Entries, res.Deadlines = t.conclude(&t.room.evaluation, t.index), t.room.evaluation.deadlines()
		res.Txn.Lists = t.room.evaluation.lists
		t.settleAll(&t.room.evaluation)
	default:
		t.executeV1(&p, made, res.Txn)
	}
	if !w.Txn.ID.IsZero() {
		t.record(&w.Txn, w.Epoch, res.Txn)
	}
	return nil
}

// checkSteps returns an error unless the steps are valid and within the limits of the version of the command.
func (v *view) checkSteps(t *api.Txn) *api.Error {
	if err := t.CheckSteps(); err != nil {
		return api.AsError(err)
	}
	if n := len(t.If) + len(t.Then) + len(t.Else); n > codec.MaxOpsBefore && !v.rules.large && guardManyOps {
		return api.Errorf(api.CodeTooLarge, "transaction of %d operations is over the limit of %d operations", n, codec.MaxOpsBefore)
	}
	return nil
}

// resultOf is the result of the branch, without its entries.
func (t *tx) resultOf(p *plan) *api.TxnResult {
	res := &api.TxnResult{Committed: p.committed, Group: t.meta.Group}
	for i := range p.branch {
		if p.branch[i].Writes() {
			o, _ := t.shardOf(p.branch[i].Key)
			res.Version = api.Version{Epoch: o.Epoch, Index: t.index}
			break
		}
	}
	return res
}

// tests are the answer if If does not hold, and there is no Else: the state of its keys.
func (v *view) tests(conds []api.Cond) []api.Entry {
	entries := make([]api.Entry, len(conds))
	for i := range conds {
		o, _ := v.shardOf(conds[i].Key)
		ver, _, exists := v.state(conds[i].Key, o)
		entries[i] = api.Entry{Key: conds[i].Key, Version: ver, Exists: exists}
	}
	return entries
}
