package resp

import (
	"sync"
	"sync/atomic"
)

// memory is what the connections of a server may keep of one kind, beyond small buffers, and what each principal keeps. A principal may
// take as much as it then leaves free: half of it alone, and a third each if two do. So no principal keeps the others out. It is safe for
// concurrent use.
type memory struct {
	limit int64
	used  atomic.Int64 // changed under mu

	mu sync.Mutex
	of map[string]int64 // guarded by mu: by principal
}

// account is what one connection has taken of a memory, under the name of its principal. It belongs to the connection's goroutine, but
// for empty.
type account struct {
	memory *memory
	who    string // guarded by memory.mu, as is held
	held   int64
}

// take reports whether there are n more bytes for the principal, and takes them. A negative n gives them back.
func (a *account) take(n int64) bool {
	if n == 0 {
		return true
	}
	m := a.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > 0 && m.of[a.who]+n > m.limit-m.used.Load()-n {
		return false
	}
	a.add(n)
	return true
}

// add changes what the connection has. The caller holds memory.mu.
func (a *account) add(n int64) {
	m := a.memory
	if m.of == nil {
		m.of = map[string]int64{}
	}
	a.held += n
	m.used.Add(n)
	if m.of[a.who] += n; m.of[a.who] == 0 {
		delete(m.of, a.who)
	}
}

func (a *account) give(n int64) { a.take(-n) }

// empty gives back all that the connection has.
func (a *account) empty() {
	a.memory.mu.Lock()
	defer a.memory.mu.Unlock()
	a.add(-a.held)
}

// become makes what the connection has the principal's.
func (a *account) become(who string) {
	a.memory.mu.Lock()
	defer a.memory.mu.Unlock()
	n := a.held
	a.add(-n)
	a.who = who
	a.add(n)
}

// ofAll returns what the principal of the account has at all its connections.
func (a *account) ofAll() int64 {
	a.memory.mu.Lock()
	defer a.memory.mu.Unlock()
	return a.memory.of[a.who]
}
