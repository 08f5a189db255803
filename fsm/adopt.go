package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

const kindAdopt kind = 12

// Adopt takes over a range that was given up, as the receipt proves. Every group that owned a shard of the range must have joined
// the receipt. Shard has the receipt's range and epoch. Adopt is refused at an epoch at or below any that this group has seen for
// any part of the range. Repeated, it does nothing.
type Adopt struct {
	Receipt Receipt
	Shard   Shard
}

func (Adopt) kind() kind { return kindAdopt }

func (c Adopt) put(w *codec.Writer) {
	putReceipt(w, &c.Receipt)
	putShard(w, &c.Shard)
	if Level(w.Format) > Level1 {
		putAges(w, &c.Receipt)
	}
}

func readAdopt(r *codec.Reader) Adopt {
	c := Adopt{readReceipt(r), readShard(r)}
	if Level(r.Format) > Level1 {
		readAges(r, &c.Receipt)
	}
	return c
}

// adopt takes over a range that was given up.
func (t *tx) adopt(c *Adopt, res *Result) *api.Error {
	s, r := c.Shard, &c.Receipt
	if err := s.check(); err != nil {
		return err
	}
	if s.Range != r.Range || s.Epoch != r.Epoch || !slices.Contains(r.To, t.meta.Group) || !r.Complete() {
		return api.Errorf(api.CodeInvalid, "the receipt does not give %v at epoch %d to the group %s", s.Range, s.Epoch, t.meta.Group)
	}
	for i := range t.shards {
		if t.shards[i].Shard == s {
			return nil
		}
		if t.shards[i].Range.Overlaps(s.Range) {
			return api.Errorf(api.CodeConflict, "the group owns %v at epoch %d already", t.shards[i].Range, t.shards[i].Epoch)
		}
	}
	if epoch, seen := t.movedAt(s.Range); seen && s.Epoch <= epoch {
		return api.Errorf(api.CodeConflict, "a part of the range was ceded at epoch %d; it cannot be adopted at %d", epoch, s.Epoch)
	}
	n := 0
	for i := range r.Records {
		if !s.Owns(r.Records[i].Anchor) {
			continue
		}
		n++
	}
	if t.meta.Records+n > t.limits.records {
		return api.Errorf(api.CodeUnavailable, "the group is at its limit of %d results kept for at-most-once writes", t.limits.records)
	}
	res.Took = true
	if !t.rules.ages || !guardEpochLineage {
		t.own(owned{Shard: s, adopted: true, sinceIndex: t.position()})
		t.giveRecords(r, s)
		t.meta.DedupEpoch = max(t.meta.DedupEpoch, r.DedupEpoch)
		return nil
	}
	t.own(owned{Shard: s, adopted: true, since: t.comesBack(s.Range), sinceIndex: t.position()})
	t.translate(r)
	t.giveRecords(r, s)
	return nil
}

// position returns the index of the command that is being applied, if the group keeps a history.
func (t *tx) position() uint64 {
	if !t.meta.Level.keepsHistory() {
		return 0
	}
	return t.index
}

// comesBack returns the epoch in which the group takes over a range that it has given up before, or 0 if it never has. That epoch
// begins now, so that requests first sent before it can be distinguished from those sent from now on.
func (t *tx) comesBack(r api.Range) Epoch {
	if _, before := t.movedAt(r); !before {
		return 0
	}
	t.meta.DedupEpoch++
	t.meta.returns[0]++
	return t.meta.DedupEpoch
}

// translate gives the contents of the receipt epochs of the machine's own group, by their ages.
func (t *tx) translate(r *Receipt) {
	r.Clients, r.Records = slices.Clone(r.Clients), slices.Clone(r.Records)
	now := t.meta.DedupEpoch
	for i := range r.Clients {
		r.Clients[i].Epoch = now.before(r.Clients[i].Age)
	}
	for i := range r.Records {
		r.Records[i].Epoch = now.before(r.Records[i].Age)
	}
}

// giveRecords adds the receipt's records whose anchor is in the shard to the tables.
func (t *tx) giveRecords(r *Receipt, s Shard) {
	for i := range r.Records {
		rec := &r.Records[i]
		if !s.Owns(rec.Anchor) {
			continue
		}
		if _, known := t.get(t.key.record(rec.Client, rec.Seq)); known {
			continue
		}
		c := t.client(rec.Client)
		if rec.Seq > 0 && rec.Seq < c.ackedBelow {
			continue // its client has the answer
		}
		t.putRecord(rec)
		if rec.Seq == 0 {
			continue
		}
		c.count++
		c.epoch = max(c.epoch, rec.Epoch)
		t.setClient(rec.Client, c)
	}
	for _, x := range r.Clients {
		c := t.client(x.ID)
		t.raise(&c, x.ID, x.AckedBelow)
		c.epoch = max(c.epoch, x.Epoch)
		t.setClient(x.ID, c)
	}
}
