package fsm

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Shard is a part of the keyspace with one owner: the keys of Range whose [ident.ShardOf] (of Of) is Index.
type Shard struct {
	Range api.Range `cbor:"1,keyasint,omitempty"`
	Epoch uint64    `cbor:"2,keyasint,omitempty"` // first part of the versions written under this ownership
	Index uint32    `cbor:"3,keyasint,omitempty"`
	Of    uint32    `cbor:"4,keyasint,omitempty"`
}

// Owns reports whether the key is the shard's.
func (s Shard) Owns(k api.Key) bool {
	return s.Range.Contains(k) && (s.Of < 2 || ident.ShardOf(k, s.Of) == s.Index)
}

func (s Shard) check() *api.Error {
	switch {
	case s.Range.End != "" && s.Range.End <= s.Range.Start:
		return api.Errorf(api.CodeInvalid, "the range %v is empty", s.Range)
	case s.Of == 0 || s.Of > maxShards || s.Index >= s.Of:
		return api.Errorf(api.CodeInvalid, "there is no shard %d of %d", s.Index, s.Of)
	case len(s.Range.Start) > api.MaxKeyBytes || len(s.Range.End) > api.MaxKeyBytes:
		return api.Errorf(api.CodeTooLarge, "a bound of a range is over the limit of %d bytes", api.MaxKeyBytes)
	}
	return nil
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

// owned is a row of tableRange.
type owned struct {
	Shard
	// adopted: the range was another group's before, so that each absent key's version is at least {Epoch, 0}.
	adopted bool
	// since is the epoch in which the group took the range over, if it had owned it before: what is of an earlier epoch may have
	// been recorded and forgotten by another group meanwhile.
	since Epoch
	// sinceIndex is the index of the Adopt by which the group took the range over, in a group that keeps a history; 0 if it was
	// founded with the range.
	sinceIndex uint64
}

func (o owned) row() []byte {
	w := codec.Writer{B: make([]byte, 0, 32+len(o.Range.End))}
	w.Text(string(o.Range.End))
	w.Uint(o.Epoch)
	w.Uint(uint64(o.Index))
	w.Uint(uint64(o.Of))
	if w.Bool(o.adopted); o.since > 0 || o.sinceIndex > 0 {
		w.Uint(uint64(o.since))
	}
	if o.sinceIndex > 0 {
		w.Uint(o.sinceIndex)
	}
	return w.B
}

func readOwned(start api.Key, r *codec.Reader) owned {
	o := owned{Shard: Shard{api.Range{Start: start, End: r.Key()}, r.Uint(), r.Uint32(), r.Uint32()}, adopted: r.Bool()}
	if len(r.B) > 0 {
		if o.since = readEpoch(r); o.since == 0 && len(r.B) == 0 {
			r.Fail("a range that came back at no time")
		}
	}
	if len(r.B) > 0 {
		if o.sinceIndex = r.Uint(); o.sinceIndex == 0 {
			r.Fail("a range that was taken over at no time")
		}
	}
	return o
}

func compareKeys(a, b api.Key) int { return cmp.Compare(a, b) }

// own adds a shard to those that the group owns; it overlaps none of them.
func (t *tx) own(o owned) {
	i := 0
	for i < len(t.shards) && t.shards[i].Range.Start < o.Range.Start {
		i++
	}
	t.shards = slices.Insert(slices.Clone(t.shards), i, o)
	t.set(t.key.ofKey(tableRange, o.Range.Start), o.row())
}

// disown takes the range, which lies within the i-th shard's, out of it.
func (t *tx) disown(i int, r api.Range) {
	o := t.shards[i]
	t.shards = slices.Delete(slices.Clone(t.shards), i, i+1)
	t.del(t.key.ofKey(tableRange, o.Range.Start))
	left, right := o, o
	if left.Range.End = r.Start; left.Range.Start < r.Start {
		t.own(left)
	}
	if right.Range.Start = r.End; r.End != "" && right.Range.Start != o.Range.End {
		t.own(right)
	}
	if !slices.ContainsFunc(t.shards, func(x owned) bool { return x.Epoch == o.Epoch }) {
		t.delFloors(o.Epoch)
	}
}

// shardOf finds the shard that owns the key.
func (v *view) shardOf(k api.Key) (*owned, bool) {
	i, found := slices.BinarySearchFunc(v.shards, k, func(o owned, k api.Key) int {
		if o.Range.Start <= k {
			return -1
		}
		return 1
	})
	if found || i == 0 || !v.shards[i-1].Owns(k) {
		return nil, false
	}
	return &v.shards[i-1], true
}

func (v *view) owner(k api.Key) (*owned, *api.Error) {
	if o, ok := v.shardOf(k); ok {
		return o, nil
	}
	if !v.meta.Initialized {
		return nil, errNotFounded()
	}
	return nil, &api.Error{Code: api.CodeWrongGroup, Key: k, Hint: fmt.Sprintf("the group %s does not own the key", v.meta.Group)}
}

// ownsAll refuses a part that names a key which is not the group's.
func (v *view) ownsAll(conds []api.Cond, branch []api.Op) *api.Error {
	for i := range conds {
		if _, err := v.owner(conds[i].Key); err != nil {
			return err
		}
	}
	for i := range branch {
		if _, err := v.owner(branch[i].Key); err != nil {
			return err
		}
	}
	return nil
}

// Owns returns CodeWrongGroup if the group does not own one of the keys.
func (m *Machine) Owns(keys []api.Key) error {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	for _, k := range keys {
		if _, err := v.owner(k); err != nil {
			return err
		}
	}
	return nil
}

// Covers returns CodeWrongGroup unless the group owns a shard of every part of the range. A list of a range that it does not
// cover leaves keys out.
func (m *Machine) Covers(r api.Range) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	at := r.Start
	for _, o := range m.shards {
		if r.End != "" && at >= r.End {
			return nil
		}
		if !o.Range.Contains(at) {
			continue
		}
		if at = o.Range.End; at == "" {
			return nil
		}
	}
	if r.End != "" && at >= r.End {
		return nil
	}
	return &api.Error{Code: api.CodeWrongGroup, Key: at, Hint: "the group does not own all of the range"}
}
