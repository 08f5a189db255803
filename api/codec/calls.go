package codec

import "github.com/edgehold/edgehold/api"

// The words of calls: requests, their results and errors.

// maxText bounds the texts of errors and timings, maxDelays the list of a timing.
const (
	maxText   = 1 << 16
	maxDelays = 1 << 10
)

// PutReadRequest writes a read.
func PutReadRequest(w *Writer, q *api.ReadRequest) {
	PutList(w, q.Keys, PutKey)
	w.Byte(byte(q.Consistency))
	w.Duration(q.MaxStale)
	PutList(w, q.Known, PutVersion)
	w.Bool(q.Snapshot)
}

// ReadRequest reads what PutReadRequest wrote into q.
func (r *Reader) ReadRequest(q *api.ReadRequest) {
	*q = api.ReadRequest{
		Keys: List(r, api.MaxReadKeys, 1, (*Reader).Key), Consistency: api.Consistency(r.Byte()), MaxStale: r.Duration(),
		Known: List(r, api.MaxReadKeys, 2, (*Reader).Version), Snapshot: r.Bool(),
	}
}

// PutReadResult writes the result of a read.
func PutReadResult(w *Writer, res *api.ReadResult) {
	PutList(w, res.Entries, PutEntry)
	w.Byte(byte(res.ServedBy))
	w.Text(string(res.Group))
	w.Duration(res.Age)
	w.Bool(res.Snapshot)
	putTiming(w, &res.Timing)
}

// ReadResult reads what PutReadResult wrote into out, whose Entries are used again if they are large enough.
func (r *Reader) ReadResult(out *api.ReadResult) {
	*out = api.ReadResult{
		Entries: listInto(r, out.Entries, api.MaxReadKeys, minEntry, readEntry), ServedBy: api.ServedBy(r.Byte()), Group: r.Group(),
		Age: r.Duration(), Snapshot: r.Bool(), Timing: readTiming(r),
	}
}

// PutTxn writes a transaction: the id and the steps as a log has them.
func PutTxn(w *Writer, t *api.Txn) {
	PutRequestID(w, &t.ID)
	PutSteps(w, t)
	w.Uint(t.Age)
}

// Txn reads what PutTxn wrote into t.
func (r *Reader) Txn(t *api.Txn) {
	*t = api.Txn{ID: r.RequestID()}
	r.Steps(t)
	t.Age = r.Uint()
}

// PutTxnResult writes the result of a transaction.
func PutTxnResult(w *Writer, res *api.TxnResult) {
	w.Flags(res.Committed, res.Replayed, len(res.Lists) > 0)
	PutList(w, res.Entries, PutEntry)
	w.Version(res.Version)
	w.Text(string(res.Group))
	putTiming(w, &res.Timing)
	if len(res.Lists) > 0 {
		PutList(w, res.Lists, func(w *Writer, l *[]api.Entry) { PutList(w, *l, PutEntry) })
	}
}

// TxnResult reads what PutTxnResult wrote into out.
func (r *Reader) TxnResult(out *api.TxnResult) {
	flags := r.Flags(3)
	*out = api.TxnResult{
		Committed: Flag(flags, 0), Replayed: Flag(flags, 1), Entries: listInto(r, out.Entries, api.MaxTxnOps, minEntry, readEntry),
		Version: r.Version(), Group: r.Group(), Timing: readTiming(r),
	}
	if !Flag(flags, 2) {
		return
	}
	out.Lists = List(r, api.MaxTxnOps, 1, func(r *Reader) []api.Entry {
		return listInto(r, nil, api.MaxListLimit, minEntry, readEntry)
	})
	if len(out.Lists) == 0 {
		r.Fail("a list of no lists")
	}
}

// minEntry is what the least entry takes.
const minEntry = 5

// PutEntry writes an entry.
func PutEntry(w *Writer, e *api.Entry) {
	w.Text(string(e.Key))
	w.Flags(e.Exists, e.Unchanged, e.Elided, e.TTL != 0)
	w.Bytes(e.Value)
	w.Version(e.Version)
	if e.TTL != 0 {
		w.Duration(e.TTL)
	}
}

func readEntry(r *Reader, e *api.Entry) {
	e.Key = r.Key()
	flags := r.Flags(4)
	e.Exists, e.Unchanged, e.Elided = Flag(flags, 0), Flag(flags, 1), Flag(flags, 2)
	e.Value, e.Version, e.TTL = r.Bytes(api.MaxValueBytes), r.Version(), 0
	if Flag(flags, 3) {
		if e.TTL = r.Duration(); e.TTL == 0 {
			r.Fail("a time to live of nothing")
		}
	}
}

func putTiming(w *Writer, t *api.Timing) {
	w.Duration(t.Route)
	w.Duration(t.Revoke)
	w.Duration(t.Commit)
	PutList(w, t.Delayed, func(w *Writer, d *api.Delay) { w.Text(string(d.Node)); w.Duration(d.Wait) })
	w.Text(t.Mode)
}

func readTiming(r *Reader) api.Timing {
	return api.Timing{
		Route: r.Duration(), Revoke: r.Duration(), Commit: r.Duration(),
		Delayed: List(r, maxDelays, 2, func(r *Reader) api.Delay { return api.Delay{Node: r.Node(), Wait: r.Duration()} }),
		Mode:    r.Text(maxText),
	}
}

// PutError writes an error. The cause stays behind, but for its text if the error says nothing else.
func PutError(w *Writer, e *api.Error) {
	hint := e.Hint
	if hint == "" && e.Err != nil {
		hint = e.Err.Error()
	}
	w.Text(string(e.Code))
	w.Text(e.Op)
	w.Text(string(e.Key))
	w.Text(hint)
	w.Text(string(e.Leader))
	w.Duration(e.RetryAfter)
	w.Version(e.Version)
	w.Bool(e.Unknown)
}

// Error reads what PutError wrote.
func (r *Reader) Error() *api.Error {
	return &api.Error{
		Code: api.Code(r.Text(maxText)), Op: r.Text(maxText), Key: r.Key(), Hint: r.Text(maxText), Leader: r.Node(),
		RetryAfter: r.Duration(), Version: r.Version(), Unknown: r.Bool(),
	}
}
