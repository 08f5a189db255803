package engine

import (
	"unsafe"

	"github.com/tidwall/btree"
)

// row is a key and its value in one piece of memory, which never changes: the tree holds 16 bytes of each, while a string
// and a slice are 40 bytes and two pieces. Rows are small and many: a lease is two.
type row struct {
	at         *byte // the key's first byte; the value comes after the key
	key, value uint32
}

// newRow copies both. Neither is longer than what a snapshot's row may have.
func newRow(k string, v []byte) row {
	b := make([]byte, len(k)+len(v))
	copy(b[copy(b, k):], v)
	return row{unsafe.SliceData(b), uint32(len(k)), uint32(len(v))}
}

// look is a row to look for, which has no value and shares k.
func look(k string) row { return row{at: unsafe.StringData(k), key: uint32(len(k))} }

func (r row) name() string { return unsafe.String(r.at, r.key) }

func (r row) data() []byte {
	return unsafe.Slice(r.at, uint64(r.key)+uint64(r.value))[r.key:]
}

// tree holds rows by key. Its nodes are copied on write, once for each copy that shares them.
type tree = btree.BTreeG[row]

// degree is half of the most children that a node of the tree may have.
const degree = 32

func newTree() *tree {
	return btree.NewBTreeGOptions(func(a, b row) bool { return a.name() < b.name() }, btree.Options{Degree: degree, NoLocks: true})
}
