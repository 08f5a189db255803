package wire

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

func putRead(w *writer, q *api.ReadRequest) {
	putList(w, q.Keys, putKey)
	w.byte(byte(q.Consistency))
	w.time(ageOrStale(q))
	w.text(string(q.Group))
	w.session(q.Session)
	putList(w, q.Known, func(w *writer, v *api.Version) { w.version(*v) })
	w.flags(q.Snapshot, q.Hold&api.HoldRound != 0, q.Hold&api.HoldTxn != 0, q.Hold&api.HoldFirm != 0)
}

// ageOrStale is what stands in the place of MaxStale: reads that are never stale have an age there. Programs from before reads
// had ages do not look at it.
func ageOrStale(q *api.ReadRequest) time.Duration {
	if q.Consistency <= api.Quorum {
		return time.Duration(q.Age)
	}
	return q.MaxStale
}

func readRead(r *reader) *api.ReadRequest {
	q := &api.ReadRequest{Keys: list(r, 1, readKey), Consistency: api.Consistency(r.byte())}
	if at := r.time(); q.Consistency <= api.Quorum {
		q.Age = uint64(at)
	} else {
		q.MaxStale = at
	}
	q.Group, q.Session = api.GroupID(r.text()), r.session()
	q.Known = list(r, 2, func(r *reader, v *api.Version) { *v = r.version() })
	flags := r.byte()
	q.Snapshot, q.Hold = flag(flags, 0), api.Hold(flags>>1)&(api.HoldRound|api.HoldTxn|api.HoldFirm)
	return q
}

func putKey(w *writer, k *api.Key)  { w.text(string(*k)) }
func readKey(r *reader, k *api.Key) { *k = r.key() }

func putReadResult(w *writer, res *api.ReadResult) {
	putList(w, res.Entries, putEntry)
	w.byte(byte(res.ServedBy))
	w.text(string(res.Group))
	w.time(res.Age)
	w.flags(res.Snapshot)
	putTiming(w, &res.Timing)
}

func readReadResult(r *reader) *api.ReadResult {
	return &api.ReadResult{
		Entries: list(r, minEntryBytes, readEntry), ServedBy: api.ServedBy(r.byte()), Group: api.GroupID(r.text()),
		Age: r.time(), Snapshot: flag(r.byte(), 0), Timing: readTiming(r),
	}
}

// minEntryBytes is what the least entry takes.
const minEntryBytes = 6

func putEntry(w *writer, e *api.Entry) {
	w.text(string(e.Key))
	w.flags(e.Exists, e.Unchanged, e.Elided)
	w.bytes(e.Value)
	w.version(e.Version)
	w.uint(uint64(e.Lease))
}

func readEntry(r *reader, e *api.Entry) {
	e.Key = r.key()
	flags := r.byte()
	e.Exists, e.Unchanged, e.Elided = flag(flags, 0), flag(flags, 1), flag(flags, 2)
	e.Value, e.Version, e.Lease = r.bytes(), r.version(), api.LeaseID(r.uint())
}

func putTiming(w *writer, t *api.Timing) {
	w.time(t.Route)
	w.time(t.Revoke)
	w.time(t.Commit)
	putList(w, t.Delayed, func(w *writer, d *api.Delay) { w.text(string(d.Node)); w.time(d.Wait) })
	w.text(t.Mode)
}

func readTiming(r *reader) api.Timing {
	return api.Timing{
		Route: r.time(), Revoke: r.time(), Commit: r.time(),
		Delayed: list(r, 2, func(r *reader, d *api.Delay) { d.Node, d.Wait = api.NodeID(r.text()), r.time() }),
		Mode:    r.text(),
	}
}

func putTxn(w *writer, t *api.Txn) {
	w.b = append(w.b, t.ID.Client[:]...)
	w.uint(t.ID.Seq)
	w.uint(t.ID.AckedBelow)
	putEpoch(w, t)
	putList(w, t.If, putCond)
	putList(w, t.Then, putOp)
	putList(w, t.Else, putOp)
	w.text(string(t.Group))
	putList(w, t.Dropped, putDropped)
	w.uint(t.Age)
}

// epochElsewhere, in the count of a transaction's dedup epoch, says that its group follows. Most are of the group that the
// transaction is sent to, in its first incarnation.
const epochElsewhere = 1 << 63

func putEpoch(w *writer, t *api.Txn) {
	e := t.ID.Epoch
	if e.IsZero() || e == epochOf(t, e.Count) {
		w.uint(e.Count)
		return
	}
	w.uint(e.Count | epochElsewhere)
	w.text(string(e.Group))
	w.uint(e.Incarnation)
}

// readEpoch reads the epoch of t, whose group is not known yet.
func readEpoch(r *reader) api.DedupEpoch {
	count := r.uint()
	if count&epochElsewhere == 0 {
		return api.DedupEpoch{Count: count}
	}
	return api.DedupEpoch{Count: count &^ epochElsewhere, Group: api.GroupID(r.text()), Incarnation: r.uint()}
}

func epochOf(t *api.Txn, count uint64) api.DedupEpoch {
	return api.DedupEpoch{Group: t.Group, Incarnation: ident.FirstIncarnation, Count: count}
}

func readTxn(r *reader) *api.Txn {
	t := &api.Txn{
		ID: api.RequestID{Client: r.array16(), Seq: r.uint(), AckedBelow: r.uint(), Epoch: readEpoch(r)},
		If: list(r, 5, readCond), Then: list(r, 4, readOp), Else: list(r, 4, readOp),
		Group: api.GroupID(r.text()), Dropped: list(r, 5, readDropped), Age: r.uint(),
	}
	if e := t.ID.Epoch; !e.IsZero() && e.Incarnation == 0 {
		t.ID.Epoch = epochOf(t, e.Count)
	}
	return t
}

func putCond(w *writer, c *api.Cond) {
	w.byte(byte(c.Kind))
	w.text(string(c.Key))
	w.version(c.Version)
	w.bytes(c.Value)
}

func readCond(r *reader, c *api.Cond) {
	c.Kind, c.Key, c.Version, c.Value = api.CondKind(r.byte()), r.key(), r.version(), r.bytes()
}

func putOp(w *writer, o *api.Op) {
	w.byte(byte(o.Kind))
	w.text(string(o.Key))
	w.bytes(o.Value)
	w.signed(o.Delta)
}

func readOp(r *reader, o *api.Op) {
	o.Kind, o.Key, o.Value, o.Delta = api.OpKind(r.byte()), r.key(), r.bytes(), r.signed()
}

func putDropped(w *writer, d *api.DroppedLease) {
	w.session(d.Session)
	w.text(string(d.Key))
	w.uint(uint64(d.Lease))
	w.text(string(d.Group))
}

func readDropped(r *reader, d *api.DroppedLease) {
	d.Session, d.Key, d.Lease, d.Group = r.session(), r.key(), api.LeaseID(r.uint()), api.GroupID(r.text())
}

func putTxnResult(w *writer, res *api.TxnResult) {
	w.flags(res.Committed, res.Replayed)
	putList(w, res.Entries, putEntry)
	w.version(res.Version)
	w.text(string(res.Group))
	putTiming(w, &res.Timing)
}

func readTxnResult(r *reader) *api.TxnResult {
	flags := r.byte()
	return &api.TxnResult{
		Committed: flag(flags, 0), Replayed: flag(flags, 1), Entries: list(r, minEntryBytes, readEntry),
		Version: r.version(), Group: api.GroupID(r.text()), Timing: readTiming(r),
	}
}

// putError leaves the cause behind, but for its text where the error says nothing else.
func putError(w *writer, e *api.Error) {
	hint := e.Hint
	if hint == "" && e.Err != nil {
		hint = e.Err.Error()
	}
	w.text(string(e.Code))
	w.text(e.Op)
	w.text(string(e.Key))
	w.text(hint)
	w.text(string(e.Leader))
	w.time(e.RetryAfter)
	w.version(e.Version)
}

// putOutcome is putError for the answer to a call, with what it says of the request. Most errors say nothing: then it is left
// out, as by a node that does not know of it.
func putOutcome(w *writer, e *api.Error) {
	putError(w, e)
	if e.Unknown {
		w.byte(1)
	}
}

func readOutcome(r *reader) *api.Error {
	e := readError(r)
	if r.bad == "" && len(r.b) > 0 {
		e.Unknown = r.byte() != 0
	}
	return e
}

func readError(r *reader) *api.Error {
	return &api.Error{
		Code: api.Code(r.text()), Op: r.text(), Key: r.key(), Hint: r.text(), Leader: api.NodeID(r.text()),
		RetryAfter: r.time(), Version: r.version(),
	}
}
