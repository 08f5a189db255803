package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Outcome is one entry of a stored result. Its key is in the request. The values that the answer had are stored, up to
// [MaxRecordBytes] of them in one record. Version 1 stored none but the sum of an add.
type Outcome struct {
	Version api.Version `cbor:"1,keyasint,omitempty"`
	Exists  bool        `cbor:"2,keyasint,omitempty"`
	Value   []byte      `cbor:"3,keyasint,omitempty"`
	// Empty means that the answer had an empty value. If it is false, a value of length zero is one that was not stored.
	Empty bool `cbor:"4,keyasint,omitempty"`
}

// Outcomes is what is kept of a branch's result, to answer a repetition of the request: [Decide.Outcomes]. The entries are
// those of the branch's steps, in their order.
func Outcomes(branch []api.Op, entries []api.Entry) []Outcome { return outcomes(nil, branch, entries) }

// outcomes adds what is kept of the entries, which are of the branch's steps or of the tested keys.
func outcomes(to []Outcome, branch []api.Op, entries []api.Entry) []Outcome {
	first := len(to)
	for i := range entries {
		e := &entries[i]
		o := Outcome{Version: e.Version, Exists: e.Exists}
		if i < len(branch) && branch[i].Answers() && e.Exists && guardReplayValues {
			o.Value, o.Empty = e.Value, len(e.Value) == 0 && !e.Elided
		}
		to = append(to, o)
	}
	fit(to[first:], MaxRecordBytes)
	return to
}

// fit drops values until the rest are at most limit bytes. Short ones stay, as sums and lengths are: all of them together are less.
func fit(outcomes []Outcome, limit int) {
	for i := range outcomes {
		if n := len(outcomes[i].Value); n <= maxSum {
			limit -= n
		}
	}
	for i := range outcomes {
		n := len(outcomes[i].Value)
		switch {
		case n <= maxSum:
		case n <= limit:
			limit -= n
		default:
			outcomes[i].Value = nil
		}
	}
}

// replayed is the entry that repeats the outcome of a step; op is nil for a tested key.
func (o *Outcome) replayed(k api.Key, op *api.Op) api.Entry {
	e := api.Entry{Key: k, Version: o.Version, Exists: o.Exists, Value: slices.Clone(o.Value)}
	e.Elided = op != nil && op.Kind == api.OpGet && o.Exists && len(o.Value) == 0 && !o.Empty
	return e
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

// Record is the stored result of one write. If Decider is set, it is instead the attempt of a transaction across groups that is
// or was under way, and the result is at that group.
type Record struct {
	Client api.ClientID `cbor:"1,keyasint"`
	Seq    uint64       `cbor:"2,keyasint,omitempty"`
	// Anchor is the smallest key that the transaction names. The record is in the group that owns the anchor.
	Anchor api.Key `cbor:"3,keyasint"`
	// Body distinguishes transactions with the same id.
	Body [16]byte `cbor:"4,keyasint"`
	// Epoch is that in which it was written, in the count of the group that has it. Age is how long ago that was when the group
	// gave it away, in a receipt.
	Epoch     Epoch       `cbor:"5,keyasint,omitempty"`
	Age       Age         `cbor:"12,keyasint,omitempty"`
	Committed bool        `cbor:"6,keyasint,omitempty"`
	Version   api.Version `cbor:"7,keyasint,omitempty"`
	Outcomes  []Outcome   `cbor:"8,keyasint,omitempty"` // one for each entry of the result
	// Attempt, Decider and DeciderEpoch are of the attempt: TxnID's, and TxnRef's Epoch, which only the decider can compare.
	Attempt      uint64      `cbor:"9,keyasint,omitempty"`
	Decider      api.GroupID `cbor:"10,keyasint,omitempty"`
	DeciderEpoch uint64      `cbor:"11,keyasint,omitempty"`
}

// Ref returns the attempt that the record names, as far as a [Push] needs it, or zero if the record is a result. Its epoch lets
// the decision group distinguish an attempt that it has dropped from one that never reached it.
func (c *Record) Ref() ident.TxnRef {
	if c.Decider == "" {
		return ident.TxnRef{}
	}
	return ident.TxnRef{ID: c.attempt(), Anchor: c.Anchor, Epoch: c.DeciderEpoch}
}

// attempt is the one that the record names.
func (c *Record) attempt() ident.TxnID {
	return ident.TxnID{Client: c.Client, Seq: c.Seq, Attempt: c.Attempt, Decider: c.Decider}
}

// Replay returns the stored result, for a client that sends its request, which is t, again. The record must have one.
func (c *Record) Replay(t *api.Txn) *api.TxnResult { return replayOf(c, t) }

func recordRow(c *Record) []byte {
	w := codec.Writer{B: make([]byte, 0, 40+len(c.Anchor)+2*len(c.Outcomes))}
	putRecord(&w, c)
	return w.B
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

func readRecord(r *codec.Reader, c *Record) {
	c.Anchor, c.Body, c.Epoch = readRecordHead(r)
	if len(r.B) > 0 && r.B[0] == recordAttempt {
		r.Byte()
		c.Attempt, c.Decider, c.DeciderEpoch = r.Uint(), r.Group(), r.Uint()
		if c.Attempt == 0 || c.Decider == "" || c.DeciderEpoch == 0 {
			r.Fail("an attempt of no client")
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

// replayOf is the stored result; the keys are those of the request, which is the same.
func replayOf(rec *Record, t *api.Txn) *api.TxnResult {
	res := &api.TxnResult{Committed: rec.Committed, Version: rec.Version, Replayed: true}
	res.Entries = make([]api.Entry, len(rec.Outcomes))
	branch := branchOf(t, rec.Committed)
	for i := range rec.Outcomes {
		var op *api.Op
		if i < len(branch) {
			op = &branch[i]
		}
		res.Entries[i] = rec.Outcomes[i].replayed(resultKey(t, rec.Committed, i), op)
	}
	return res
}

// resultKey is the key of the result's i-th entry.
func resultKey(t *api.Txn, committed bool, i int) api.Key {
	switch {
	case committed && i < len(t.Then):
		return t.Then[i].Key
	case !committed && len(t.Else) == 0 && i < len(t.If):
		return t.If[i].Key
	case !committed && i < len(t.Else):
		return t.Else[i].Key
	}
	return ""
}
