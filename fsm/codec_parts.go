package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// The parts that several commands and rows are made of.

func putSession(w *codec.Writer, s api.SessionID) { w.Uint(s.Incarnation); w.Uint(s.Index) }

func putSessionID(w *codec.Writer, s *api.SessionID) { putSession(w, *s) }

func readSessionID(r *codec.Reader) api.SessionID {
	return api.SessionID{Incarnation: r.Uint(), Index: r.Uint()}
}

func readSessions(r *codec.Reader) []api.SessionID {
	return codec.List(r, maxDropped, 2, readSessionID)
}

func putDropped(w *codec.Writer, d *api.DroppedLease) {
	putSession(w, d.Session)
	w.Text(string(d.Key))
	w.Uint(uint64(d.Lease))
}

func readDropped(r *codec.Reader) []api.DroppedLease {
	return codec.List(r, maxDropped, 5, func(r *codec.Reader) api.DroppedLease {
		return api.DroppedLease{Session: readSessionID(r), Key: r.KeyName(), Lease: api.LeaseID(r.Uint())}
	})
}

func putShard(w *codec.Writer, s *Shard) {
	codec.PutRange(w, s.Range)
	w.Uint(s.Epoch)
	w.Uint(uint64(s.Index))
	w.Uint(uint64(s.Of))
}

func readShard(r *codec.Reader) Shard {
	return Shard{Range: r.Range(), Epoch: r.Uint(), Index: r.Uint32(), Of: r.Uint32()}
}

func readEpoch(r *codec.Reader) Epoch { return Epoch(r.Uint()) }

func putReceipt(w *codec.Writer, x *Receipt) {
	codec.PutRange(w, x.Range)
	w.Uint(x.Epoch)
	codec.PutList(w, x.To, codec.PutGroup)
	codec.PutList(w, x.From, func(w *codec.Writer, s *Source) {
		w.Text(string(s.Group))
		w.Uint(uint64(s.Index))
		w.Uint(uint64(s.Of))
	})
	w.Uint(uint64(x.DedupEpoch))
	codec.PutList(w, x.Clients, func(w *codec.Writer, c *Client) {
		w.Raw(c.ID[:])
		w.Uint(c.AckedBelow)
		w.Uint(uint64(c.Epoch))
	})
	codec.PutList(w, x.Records, func(w *codec.Writer, c *Record) {
		w.Raw(c.Client[:])
		w.Uint(c.Seq)
		putRecord(w, c)
	})
}

func readSources(r *codec.Reader) []Source {
	return codec.List(r, maxShards, 3, func(r *codec.Reader) Source {
		return Source{Group: r.Group(), Index: r.Uint32(), Of: r.Uint32()}
	})
}

func readReceipt(r *codec.Reader) Receipt {
	return Receipt{
		Range: r.Range(), Epoch: r.Uint(), To: codec.List(r, maxGroups, 1, (*codec.Reader).Group),
		From:       readSources(r),
		DedupEpoch: readEpoch(r),
		Clients: codec.List(r, maxReceiptRecords, 18, func(r *codec.Reader) Client {
			return Client{ID: r.Array16(), AckedBelow: r.Uint(), Epoch: readEpoch(r)}
		}),
		Records: codec.List(r, maxReceiptRecords, 39, func(r *codec.Reader) Record {
			c := Record{Client: r.Array16(), Seq: r.Uint()}
			readRecord(r, &c)
			return c
		}),
	}
}

// putAges writes what a receipt of level 2 says beyond one of level 1: one age for each client, and for each record.
func putAges(w *codec.Writer, x *Receipt) {
	for i := range x.Clients {
		w.Uint(uint64(x.Clients[i].Age))
	}
	for i := range x.Records {
		w.Uint(uint64(x.Records[i].Age))
	}
}

func readAges(r *codec.Reader, x *Receipt) {
	for i := range x.Clients {
		x.Clients[i].Age = Age(r.Uint())
	}
	for i := range x.Records {
		x.Records[i].Age = Age(r.Uint())
	}
}

// receiptRow is a row of tableMoved: those of level 1 have no ages.
func receiptRow(x *Receipt, level Level) []byte {
	var w codec.Writer
	if putReceipt(&w, x); level > Level1 {
		putAges(&w, x)
	}
	return w.B
}

func readReceiptRow(r *codec.Reader) Receipt {
	x := readReceipt(r)
	if len(r.B) > 0 {
		readAges(r, &x)
	}
	return x
}

// recordAttempt stands in a record in the place of whether it committed: it is an attempt.
const recordAttempt = 2

// putRecord writes a record without its Client and Seq, which stand before it or in its key.
func putRecord(w *codec.Writer, c *Record) {
	w.Text(string(c.Anchor))
	w.Raw(c.Body[:])
	w.Uint(uint64(c.Epoch))
	if c.Decider != "" {
		w.Byte(recordAttempt)
		w.Uint(c.Attempt)
		w.Text(string(c.Decider))
		w.Uint(c.DeciderEpoch)
		return
	}
	w.Bool(c.Committed)
	w.Version(c.Version)
	putOutcomes(w, c.Outcomes, c.Version)
}

// putOutcomes writes them; most have the version of the transaction itself, which need not be repeated. Version 1 of commands
// has short values alone.
func putOutcomes(w *codec.Writer, outcomes []Outcome, usual api.Version) {
	w.Uint(uint64(len(outcomes)))
	for _, o := range outcomes {
		if Level(w.Format) == Level1 {
			o.Empty = false
			if len(o.Value) > maxSum {
				o.Value = nil
			}
		}
		same := o.Version == usual
		w.Byte(bit(o.Exists, 1) | bit(same, 2) | bit(len(o.Value) > 0, 4) | bit(o.Empty && len(o.Value) == 0, 8))
		if !same {
			w.Version(o.Version)
		}
		if len(o.Value) > 0 {
			w.Bytes(o.Value)
		}
	}
}

func bit(set bool, b byte) byte {
	if set {
		return b
	}
	return 0
}

func readRecord(r *codec.Reader, c *Record) {
	c.Anchor, c.Body, c.Epoch = readRecordHead(r)
	if len(r.B) > 0 && r.B[0] == recordAttempt {
		r.Byte()
		c.Attempt, c.Decider, c.DeciderEpoch = r.Uint(), r.Group(), r.Uint()
		if c.Attempt == 0 || c.Decider == "" || c.DeciderEpoch == 0 {
			r.Fail("an attempt of nobody")
		}
		return
	}
	c.Committed, c.Version = r.Bool(), r.Version()
	c.Outcomes = readOutcomes(r, c.Version)
}

// readRecordHead reads what every record begins with.
func readRecordHead(r *codec.Reader) (anchor api.Key, body [16]byte, epoch Epoch) {
	return r.Key(), r.Array16(), readEpoch(r)
}

func readOutcomes(r *codec.Reader, usual api.Version) []Outcome {
	room, most, flags := MaxRecordBytes, MaxRecordBytes, byte(12)
	if Level(r.Format) == Level1 {
		most, flags = maxSum, 4
	}
	return codec.List(r, api.MaxTxnOps, 1, func(r *codec.Reader) Outcome {
		f := r.Byte()
		if f > flags|3 || f&12 == 12 {
			r.Fail("an unknown flag")
		}
		o := Outcome{Version: usual, Exists: f&1 != 0}
		if f&2 == 0 {
			if o.Version = r.Version(); o.Version == usual {
				r.Fail("a version that is not in its shortest form")
			}
		}
		if f&4 != 0 {
			if o.Value = slices.Clone(r.Bytes(min(most, room))); len(o.Value) == 0 {
				r.Fail("a value that is empty where one was said to be")
			}
			room -= len(o.Value)
		}
		o.Empty = f&8 != 0
		return o
	})
}
