package logstore

import (
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// Cache keeps the newest entries of a log in memory, up to a number of bytes, so that followers which keep up cost no
// reads. Raft's own cache is bounded by the number of entries only, and under load an entry has hundreds of KiB. It is safe
// for concurrent use.
type Cache struct {
	Log
	limit int

	mu      sync.RWMutex
	first   uint64     // index of entries[0]
	entries []raft.Log // consecutive; copies, since Raft's own refer to the results of their proposers
	bytes   int
}

// NewCache returns a cache of up to limit bytes of the log's newest entries.
func NewCache(limit int, log Log) *Cache {
	return &Cache{Log: log, limit: limit}
}

func (c *Cache) GetLog(index uint64, log *raft.Log) error {
	c.mu.RLock()
	if index >= c.first && index-c.first < uint64(len(c.entries)) {
		*log = c.entries[index-c.first]
		c.mu.RUnlock()
		return nil
	}
	c.mu.RUnlock()
	return c.Log.GetLog(index, log)
}

func (c *Cache) StoreLog(log *raft.Log) error { return c.StoreLogs([]*raft.Log{log}) }

// StoreLogs caches the entries once they are durable.
func (c *Cache) StoreLogs(logs []*raft.Log) error {
	if err := c.Log.StoreLogs(logs); err != nil {
		c.clear()
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range logs {
		if l.Index != c.first+uint64(len(c.entries)) {
			c.first, c.entries, c.bytes = l.Index, nil, 0
		}
		c.entries = append(c.entries, *l)
		c.bytes += cost(l)
	}
	c.evict()
	return nil
}

func (c *Cache) evict() {
	n := 0
	for ; n < len(c.entries) && c.bytes > c.limit; n++ {
		c.bytes -= cost(&c.entries[n])
		c.entries[n] = raft.Log{}
	}
	c.entries = c.entries[n:]
	c.first += uint64(n)
}

// DeleteRange drops the entries from the cache before it deletes them. A truncation behind a snapshot keeps the newest ones.
func (c *Cache) DeleteRange(low, high uint64) error {
	c.mu.Lock()
	if end := c.first + uint64(len(c.entries)); low < end && high >= c.first {
		if high+1 < end && low <= c.first {
			gone := c.entries[:high+1-c.first]
			for i := range gone {
				c.bytes -= cost(&gone[i])
			}
			c.entries = slices.Clone(c.entries[len(gone):])
			c.first = high + 1
		} else {
			c.first, c.entries, c.bytes = 0, nil, 0
		}
	}
	c.mu.Unlock()
	return c.Log.DeleteRange(low, high)
}

func (c *Cache) clear() {
	c.mu.Lock()
	c.first, c.entries, c.bytes = 0, nil, 0
	c.mu.Unlock()
}

// cost is roughly how many bytes of memory an entry takes.
func cost(l *raft.Log) int { return len(l.Data) + len(l.Extensions) + 128 }
