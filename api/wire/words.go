package wire

import (
	"github.com/edgehold/edgehold/api"
)

func putRead(w *writer, q *api.ReadRequest) {
	putList(w, q.Keys, putKey)
	w.byte(byte(q.Consistency))
	w.time(q.MaxStale)
	putList(w, q.Known, func(w *writer, v *api.Version) { w.version(*v) })
	w.flags(q.Snapshot)
}

func readRead(r *reader, q *api.ReadRequest) {
	q.Keys = list(r, 1, readKey)
	q.Consistency, q.MaxStale = api.Consistency(r.byte()), r.time()
	q.Known = list(r, 2, func(r *reader, v *api.Version) { *v = r.version() })
	q.Snapshot = flag(r.byte(), 0)
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

// readReadResult fills out, whose Entries are used again if they are large enough.
func readReadResult(r *reader, out *api.ReadResult) {
	*out = api.ReadResult{
		Entries: listInto(r, out.Entries, minEntryBytes, readEntry), ServedBy: api.ServedBy(r.byte()), Group: api.GroupID(r.text()),
		Age: r.time(), Snapshot: flag(r.byte(), 0), Timing: readTiming(r),
	}
}

// minEntryBytes is what the least entry takes.
const minEntryBytes = 5

func putEntry(w *writer, e *api.Entry) {
	w.text(string(e.Key))
	w.flags(e.Exists, e.Unchanged, e.Elided)
	w.bytes(e.Value)
	w.version(e.Version)
}

func readEntry(r *reader, e *api.Entry) {
	e.Key = r.key()
	flags := r.byte()
	e.Exists, e.Unchanged, e.Elided = flag(flags, 0), flag(flags, 1), flag(flags, 2)
	e.Value, e.Version = r.bytes(), r.version()
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
	putList(w, t.If, putCond)
	putList(w, t.Then, putOp)
	putList(w, t.Else, putOp)
	w.uint(t.Age)
}

func readTxn(r *reader) *api.Txn {
	return &api.Txn{
		ID: api.RequestID{Client: r.array16(), Seq: r.uint(), AckedBelow: r.uint()},
		If: list(r, 5, readCond), Then: list(r, 4, readOp), Else: list(r, 4, readOp), Age: r.uint(),
	}
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
