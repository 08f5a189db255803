package fsm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// value is a row of tableKV. As no epoch is 0, a row that begins with a 0 has a deadline before the version.
type value struct {
	version  api.Version
	deadline uint64 // in the time of the group; 0 if it has none
	data     []byte // shared with the row
}

// timed is the first byte of a row with a deadline. Other rows begin with an epoch, which is not 0.
const timed = 0

func (v value) row() []byte {
	w := codec.Writer{B: make([]byte, 0, 30+len(v.data))}
	if v.deadline > 0 {
		w.Byte(timed)
		w.Uint(v.deadline)
	}
	w.Version(v.version)
	w.Raw(v.data)
	return w.B
}

func readValue(r *codec.Reader) value {
	var v value
	if len(r.B) > 0 && r.B[0] == timed {
		r.Byte()
		v.deadline = readDeadline(r)
	}
	if v.version = r.Version(); v.version.Epoch == 0 {
		r.Fail("a version of no epoch")
	}
	v.data = r.Take(uint64(len(r.B)))
	return v
}

// valueOf is parse for the most frequent row, without an allocation.
func valueOf(row []byte) value {
	r := codec.Reader{B: row}
	x := readValue(&r)
	if r.Fault() != "" {
		must(errors.New("a value that cannot be: " + r.Fault()))
	}
	return x
}

func versionRow(v api.Version) []byte {
	w := codec.Writer{B: make([]byte, 0, 20)}
	w.Version(v)
	return w.B
}

// state is a key's present state; the value is shared with the engine.
func (v *view) state(k api.Key, o *owned) (ver api.Version, data []byte, exists bool) {
	x, exists := v.value(k, o)
	return x.version, x.data, exists
}

// value is like state, and has the deadline, too.
func (v *view) value(k api.Key, o *owned) (x value, exists bool) {
	if row, ok := v.get(v.key.ofKey(tableKV, k)); ok {
		return valueOf(row), true
	}
	return value{version: v.absence(k, o)}, false
}

// absence is the version of a key that is absent: what its holders have been given, if it is leased; else that of its
// tombstone, or of what stands for a tombstone that has gone.
func (v *view) absence(k api.Key, o *owned) api.Version {
	var ver api.Version
	if v.meta.Leases > 0 {
		if l := v.leased(k); l.absent {
			return l.version
		}
	}
	if o.adopted {
		ver.Epoch = o.Epoch
	}
	later := func(x api.Version) {
		if x.Compare(ver) > 0 {
			ver = x
		}
	}
	if row, ok := v.get(v.key.ofKey(tableTombstone, k)); ok {
		later(parse(row, (*codec.Reader).Version))
	}
	if row, ok := v.get(v.key.floor(o.Epoch, bucketOf(k))); ok {
		later(api.Version{Epoch: o.Epoch, Index: parse(row, (*codec.Reader).Uint)})
	}
	return ver
}

// entry is a key's state with a value of its own.
func (v *view) entry(k api.Key, o *owned) api.Entry {
	ver, data, exists := v.state(k, o)
	return api.Entry{Key: k, Value: slices.Clone(data), Version: ver, Exists: exists}
}

// exists reports whether the key exists.
func (t *tx) exists(k api.Key) bool {
	_, ok := t.get(t.key.ofKey(tableKV, k))
	return ok
}

func (t *tx) put(k api.Key, x value) {
	if row, exists := t.get(t.key.ofKey(tableKV, k)); exists {
		t.undue(k, row)
	} else {
		t.meta.Keys++
		t.delTombstone(k)
	}
	if x.deadline > 0 {
		t.due(k, x.deadline)
	}
	t.set(t.key.ofKey(tableKV, k), x.row())
}

// remove drops the value of the key, and reports whether it had one.
func (t *tx) remove(k api.Key) bool {
	row, exists := t.get(t.key.ofKey(tableKV, k))
	if !exists {
		return false
	}
	t.removeRow(k, row)
	return true
}

// removeRow deletes a key whose row is known.
func (t *tx) removeRow(k api.Key, row []byte) {
	t.undue(k, row)
	t.del(t.key.ofKey(tableKV, k))
	t.meta.Keys--
}

func (t *tx) addTombstone(k api.Key, ver api.Version) {
	t.set(t.key.ofKey(tableTombstone, k), versionRow(ver))
	t.set(t.key.trim(ver.Index, k), nil)
	t.meta.Tombstones++
}

func (t *tx) delTombstone(k api.Key) {
	if t.meta.Tombstones == 0 {
		return
	}
	row, ok := t.get(t.key.ofKey(tableTombstone, k))
	if !ok {
		return
	}
	ver := parse(row, (*codec.Reader).Version)
	t.del(t.key.ofKey(tableTombstone, k))
	t.del(t.key.trim(ver.Index, k))
	t.meta.Tombstones--
}

const kindTrimTombstones kind = 13

// TrimTombstones drops up to Limit tombstones whose index is below Below, and raises the floors that stand for them.
type TrimTombstones struct {
	Term  api.Term
	Below uint64
	Limit int
}

func (TrimTombstones) kind() kind           { return kindTrimTombstones }
func (c TrimTombstones) judgedIn() api.Term { return c.Term }

func (c TrimTombstones) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	w.Uint(c.Below)
	w.Uint(uint64(max(c.Limit, 0)))
}

func readTrimTombstones(r *codec.Reader) TrimTombstones {
	return TrimTombstones{api.Term(r.Uint()), r.Uint(), readLimit(r)}
}

func (t *tx) trimTombstones(c *TrimTombstones, res *Result) *api.Error {
	res.Swept.Rows = t.trim(c.Below, c.Limit)
	return nil
}

// trim drops old tombstones. The floor of each one's bucket rises to its version, so that no absent key's version falls.
// A tombstone of an ownership that is over needs none.
func (t *tx) trim(below uint64, limit int) (n int) {
	if limit <= 0 || limit > MaxSweep {
		limit = MaxSweep
	}
	type old struct {
		index uint64
		key   api.Key
	}
	var olds []old
	w := codec.Writer{B: []byte{tableTrim}}
	w.Fixed64(below)
	t.scan([]byte{tableTrim}, w.B, func(k, _ []byte) bool {
		r := codec.Reader{B: k[1:]}
		olds = append(olds, old{r.Fixed64(), api.Key(r.B)})
		return len(olds) < limit
	})
	for _, x := range olds {
		row, ok := t.get(t.key.ofKey(tableTombstone, x.key))
		if !ok {
			must(fmt.Errorf("no tombstone of %q at %d", string(x.key), x.index))
		}
		ver := parse(row, (*codec.Reader).Version)
		t.delTombstone(x.key)
		if o, owns := t.shardOf(x.key); owns && o.Epoch == ver.Epoch {
			t.lift(ver, bucketOf(x.key))
		}
	}
	return len(olds)
}

// lift makes ver the least version of every absent key in the bucket at that epoch.
func (t *tx) lift(ver api.Version, bucket uint16) {
	if row, ok := t.get(t.key.floor(ver.Epoch, bucket)); ok && parse(row, (*codec.Reader).Uint) >= ver.Index {
		return
	}
	w := codec.Writer{B: make([]byte, 0, 10)}
	w.Uint(ver.Index)
	t.set(t.key.floor(ver.Epoch, bucket), slices.Clip(w.B))
}

// delFloors drops the floors of an ownership that is over.
func (t *tx) delFloors(epoch uint64) {
	var keys [][]byte
	lo := slices.Clone(t.key.floor(epoch, 0))
	hi := slices.Clone(t.key.floor(epoch, buckets))
	t.scan(lo, hi, func(k, _ []byte) bool {
		keys = append(keys, slices.Clone(k))
		return true
	})
	for _, k := range keys {
		t.del(k)
	}
}

// buckets share a floor.
const buckets = 1024

// bucketOf is FNV-1a, for ever.
func bucketOf(k api.Key) uint16 {
	h := uint32(2166136261)
	for i := range len(k) {
		h = (h ^ uint32(k[i])) * 16777619
	}
	return uint16(h % buckets)
}
