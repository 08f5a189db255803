package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
)

// The parts that several commands and rows are made of.

func putKey(w *writer, k *api.Key)           { w.text(string(*k)) }
func putSession(w *writer, s *api.SessionID) { w.session(*s) }
func putVersion(w *writer, v *api.Version)   { w.version(*v) }
func putGroup(w *writer, g *api.GroupID)     { w.text(string(*g)) }

func readSessions(r *reader) []api.SessionID { return list(r, maxDropped, 2, (*reader).session) }

func readGroup(r *reader) api.GroupID {
	b := r.bytes(maxNameBytes)
	if string(b) == string(r.own) {
		return r.own
	}
	return api.GroupID(b)
}

func putDropped(w *writer, d *api.DroppedLease) {
	w.session(d.Session)
	w.text(string(d.Key))
	w.uint(uint64(d.Lease))
}

func readDropped(r *reader) []api.DroppedLease {
	return list(r, maxDropped, 5, func(r *reader) api.DroppedLease {
		return api.DroppedLease{Session: r.session(), Key: r.keyName(), Lease: api.LeaseID(r.uint())}
	})
}

func putRange(w *writer, x api.Range) {
	w.text(string(x.Start))
	w.text(string(x.End))
}

func readRange(r *reader) api.Range { return api.Range{Start: r.key(), End: r.key()} }

func putShard(w *writer, s *Shard) {
	putRange(w, s.Range)
	w.uint(s.Epoch)
	w.uint(uint64(s.Index))
	w.uint(uint64(s.Of))
}

func readShard(r *reader) Shard {
	return Shard{Range: readRange(r), Epoch: r.uint(), Index: r.uint32(), Of: r.uint32()}
}

// A request's id: one byte where there is none. From version 2 on its epoch names the group.

func putID(w *writer, id *api.RequestID) {
	w.bool(!id.IsZero())
	if id.IsZero() {
		return
	}
	w.raw(id.Client[:])
	w.uint(id.Seq)
	w.uint(id.AckedBelow)
	w.uint(id.Epoch.Count)
	if w.level > Level1 && !id.Epoch.IsZero() {
		w.text(string(id.Epoch.Group))
		w.uint(id.Epoch.Incarnation)
	}
}

func readID(r *reader) api.RequestID {
	if !r.bool() {
		return api.RequestID{}
	}
	id := api.RequestID{Client: r.array16(), Seq: r.uint(), AckedBelow: r.uint(), Epoch: api.DedupEpoch{Count: r.uint()}}
	if r.level > Level1 && !id.Epoch.IsZero() {
		id.Epoch.Group, id.Epoch.Incarnation = readGroup(r), r.uint()
	}
	if id.IsZero() {
		r.fail("a request id without a client")
	}
	return id
}

// A transaction's body: what it tests and does. Its bytes, hashed, tell requests with the same id apart.

func putBody(w *writer, t *api.Txn) {
	putList(w, t.If, putCond)
	putList(w, t.Then, putOp)
	putList(w, t.Else, putOp)
}

func readBody(r *reader, t *api.Txn) {
	t.If = list(r, api.MaxTxnOps, 2, readCond)
	t.Then = list(r, api.MaxTxnOps, 2, readOp)
	t.Else = list(r, api.MaxTxnOps, 2, readOp)
}

func putCond(w *writer, c *api.Cond) {
	w.byte(byte(c.Kind))
	w.text(string(c.Key))
	switch c.Kind {
	case api.CondVersion:
		w.version(c.Version)
	case api.CondValue:
		w.bytes(c.Value)
	}
}

func readCond(r *reader) api.Cond {
	c := api.Cond{Kind: api.CondKind(r.byte()), Key: r.key()}
	switch c.Kind {
	case api.CondVersion:
		c.Version = r.version()
	case api.CondValue:
		c.Value = r.bytes(api.MaxValueBytes)
	case api.CondExists, api.CondAbsent:
	default:
		r.fail("an unknown kind of condition")
	}
	return c
}

func putOp(w *writer, o *api.Op) {
	w.byte(byte(o.Kind))
	w.text(string(o.Key))
	switch o.Kind {
	case api.OpPut, api.OpAppendIfAbsent:
		w.bytes(o.Value)
	case api.OpAdd:
		w.int(o.Delta)
	}
}

func readOp(r *reader) api.Op {
	o := api.Op{Kind: api.OpKind(r.byte()), Key: r.key()}
	switch o.Kind {
	case api.OpPut, api.OpAppendIfAbsent:
		o.Value = r.bytes(api.MaxValueBytes)
	case api.OpAdd:
		o.Delta = r.int()
	case api.OpGet, api.OpDelete:
	default:
		r.fail("an unknown kind of operation")
	}
	return o
}

// txnSize is at or above the encoded size of most transactions' bodies.
func txnSize(t *api.Txn) int {
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

func putReceipt(w *writer, x *Receipt) {
	putRange(w, x.Range)
	w.uint(x.Epoch)
	putList(w, x.To, putGroup)
	putList(w, x.From, func(w *writer, s *Source) {
		w.text(string(s.Group))
		w.uint(uint64(s.Index))
		w.uint(uint64(s.Of))
	})
	w.uint(uint64(x.DedupEpoch))
	putList(w, x.Clients, func(w *writer, c *Client) {
		w.raw(c.ID[:])
		w.uint(c.AckedBelow)
		w.uint(uint64(c.Epoch))
	})
	putList(w, x.Records, func(w *writer, c *Record) {
		w.raw(c.Client[:])
		w.uint(c.Seq)
		putRecord(w, c)
	})
}

func readSources(r *reader) []Source {
	return list(r, maxShards, 3, func(r *reader) Source {
		return Source{Group: readGroup(r), Index: r.uint32(), Of: r.uint32()}
	})
}

func readReceipt(r *reader) Receipt {
	return Receipt{
		Range: readRange(r), Epoch: r.uint(), To: list(r, maxGroups, 1, readGroup),
		From:       readSources(r),
		DedupEpoch: r.epoch(),
		Clients: list(r, maxReceiptRecords, 18, func(r *reader) Client {
			return Client{ID: r.array16(), AckedBelow: r.uint(), Epoch: r.epoch()}
		}),
		Records: list(r, maxReceiptRecords, 39, func(r *reader) Record {
			c := Record{Client: r.array16(), Seq: r.uint()}
			readRecord(r, &c)
			return c
		}),
	}
}

// putAges writes what a receipt of level 2 says beyond one of level 1: one age for each client, and for each record.
func putAges(w *writer, x *Receipt) {
	for i := range x.Clients {
		w.uint(uint64(x.Clients[i].Age))
	}
	for i := range x.Records {
		w.uint(uint64(x.Records[i].Age))
	}
}

func readAges(r *reader, x *Receipt) {
	for i := range x.Clients {
		x.Clients[i].Age = Age(r.uint())
	}
	for i := range x.Records {
		x.Records[i].Age = Age(r.uint())
	}
}

// receiptRow is a row of tableMoved: those of level 1 have no ages.
func receiptRow(x *Receipt, level Level) []byte {
	var w writer
	if putReceipt(&w, x); level > Level1 {
		putAges(&w, x)
	}
	return w.b
}

func readReceiptRow(r *reader) Receipt {
	x := readReceipt(r)
	if len(r.b) > 0 {
		readAges(r, &x)
	}
	return x
}

// recordAttempt stands in a record in the place of whether it committed: it is an attempt.
const recordAttempt = 2

// putRecord writes a record without its Client and Seq, which stand before it or in its key.
func putRecord(w *writer, c *Record) {
	w.text(string(c.Anchor))
	w.raw(c.Body[:])
	w.uint(uint64(c.Epoch))
	if c.Decider != "" {
		w.byte(recordAttempt)
		w.uint(c.Attempt)
		w.text(string(c.Decider))
		w.uint(c.DeciderEpoch)
		return
	}
	w.bool(c.Committed)
	w.version(c.Version)
	putOutcomes(w, c.Outcomes, c.Version)
}

// putOutcomes writes them; most have the version of the transaction itself, which need not be repeated. Version 1 of commands
// has short values alone.
func putOutcomes(w *writer, outcomes []Outcome, usual api.Version) {
	w.uint(uint64(len(outcomes)))
	for _, o := range outcomes {
		if w.level == Level1 {
			o.Empty = false
			if len(o.Value) > maxSum {
				o.Value = nil
			}
		}
		same := o.Version == usual
		w.byte(bit(o.Exists, 1) | bit(same, 2) | bit(len(o.Value) > 0, 4) | bit(o.Empty && len(o.Value) == 0, 8))
		if !same {
			w.version(o.Version)
		}
		if len(o.Value) > 0 {
			w.bytes(o.Value)
		}
	}
}

func bit(set bool, b byte) byte {
	if set {
		return b
	}
	return 0
}

func readRecord(r *reader, c *Record) {
	c.Anchor, c.Body, c.Epoch = readRecordHead(r)
	if len(r.b) > 0 && r.b[0] == recordAttempt {
		r.byte()
		c.Attempt, c.Decider, c.DeciderEpoch = r.uint(), readGroup(r), r.uint()
		if c.Attempt == 0 || c.Decider == "" || c.DeciderEpoch == 0 {
			r.fail("an attempt of nobody")
		}
		return
	}
	c.Committed, c.Version = r.bool(), r.version()
	c.Outcomes = readOutcomes(r, c.Version)
}

// readRecordHead reads what every record begins with.
func readRecordHead(r *reader) (anchor api.Key, body [16]byte, epoch Epoch) {
	return r.key(), r.array16(), r.epoch()
}

func readOutcomes(r *reader, usual api.Version) []Outcome {
	room, most, flags := MaxRecordBytes, MaxRecordBytes, byte(12)
	if r.level == Level1 {
		most, flags = maxSum, 4
	}
	return list(r, api.MaxTxnOps, 1, func(r *reader) Outcome {
		f := r.byte()
		if f > flags|3 || f&12 == 12 {
			r.fail("an unknown flag")
		}
		o := Outcome{Version: usual, Exists: f&1 != 0}
		if f&2 == 0 {
			if o.Version = r.version(); o.Version == usual {
				r.fail("a version that is not in its shortest form")
			}
		}
		if f&4 != 0 {
			if o.Value = slices.Clone(r.bytes(min(most, room))); len(o.Value) == 0 {
				r.fail("a value that is empty where one was said to be")
			}
			room -= len(o.Value)
		}
		o.Empty = f&8 != 0
		return o
	})
}
