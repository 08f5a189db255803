package resp

import "sync/atomic"

// memory is what the connections of a server may keep, beyond their first buffers, of what clients send. It is safe for concurrent
// use.
type memory struct {
	limit int64
	used  atomic.Int64
}

// take reports whether there are n more bytes, and takes them. A negative n gives them back.
func (m *memory) take(n int64) bool {
	if m.used.Add(n) > m.limit && n > 0 {
		m.used.Add(-n)
		return false
	}
	return true
}

func (m *memory) give(n int64) { m.used.Add(-n) }
