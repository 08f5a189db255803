package group

import (
	"hash/maphash"
	"time"

	"github.com/edgehold/edgehold/api"
)

// coolDowns remembers which keys were written a short while ago. A lease on such a key would probably be revoked
// before it has paid. coolDowns decides only whether a lease is worth granting, never whether it is safe, so it may
// forget keys. Its size is bounded, and it stores keys by hash.
//
// A key is in recent or in older. Once recent has been filled for a cool-down, or is full, it becomes older.
type coolDowns struct {
	after         time.Duration // if at most 0, keys do not cool down
	seed          maphash.Seed
	recent, older map[uint64]time.Time // when the key was last written
	since         time.Time            // when recent was started
}

// maxCoolDowns bounds the keys in recent, and separately those in older.
const maxCoolDowns = 1 << 15

func newCoolDowns(after time.Duration) *coolDowns {
	return &coolDowns{after: after, seed: maphash.MakeSeed(), recent: map[uint64]time.Time{}, older: map[uint64]time.Time{}}
}

// wrote starts the cool-down of a key that was written now.
func (c *coolDowns) wrote(k api.Key, now time.Time) {
	if c.after <= 0 {
		return
	}
	if now.Sub(c.since) >= c.after || len(c.recent) >= maxCoolDowns {
		clear(c.older)
		c.recent, c.older, c.since = c.older, c.recent, now
	}
	c.recent[maphash.String(c.seed, string(k))] = now
}

// over reports whether no cool-down of the key is running.
func (c *coolDowns) over(k api.Key, now time.Time) bool {
	if c.after <= 0 {
		return true
	}
	hash := maphash.String(c.seed, string(k))
	written, ok := c.recent[hash]
	if !ok {
		written, ok = c.older[hash]
	}
	return !ok || now.Sub(written) >= c.after
}
