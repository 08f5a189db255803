package engine

import (
	"errors"
	"sync"
	"unsafe"
)

// memory keeps the keyspace in a B-tree whose nodes are copied on write, once for each snapshot that shares them.
type memory struct {
	mu   sync.RWMutex
	tree *tree // guarded by mu

	batch *changes // of the one batch that there may be
}

// NewMemory returns an empty engine that is gone when the process ends. Close does nothing.
func NewMemory() Engine { return &memory{tree: newTree(), batch: newBatchChanges()} }

// text is b as a string without a copy, for lookups that do not keep it.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf is s as bytes without a copy, for visitors that must not change it.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func (m *memory) Get(key []byte) ([]byte, bool, error) {
	m.mu.RLock()
	r, ok := m.tree.Get(look(text(key)))
	m.mu.RUnlock()
	return r.data(), ok, nil
}

func (m *memory) Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	scan(m.tree, lo, hi, reverse, visit)
	return nil
}

func (m *memory) NewBatch() Batch { return &overlay{below: m, changes: m.batch, commit: m.commit} }

func (m *memory) commit(cs *changes) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	cs.order() // neighbours in the tree are in the processor's cache
	cs.ordered.Scan(func(k string, c *change) bool {
		if c.deleted {
			m.tree.Delete(look(k))
		} else {
			m.tree.Set(newRow(k, c.value))
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
type memorySnapshot struct{ tree *tree }

func (s *memorySnapshot) Get(key []byte) ([]byte, bool, error) {
	r, ok := s.tree.Get(look(text(key)))
	return r.data(), ok, nil
}

func (s *memorySnapshot) Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	scan(s.tree, lo, hi, reverse, visit)
	return nil
}

func (s *memorySnapshot) Close() error { return nil }

// errOrder is a Load whose keys do not rise.
var errOrder = errors.New("engine: the keys of a load must be in ascending order")

// memoryLoad builds a tree beside the engine's.
type memoryLoad struct {
	engine *memory
	tree   *tree
	last   string // the key of the newest row, which it shares
}

func (l *memoryLoad) Set(k, v []byte) error {
	if len(k) == 0 {
		return errEmpty
	}
	if l.tree.Len() > 0 && text(k) <= l.last {
		return errOrder
	}
	r := newRow(text(k), v)
	l.last = r.name()
	l.tree.Load(r)
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
func scan(t *tree, lo, hi []byte, reverse bool, visit func(k, v []byte) bool) {
	if !reverse {
		t.Ascend(look(text(lo)), func(r row) bool {
			k := r.name()
			return (hi == nil || k < text(hi)) && visit(bytesOf(k), r.data())
		})
		return
	}
	down := func(r row) bool {
		k := r.name()
		if hi != nil && k >= text(hi) {
			return true
		}
		return k >= text(lo) && visit(bytesOf(k), r.data())
	}
	if hi == nil {
		t.Reverse(down)
	} else {
		t.Descend(look(text(hi)), down)
	}
}
