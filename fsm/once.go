package fsm

import (
	"crypto/sha256"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// fingerprint distinguishes transactions with the same id.
func (v *view) fingerprint(t *api.Txn) (body [16]byte) {
	w := v.key.table(0)
	w.B = w.B[:0]
	codec.PutSteps(w, t)
	sum := sha256.Sum256(w.B)
	copy(body[:], sum[:])
	if cap(w.B) > 64<<10 {
		w.B = nil // do not keep a big buffer after one big transaction
	}
	return body
}

// Fingerprint returns the [Claim.Body] of t. It distinguishes transactions with the same id.
func Fingerprint(t *api.Txn) [16]byte { return (&view{}).fingerprint(t) }

// stored returns what an earlier attempt left, before anything else is checked. A request whose result was dropped is refused,
// because it may have taken effect long ago.
func (v *view) stored(id *api.RequestID, epoch ident.DedupEpoch, anchor api.Key, body [16]byte) (*Record, *api.Error) {
	rec := v.recordOf(id.Client, id.Seq)
	if rec == nil {
		return nil, v.remembered(id, epoch, anchor)
	}
	if rec.Body != body {
		return nil, errReused()
	}
	return rec, nil
}

func errReused() *api.Error {
	return &api.Error{Code: api.CodeConflict, Op: "txn", Hint: "the request id was used for another request"}
}

// remembered refuses a request without a record that may have had one.
func (v *view) remembered(id *api.RequestID, epoch ident.DedupEpoch, anchor api.Key) *api.Error {
	if id.Seq > 0 {
		if acked := max(id.AckedBelow, v.client(id.Client).ackedBelow); id.Seq < acked {
			return errExpired("its client has acknowledged all below %d", acked)
		}
	}
	return v.recent(epoch, anchor)
}

// errExpired means that the outcome of a request is not stored any more.
func errExpired(format string, args ...any) *api.Error {
	e := api.Errorf(api.CodeConflict, "the request id has expired: "+format, args...)
	e.Unknown = true
	return e
}

// recordOf returns the record of a request, or nil if there is none.
func (v *view) recordOf(client api.ClientID, seq uint64) *Record {
	if v.none(client, seq) {
		return nil
	}
	row, ok := v.get(v.key.record(client, seq))
	if !ok {
		return nil
	}
	rec := parse(row, func(r *codec.Reader) (c Record) { readRecord(r, &c); return c })
	rec.Client, rec.Seq = client, seq
	return &rec
}

// before is what an earlier attempt of a transaction that is wholly the group's left: a result, or the refusal.
func (v *view) before(t *api.Txn, epoch ident.DedupEpoch) (res *api.TxnResult, stored *Record, err *api.Error) {
	if t.ID.IsZero() {
		return nil, nil, nil
	}
	rec := v.recordOf(t.ID.Client, t.ID.Seq)
	switch {
	case rec == nil:
		return nil, nil, v.remembered(&t.ID, epoch, anchor(t))
	case rec.Body != v.fingerprint(t):
		return nil, nil, errReused()
	case rec.Decider != "":
		return nil, rec, errAttempted()
	}
	res = replayOf(rec, t)
	res.Group = v.meta.Group
	return res, nil, nil
}

// roomFor refuses a write if there is no room for its result.
func (v *view) roomFor(id *api.RequestID) *api.Error {
	if v.meta.Records >= v.limits.records {
		return api.Errorf(api.CodeUnavailable, "the group is at its limit of %d results kept for at-most-once writes", v.limits.records)
	}
	if id.Seq == 0 {
		return nil
	}
	c := v.client(id.Client)
	if c.count < v.limits.clientRecords {
		return nil
	}
	acked := 0
	if id.AckedBelow > c.ackedBelow {
		lo, hi := v.acked(id.Client, c.ackedBelow, id.AckedBelow)
		v.scan(lo, hi, func(_, _ []byte) bool { acked++; return true })
	}
	if c.count-acked < v.limits.clientRecords {
		return nil
	}
	return api.Errorf(api.CodeUnavailable, "the client is at its limit of %d results that it has not acknowledged", v.limits.clientRecords)
}

// acked are the bounds of the records that a client acknowledges beyond those that were before: of the latter there are none,
// and on disk what has gone still slows a scan down.
func (v *view) acked(id api.ClientID, before, below uint64) (lo, hi []byte) {
	const n = clientKeyLen + 8
	both := append(make([]byte, 0, 2*n), v.key.record(id, max(1, before))...)
	both = append(both, v.key.record(id, below)...)
	return both[:n], both[n:]
}

// record stores the result of a write.
func (t *tx) record(txn *api.Txn, epoch ident.DedupEpoch, res *api.TxnResult) {
	id := &txn.ID
	rec := Record{
		Client: id.Client, Seq: id.Seq, Anchor: anchor(txn), Body: t.fingerprint(txn), Epoch: t.epochFor(epoch),
		Committed: res.Committed, Version: res.Version, Outcomes: t.room.outcomes[:0],
	}
	if t.rules.keepsValues {
		rec.Outcomes = outcomes(rec.Outcomes, branchOf(txn, res.Committed), res.Entries)
	} else {
		rec.Outcomes = outcomesV1(rec.Outcomes, branchOf(txn, res.Committed), res.Entries)
	}
	t.room.outcomes = rec.Outcomes
	t.enter(id, &rec)
}

// enter stores a record that was not there, and drops those that its client has acknowledged.
func (t *tx) enter(id *api.RequestID, rec *Record) {
	if id.Seq > 0 {
		c := t.client(id.Client)
		c.epoch = max(c.epoch, rec.Epoch)
		t.raise(&c, id.Client, id.AckedBelow)
		c.count++
		t.setClient(id.Client, c)
	}
	t.putRecord(rec)
}

// anchor returns the smallest key that the transaction names.
func anchor(t *api.Txn) api.Key {
	var least api.Key
	lower := func(k api.Key) {
		if least == "" || k < least {
			least = k
		}
	}
	for i := range t.If {
		lower(t.If[i].Key)
	}
	for i := range t.Then {
		lower(t.Then[i].Key)
	}
	for i := range t.Else {
		lower(t.Else[i].Key)
	}
	return least
}

// putRecord stores a record that was not there. Its client's row is the caller's.
func (t *tx) putRecord(c *Record) {
	t.remember(c)
	t.insert(t.key.record(c.Client, c.Seq), recordRow(c))
	if c.Seq == 0 { // those of numbered requests soon go: a search for them by their anchors looks at all
		t.set(t.key.anchor(c.Anchor, c.Client, 0), nil)
	}
	t.meta.Records++
}

// delRecord drops a record. Its client's row is the caller's.
func (t *tx) delRecord(a api.Key, c api.ClientID, seq uint64) {
	t.dropFromWindow(c, seq)
	t.del(t.key.record(c, seq))
	if seq == 0 {
		t.del(t.key.anchor(a, c, 0))
	}
	t.meta.Records--
}

// forget drops the records that the client acknowledges beyond those that were before, and returns how many.
func (t *tx) forget(id api.ClientID, before, below uint64) int {
	w, n := t.window(id), 0
	drop := func(seq uint64, anchor api.Key) {
		t.delRecord(anchor, id, seq)
		n++
	}
	if below-before <= uint64(len(w.anchors)) {
		for seq := before; seq < below; seq++ {
			if anchor, ok := w.anchors[seq]; ok {
				drop(seq, anchor)
			}
		}
		return n
	}
	for seq, anchor := range w.anchors {
		if seq >= before && seq < below {
			drop(seq, anchor)
		}
	}
	return n
}
