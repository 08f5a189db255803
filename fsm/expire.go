package fsm

import (
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

const kindForget kind = 22

// Forget raises the client's acknowledgement: the client will never again send a Seq below Below.
type Forget struct {
	Client api.ClientID
	Below  uint64
}

func (Forget) kind() kind { return kindForget }

func (c Forget) put(w *codec.Writer) {
	w.Raw(c.Client[:])
	w.Uint(c.Below)
}

func readForget(r *codec.Reader) Forget { return Forget{r.Array16(), r.Uint()} }

// forgetCommand carries out an acknowledgement that no request carries.
func (t *tx) forgetCommand(c *Forget, _ *Result) *api.Error {
	if c.Client == (api.ClientID{}) {
		return api.Errorf(api.CodeInvalid, "no client was named")
	}
	t.acknowledge(c.Client, c.Below, t.meta.DedupEpoch)
	return nil
}

// acknowledge records that the client will never again send a Seq below the given one, and that it was active in the epoch.
func (t *tx) acknowledge(id api.ClientID, below uint64, epoch Epoch) {
	if below == 0 {
		return
	}
	before := t.client(id)
	c := before
	t.raise(&c, id, below)
	if c.epoch = max(c.epoch, epoch); c != before {
		t.setClient(id, c)
	}
}

// raise drops what the new watermark in the client's row c makes unnecessary. The caller stores c.
func (t *tx) raise(c *client, id api.ClientID, below uint64) {
	if below <= c.ackedBelow {
		return
	}
	if c.count > 0 {
		c.count -= t.forget(id, c.ackedBelow, below)
	}
	if t.meta.Decisions > 0 {
		for _, x := range t.attemptsOf(tableDecision, id, c.ackedBelow, below) {
			if t.owing(&x) == nil { // otherwise it is dropped with the last participant that resolves
				t.delDecision(&x)
			}
		}
	}
	if t.meta.Finished > 0 {
		for _, x := range t.attemptsOf(tableFinished, id, c.ackedBelow, below) {
			t.delFinished(&x)
		}
	}
	c.ackedBelow = below
}

// attemptsOf returns the client's attempts in the table whose sequences the watermark passes when it rises.
func (v *view) attemptsOf(table byte, id api.ClientID, before, below uint64) (ids []ident.TxnID) {
	bound := func(seq uint64) []byte {
		w := codec.Writer{B: []byte{table}}
		w.Raw(id[:])
		w.Fixed64(seq)
		return w.B
	}
	v.scan(bound(max(1, before)), bound(below), func(k, _ []byte) bool {
		ids = append(ids, readAttempt(table, &codec.Reader{B: slices.Clone(k[1:])}))
		return true
	})
	if table == tableDecision {
		for i := range ids {
			ids[i].Decider = v.meta.Group
		}
	}
	return ids
}

const kindExpireDedup kind = 15

// ExpireDedup visits up to Limit rows of at-most-once records, beginning where the last one stopped, and drops those whose epoch
// is more than [DedupEpochs] behind.
type ExpireDedup struct {
	Term  api.Term
	Limit int
}

func (ExpireDedup) kind() kind           { return kindExpireDedup }
func (c ExpireDedup) judgedIn() api.Term { return c.Term }

func (c ExpireDedup) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	w.Uint(uint64(max(c.Limit, 0)))
}

func readExpireDedup(r *codec.Reader) ExpireDedup {
	return ExpireDedup{api.Term(r.Uint()), readLimit(r)}
}

// swept are the tables that expiry goes through, in their order.
var swept = [...]byte{tableDecision, tableDedup, tableFinished}

func (t *tx) expireDedup(c *ExpireDedup, res *Result) *api.Error {
	res.Swept = t.expire(c.Limit)
	return nil
}

// expire sweeps on through what is remembered, and drops what is of clients that have been idle for too long.
func (t *tx) expire(limit int) (came Swept) {
	if limit <= 0 || limit > MaxSweep {
		limit = MaxSweep
	}
	from := t.meta.sweep
	t.meta.sweep = nil
	for _, table := range swept {
		lo := []byte{table}
		if len(from) > 0 && from[0] >= table {
			if lo = from; from[0] > table {
				continue
			}
		}
		last, n := t.expireTable(table, lo, limit)
		came.Rows += n
		if limit -= n; limit == 0 {
			last = append(last, 0)
			t.meta.sweep = last
			return came
		}
	}
	came.End = true
	return came
}

// expireTable looks at up to limit rows of the table, and returns how many it saw and the key of the last.
func (t *tx) expireTable(table byte, lo []byte, limit int) (last []byte, n int) {
	hi := []byte{table + 1}
	if table == tableDedup {
		rows := t.records(lo, hi, limit)
		for i := range rows {
			t.expireRow(&rows[i])
			last = rows[i].key
		}
		return slices.Clone(last), len(rows)
	}
	type old struct {
		id      ident.TxnID
		outcome ident.TxnOutcome
		epoch   Epoch
	}
	var olds []old
	t.scan(lo, hi, func(k, row []byte) bool {
		last = slices.Clone(k)
		x := old{id: readAttempt(table, &codec.Reader{B: last[1:]})}
		if table == tableDecision {
			d := parse(row, readDecision)
			x.id.Decider, x.outcome, x.epoch = t.meta.Group, d.outcome, d.epoch
		} else {
			f := parse(row, readFinished)
			x.outcome, x.epoch = f.outcome, f.epoch
		}
		olds = append(olds, x)
		return len(olds) < limit
	})
	for i := range olds {
		x := &olds[i]
		if x.id.Seq > 0 {
			x.epoch = max(x.epoch, t.client(x.id.Client).epoch)
		}
		switch {
		case !t.dropped(x.epoch, t.kept(&x.id, x.outcome)):
		case table == tableFinished:
			t.delFinished(&x.id)
		case t.owing(&x.id) == nil:
			t.delDecision(&x.id)
		}
	}
	return last, len(olds)
}

// kept returns for how many epochs the outcome of an attempt is stored, unless its client acknowledges it first.
func (v *view) kept(id *ident.TxnID, outcome ident.TxnOutcome) Age {
	if v.rules.shortAborts && id.Seq == 0 && outcome == ident.TxnAborted {
		return AttemptEpochs
	}
	return DedupEpochs
}

// dedupRow is a row of tableDedup, as much of it as expiry needs.
type dedupRow struct {
	key    []byte
	id     api.ClientID
	row    client // if it is a client's own row
	isRow  bool
	seq    uint64
	epoch  Epoch
	anchor api.Key
}

// records reads up to limit rows of tableDedup.
func (v *view) records(lo, hi []byte, limit int) (rows []dedupRow) {
	v.scan(lo, hi, func(k, row []byte) bool {
		rows = append(rows, readDedupRow(k, row))
		return len(rows) < limit
	})
	return rows
}

const clientKeyLen = 1 + 16

func readDedupRow(k, row []byte) dedupRow {
	d := dedupRow{key: append([]byte(nil), k...)}
	r := codec.Reader{B: k[1:]}
	if d.id = r.Array16(); len(k) == clientKeyLen {
		d.isRow, d.row = true, parse(row, readClient)
		return d
	}
	d.seq = r.Fixed64()
	head := codec.Reader{B: row}
	d.anchor, _, d.epoch = readRecordHead(&head)
	if head.Fault() != "" {
		must(fmt.Errorf("a record that cannot be: %s", head.Fault()))
	}
	return d
}

func (t *tx) expireRow(d *dedupRow) {
	switch {
	case d.isRow:
		if d.row.count == 0 && t.dropped(d.row.epoch, DedupEpochs) {
			t.delClient(d.id)
		}
	case d.seq == 0:
		if t.dropped(d.epoch, DedupEpochs) {
			t.delRecord(d.anchor, d.id, 0)
		}
	default:
		c := t.client(d.id)
		if !t.dropped(c.epoch, DedupEpochs) {
			return
		}
		t.delRecord(d.anchor, d.id, d.seq)
		if c.count--; c.count > 0 {
			t.setClient(d.id, c)
		} else {
			t.delClient(d.id)
		}
	}
}

// Remembers reports whether the group remembers anything of requests or transactions that an ExpireDedup could drop.
func (m *Machine) Remembers() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, some := m.begin(), false
	for _, table := range swept {
		v.scan([]byte{table}, []byte{table + 1}, func(_, _ []byte) bool { some = true; return false })
	}
	return some
}
