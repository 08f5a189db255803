package fsm

import (
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

const kindCede kind = 11

// Cede gives up a range that has no key in it. The result has the Receipt. The range must be within the range of one owned shard,
// and Epoch must be at least [ident.NextEpoch] of that shard's. Repeated, it returns the same receipt. It is refused with CodeConflict if a key exists in
// the range, with [RetryLeases] if a live lease in it is outside Cleared and Killed, and with [RetryIntents] if a transaction has
// locked a key in it.
type Cede struct {
	Term    api.Term
	Range   api.Range
	Epoch   uint64 // at which the groups in To may own the range
	To      []api.GroupID
	Cleared []ident.DroppedLease
	Killed  []ident.SessionID
}

func (Cede) kind() kind { return kindCede }

func (c Cede) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	codec.PutRange(w, c.Range)
	w.Uint(c.Epoch)
	codec.PutList(w, c.To, codec.PutGroup)
	codec.PutList(w, c.Cleared, putDropped)
	codec.PutList(w, c.Killed, putSessionID)
}

func readCede(r *codec.Reader) Cede {
	return Cede{
		Term: api.Term(r.Uint()), Range: r.Range(), Epoch: r.Uint(), To: codec.List(r, maxGroups, 1, (*codec.Reader).Group),
		Cleared: readDropped(r), Killed: readSessions(r),
	}
}

// cede gives up a range that has no key in it.
func (t *tx) cede(c *Cede, res *Result) *api.Error {
	if err := t.founded(); err != nil {
		return err
	}
	if res.Receipt = t.ceded(c); res.Receipt != nil {
		return nil
	}
	if err := t.judged(c.Term); err != nil {
		return err
	}
	i, err := t.cedable(c)
	if err != nil {
		return err
	}
	if res.Intents = t.intentsIn(c.Range, MaxNamedIntents, false); len(res.Intents) > 0 {
		return errIntent(res.Intents)
	}
	gone := newClearance(c.Cleared, c.Killed)
	res.Holders = t.holdersIn(c.Range, t.limits.cedeHolders, gone.covers)
	if len(res.Holders) > 0 {
		return errHeld(res.Holders[0].Key)
	}
	if err := t.tooMany(c.Killed); err != nil {
		return err
	}
	o := t.shards[i]
	records, err := t.anchored(c.Range, o.Of)
	if err != nil {
		return err
	}
	clients, err := t.clientsOf(records, o.Of)
	if err != nil {
		return err
	}
	t.kill(c.Killed, nil, res)
	t.drop(c.Cleared)
	res.Receipt = &Receipt{
		Range: c.Range, Epoch: c.Epoch, To: c.To, DedupEpoch: t.meta.DedupEpoch,
		From: []Source{{t.meta.Group, o.Index, o.Of}}, Records: records,
	}
	t.handOver(records)
	res.Receipt.Clients = clients
	t.keepReceipt(res.Receipt, &o)
	t.disown(i, c.Range)
	if !guardHistoryStays { // the mutant: watchers of the range miss what they have not got yet
		t.writeHistory()
		t.dropHistory(t.index, MaxSweep, 0)
	}
	return nil
}

// keepReceipt stores the receipt of a part of o and replaces earlier ones for the same keys. The group owned those keys again
// since, so those moves are complete.
func (t *tx) keepReceipt(x *Receipt, o *owned) {
	t.gave = true
	row := left{Receipt: *x}
	if t.meta.Level.keepsHistory() {
		row.at, row.since, row.epoch = t.index, o.sinceIndex, o.Epoch
	}
	level := Level1
	if t.rules.ages {
		level = Level2
		t.eachMoved(x.Range, func(key []byte, m moved) {
			if x.Range.ContainsRange(m.rng) {
				t.del(key)
			}
		})
	}
	t.set(t.key.moved(x.Range.Start, x.Epoch), row.row(level))
}

// ceded returns the receipt of the same cede, if it was done before.
func (t *tx) ceded(c *Cede) *Receipt {
	row, ok := t.get(t.key.moved(c.Range.Start, c.Epoch))
	if !ok {
		return nil
	}
	r := parse(row, readLeft).Receipt
	if r.Range != c.Range || !slices.Equal(r.To, c.To) {
		return nil
	}
	return &r
}

// cedable returns the shard that contains the range, and refuses if the range has a key.
func (t *tx) cedable(c *Cede) (int, *api.Error) {
	if err := (Shard{Range: c.Range, Of: 1}).check(); err != nil {
		return 0, err
	}
	if len(c.To) == 0 || slices.Contains(c.To, t.meta.Group) {
		return 0, api.Errorf(api.CodeInvalid, "a range is ceded to other groups")
	}
	i := slices.IndexFunc(t.shards, func(o owned) bool { return o.Range.ContainsRange(c.Range) })
	if i < 0 {
		return 0, api.Errorf(api.CodeWrongGroup, "the group %s does not own all of %v", t.meta.Group, c.Range)
	}
	if epoch := t.shards[i].Epoch; c.Epoch <= epoch {
		return 0, api.Errorf(api.CodeConflict, "the range is at epoch %d; it cannot be ceded at %d", epoch, c.Epoch)
	}
	if least := ident.NextEpoch(t.shards[i].Epoch, t.meta.Counter); t.rules.fences && guardFenceEpoch && c.Epoch < least {
		return 0, api.Errorf(api.CodeConflict, "the range may have fences up to epoch %d; it cannot be ceded at %d", least, c.Epoch)
	}
	if epoch, seen := t.movedAt(c.Range); seen && c.Epoch <= epoch {
		return 0, api.Errorf(api.CodeConflict, "a part of the range was ceded at epoch %d; it cannot be ceded at %d", epoch, c.Epoch)
	}
	lo, hi := span(tableKV, c.Range, false)
	var err *api.Error
	t.scan(lo, hi, func(k, _ []byte) bool {
		err = &api.Error{Code: api.CodeConflict, Op: "cede", Key: api.Key(k[1:]), Hint: "the range is not empty"}
		return false
	})
	return i, err
}

// moved is the part of a row of tableMoved that describes the move.
type moved struct {
	rng   api.Range
	epoch uint64 // at which the range was given up
}

// eachMoved visits the receipts of ranges that overlap r. There are at most as many as there were moves.
func (v *view) eachMoved(r api.Range, visit func(key []byte, m moved)) {
	type found struct {
		key []byte
		moved
	}
	var all []found
	v.scan([]byte{tableMoved}, []byte{tableMoved + 1}, func(k, row []byte) bool {
		head := codec.Reader{B: row}
		m := moved{rng: head.Range(), epoch: head.Uint()}
		if m.rng.Overlaps(r) {
			all = append(all, found{slices.Clone(k), m})
		}
		return true
	})
	for i := range all {
		visit(all[i].key, all[i].moved)
	}
}

// movedAt returns the greatest epoch at which a part of the range was given up.
func (v *view) movedAt(r api.Range) (epoch uint64, seen bool) {
	v.eachMoved(r, func(_ []byte, m moved) { epoch, seen = max(epoch, m.epoch), true })
	return epoch, seen
}

// anchored reads the records anchored in the range, sorted. It refuses if the receipt of one of so many groups may not carry
// them.
func (t *tx) anchored(r api.Range, of uint32) ([]Record, *api.Error) {
	var records []Record
	size, most, bytes := 0, t.limits.receiptRecords/int(of), MaxReceiptBytes/int(of)
	lo, hi := span(tableAnchor, r, true)
	t.scan(lo, hi, func(k, _ []byte) bool {
		r := codec.Reader{B: k[1:]}
		skipEscaped(&r)
		records = append(records, Record{Client: r.Array16(), Seq: r.Fixed64()})
		return len(records) <= most
	})
	t.scan([]byte{tableDedup}, []byte{tableDedup + 1}, func(k, row []byte) bool {
		id := codec.Reader{B: k[1:]}
		rec := Record{Client: id.Array16()}
		if len(k) == clientKeyLen {
			return true
		}
		if rec.Seq = id.Fixed64(); rec.Seq == 0 {
			return true
		}
		if anchor := (&codec.Reader{B: row}).Key(); r.Contains(anchor) {
			records = append(records, rec)
		}
		return len(records) <= most
	})
	for i := range records {
		rec := &records[i]
		row, ok := t.get(t.key.record(rec.Client, rec.Seq))
		if !ok {
			must(fmt.Errorf("an anchor without the record %v/%d", rec.Client, rec.Seq))
		}
		*rec = parse(row, func(r *codec.Reader) Record {
			c := Record{Client: rec.Client, Seq: rec.Seq}
			readRecord(r, &c)
			return c
		})
		rec.Age = t.ageOf(rec.Epoch)
		size += len(row)
	}
	if size > bytes && t.rules.keepsValues {
		size = withoutValues(records)
	}
	if len(records) > most || size > bytes {
		return nil, api.Errorf(api.CodeUnavailable,
			"over the limit of %d results (%d bytes) of recent writes that may move with a range; they end by and by", most, bytes)
	}
	slices.SortFunc(records, compareRecords)
	return records, nil
}

// withoutValues drops all but short values of the records and returns the size of the rest. A range moves even though repetitions
// will then be answered without those values.
func withoutValues(records []Record) (size int) {
	for i := range records {
		fit(records[i].Outcomes, 0)
		size += len(recordRow(&records[i]))
	}
	return size
}

// clientsOf lists the clients of the records and those that have acknowledged anything. It refuses if the receipt of one of so
// many groups may not carry them. A late copy of a request that its client has acknowledged has no record any more, in any range.
// Only the acknowledgement prevents the new owner from executing it.
func (t *tx) clientsOf(records []Record, of uint32) ([]Client, *api.Error) {
	recorded := map[api.ClientID]bool{}
	for i := range records {
		recorded[records[i].Client] = true
	}
	var clients []Client
	most := t.limits.receiptClients / int(of)
	for lo := []byte{tableDedup}; lo != nil && len(clients) <= most; {
		from := lo
		lo = nil
		t.scan(from, []byte{tableDedup + 1}, func(k, row []byte) bool {
			d := readDedupRow(k, row)
			if d.isRow && (d.row.ackedBelow > 0 || recorded[d.id]) {
				clients = append(clients, Client{d.id, d.row.ackedBelow, d.row.epoch, t.ageOf(d.row.epoch)})
			}
			lo = next(k[:clientKeyLen]) // past the client's records
			return false
		})
	}
	if len(clients) > most {
		return nil, api.Errorf(api.CodeUnavailable,
			"over the limit of %d clients of recent writes that may be known where a range moves; they are forgotten by and by", most)
	}
	return clients, nil
}

// handOver drops the records.
func (t *tx) handOver(records []Record) {
	for i := range records {
		rec := &records[i]
		t.delRecord(rec.Anchor, rec.Client, rec.Seq)
		if rec.Seq == 0 {
			continue
		}
		c := t.client(rec.Client)
		c.count--
		t.setClient(rec.Client, c)
	}
}
