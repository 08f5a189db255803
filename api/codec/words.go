package codec

import "github.com/edgehold/edgehold/api"

// MaxNameBytes bounds the name of a node or group.
const MaxNameBytes = 255

// Version writes a version.
func (w *Writer) Version(v api.Version) { w.Uint(v.Epoch); w.Uint(v.Index) }

// Version reads a version.
func (r *Reader) Version() api.Version { return api.Version{Epoch: r.Uint(), Index: r.Uint()} }

// Key reads a key, which may be empty.
func (r *Reader) Key() api.Key { return api.Key(r.Text(api.MaxKeyBytes)) }

// KeyName reads a key that names a value: it is not empty.
func (r *Reader) KeyName() api.Key {
	k := r.Key()
	if k == "" {
		r.Fail("an empty key")
	}
	return k
}

// Group reads the name of a group.
func (r *Reader) Group() api.GroupID {
	b := r.piece(MaxNameBytes)
	if string(b) == string(r.Own) {
		return r.Own
	}
	return api.GroupID(b)
}

// Node reads the name of a node.
func (r *Reader) Node() api.NodeID { return api.NodeID(r.Text(MaxNameBytes)) }

// PutKey writes a key of a list.
func PutKey(w *Writer, k *api.Key) { w.Text(string(*k)) }

// PutVersion writes a version of a list.
func PutVersion(w *Writer, v *api.Version) { w.Version(*v) }

// PutGroup writes the name of a group of a list.
func PutGroup(w *Writer, g *api.GroupID) { w.Text(string(*g)) }

// PutRange writes a range.
func PutRange(w *Writer, x api.Range) {
	w.Text(string(x.Start))
	w.Text(string(x.End))
}

// Range reads a range.
func (r *Reader) Range() api.Range { return api.Range{Start: r.Key(), End: r.Key()} }

// PutRequestID writes a request's id: one byte if there is none.
func PutRequestID(w *Writer, id *api.RequestID) {
	w.Bool(!id.IsZero())
	if id.IsZero() {
		return
	}
	w.Raw(id.Client[:])
	w.Uint(id.Seq)
	w.Uint(id.AckedBelow)
}

// RequestID reads a request's id.
func (r *Reader) RequestID() api.RequestID {
	if !r.Bool() {
		return api.RequestID{}
	}
	id := api.RequestID{Client: r.Array16(), Seq: r.Uint(), AckedBelow: r.Uint()}
	if id.IsZero() {
		r.Fail("a request id without a client")
	}
	return id
}

// PutSteps writes what a transaction tests and does. The hash of these bytes distinguishes requests with the same id.
func PutSteps(w *Writer, t *api.Txn) {
	PutList(w, t.If, PutCond)
	PutList(w, t.Then, PutOp)
	PutList(w, t.Else, PutOp)
}

// Steps reads what PutSteps wrote into t.
func (r *Reader) Steps(t *api.Txn) { t.If, t.Then, t.Else = r.Conds(), r.Ops(), r.Ops() }

// StepsSize is at or above the encoded size of the steps of most transactions.
func StepsSize(t *api.Txn) int {
	n := 0
	for i := range t.If {
		n += 16 + len(t.If[i].Key) + len(t.If[i].Value)
	}
	for i := range t.Then {
		n += 8 + len(t.Then[i].Key) + len(t.Then[i].Value)
	}
	for i := range t.Else {
		n += 8 + len(t.Else[i].Key) + len(t.Else[i].Value)
	}
	return n
}

// PutCond writes a condition, with the one field that its kind has.
func PutCond(w *Writer, c *api.Cond) {
	w.Byte(byte(c.Kind))
	w.Text(string(c.Key))
	switch c.Kind {
	case api.CondVersion:
		w.Version(c.Version)
	case api.CondValue:
		w.Bytes(c.Value)
	}
}

// Conds reads a list of conditions.
func (r *Reader) Conds() []api.Cond { return List(r, r.maxOps(), 2, readCond) }

func readCond(r *Reader) api.Cond {
	c := api.Cond{Kind: api.CondKind(r.Byte()), Key: r.Key()}
	switch c.Kind {
	case api.CondVersion:
		c.Version = r.Version()
	case api.CondValue:
		c.Value = r.Bytes(api.MaxValueBytes)
	case api.CondExists, api.CondAbsent:
	default:
		r.unknown("an unknown kind of condition")
	}
	return c
}

// withTTL marks the kind of a step that has a time to live.
const withTTL = 0x80

// withKeepTTL marks the kind of a step that keeps the deadline of its key.
const withKeepTTL = 0x40

// formatTTL is the first layout of logs that has times to live, and steps that touch and list. formatFunctions is the first that
// has the kinds after those, and steps that keep a deadline. Messages have all of them in any case.
const (
	formatTTL       = 5
	formatFunctions = 6
)

// PutOp writes a step, with the fields that its kind has.
func PutOp(w *Writer, o *api.Op) {
	kind := byte(o.Kind)
	if o.TTL != 0 {
		kind |= withTTL
	}
	if o.KeepTTL {
		kind |= withKeepTTL
	}
	w.Byte(kind)
	w.Text(string(o.Key))
	switch {
	case o.HasValue():
		w.Bytes(o.Value)
	case o.Kind == api.OpAdd:
		w.Int(o.Delta)
	case o.Kind == api.OpList:
		w.Uint(uint64(max(o.Limit, 0)))
	}
	if o.TTL != 0 {
		w.Duration(max(o.TTL, 1)) // the check of the request refuses 1 as it does what is negative
	}
}

// Ops reads a list of steps.
func (r *Reader) Ops() []api.Op { return List(r, r.maxOps(), 2, readOp) }

// MaxOpsBefore is how many operations a transaction may have in the layouts of logs before the sixth.
const MaxOpsBefore = 1000

// maxOps bounds a list of conditions or steps.
func (r *Reader) maxOps() int {
	if r.Format > 0 && r.Format < formatFunctions {
		return MaxOpsBefore
	}
	return api.MaxTxnOps
}

func readOp(r *Reader) api.Op {
	kind := r.Byte()
	o := api.Op{Kind: api.OpKind(kind &^ (withTTL | withKeepTTL)), Key: r.Key(), KeepTTL: kind&withKeepTTL != 0}
	if r.Format > 0 && r.Format < formatOf(kind, &o) || o.Kind == 0 || o.Kind > api.OpMax64 {
		r.unknown("an unknown kind of operation")
		return o
	}
	switch {
	case o.HasValue():
		o.Value = r.Bytes(api.MaxValueBytes)
	case o.Kind == api.OpAdd:
		o.Delta = r.Int()
	case o.Kind == api.OpList:
		o.Limit = r.Count()
	}
	if kind&withTTL != 0 {
		if o.TTL = r.Duration(); o.TTL == 0 {
			r.Fail("a time to live of nothing")
		}
	}
	return o
}

// formatOf returns the first layout of logs that has such a step; 0 if all have.
func formatOf(kind byte, o *api.Op) uint8 {
	switch {
	case o.Kind > api.OpList || o.KeepTTL:
		return formatFunctions
	case kind&withTTL != 0 || o.Kind > api.OpAppendIfAbsent:
		return formatTTL
	}
	return 0
}

// unknown refuses a kind that has no number here. In a message it is left to the check of the request, which names the key.
func (r *Reader) unknown(what string) {
	if !r.Message {
		r.Fail(what)
	}
}
