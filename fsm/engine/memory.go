package engine

import (
	"errors"
	"sync"
	"unsafe"

	"github.com/tidwall/btree"
)

// memory keeps the keyspace in a B-tree whose nodes are copied on write, once for each snapshot that shares them.
type memory struct {
	mu   sync.RWMutex
	tree *btree.Map[string, []byte] // guarded by mu
}

// degree is half of the most children that a node of the tree may have.
const degree = 32

func newTree() *btree.Map[string, []byte] { return btree.NewMap[string, []byte](degree) }

// NewMemory returns an empty engine that is gone when the process ends. Close does nothing.
func NewMemory() Engine { return &memory{tree: newTree()} }

// text is b as a string without a copy, for lookups that do not keep it.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf is s as bytes without a copy, for visitors that must not change it.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func (m *memory) Get(key []byte) ([]byte, bool, error) {
	m.mu.RLock()
	v, ok := m.tree.Get(text(key))
	m.mu.RUnlock()
	return v, ok, nil
}

func (m *memory) Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	scan(m.tree, lo, hi, reverse, visit)
	return nil
}

func (m *memory) NewBatch() Batch { return &overlay{below: m, commit: m.commit} }

func (m *memory) commit(cs *changes) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	cs.Scan(func(k string, c change) bool {
		if c.deleted {
			m.tree.Delete(k)
		} else {
			m.tree.Set(k, c.value)
		}
		return true
	})
	return nil
}

func (m *memory) NewLoad() (Load, error) { return &memoryLoad{engine: m, tree: newTree()}, nil }

func (m *memory) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memorySnapshot{m.tree.Copy()}
}

func (m *memory) Clear() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tree = newTree()
	return nil
}

func (m *memory) Close() error { return nil }

// memorySnapshot shares its nodes with the engine until that changes them. Reading changes nothing, so that any number of
// goroutines may.
type memorySnapshot struct{ tree *btree.Map[string, []byte] }

func (s *memorySnapshot) Get(key []byte) ([]byte, bool, error) {
	v, ok := s.tree.Get(text(key))
	return v, ok, nil
}

func (s *memorySnapshot) Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	scan(s.tree, lo, hi, reverse, visit)
	return nil
}

func (s *memorySnapshot) Close() error { return nil }

// errOrder is a Load whose keys do not rise.
var errOrder = errors.New("engine: the keys of a load must rise")

// memoryLoad builds a tree beside the engine's.
type memoryLoad struct {
	engine *memory
	tree   *btree.Map[string, []byte]
	last   string
}

func (l *memoryLoad) Set(k, v []byte) error {
	if len(k) == 0 {
		return errEmpty
	}
	if l.tree.Len() > 0 && text(k) <= l.last {
		return errOrder
	}
	l.last = string(k)
	l.tree.Load(l.last, v)
	return nil
}

func (l *memoryLoad) Commit() error {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	l.engine.tree = l.tree
	l.tree = nil
	return nil
}

func (l *memoryLoad) Discard() { l.tree = nil }

// scan visits [lo, hi) of the tree in either order.
func scan(tree *btree.Map[string, []byte], lo, hi []byte, reverse bool, visit func(k, v []byte) bool) {
	if !reverse {
		tree.Ascend(text(lo), func(k string, v []byte) bool {
			return (hi == nil || k < text(hi)) && visit(bytesOf(k), v)
		})
		return
	}
	down := func(k string, v []byte) bool {
		if hi != nil && k >= text(hi) {
			return true
		}
		return k >= text(lo) && visit(bytesOf(k), v)
	}
	if hi == nil {
		tree.Reverse(down)
	} else {
		tree.Descend(text(hi), down)
	}
}
