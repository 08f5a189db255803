package cluster

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// memo finds the metric of a set of label values again without the library's hashing and locking. It is bounded: sets
// beyond its limit are looked up in the library each time. Safe for concurrent use.
type memo[M any] struct {
	find func(values ...string) M // the library's own way; values are valid UTF-8

	known atomic.Pointer[map[[memoLabels]string]M] // never changed, only replaced
	mu    sync.Mutex                               // held to replace it
}

const (
	memoLabels = 2
	memoLimit  = 64
)

// of returns the metric of the values, which are as many as the metric has labels.
func (m *memo[M]) of(values []string) M {
	if len(values) > memoLabels {
		return m.find(clean(values)...)
	}
	var key [memoLabels]string
	copy(key[:], values)
	if known := m.known.Load(); known != nil {
		if found, ok := (*known)[key]; ok {
			return found
		}
	}
	found := m.find(clean(values)...)
	m.keep(key, found)
	return found
}

func (m *memo[M]) keep(key [memoLabels]string, found M) {
	m.mu.Lock()
	defer m.mu.Unlock()
	more := make(map[[memoLabels]string]M)
	if known := m.known.Load(); known != nil {
		if len(*known) >= memoLimit {
			return
		}
		maps.Copy(more, *known)
	}
	for i, v := range key {
		key[i] = strings.Clone(v) // it may be a part of something larger
	}
	more[key] = found
	m.known.Store(&more)
}

// clean makes label values valid UTF-8, which the library demands with a panic.
func clean(values []string) []string {
	values = slices.Clone(values)
	for i, v := range values {
		values[i] = strings.ToValidUTF8(v, "?")
	}
	return values
}
