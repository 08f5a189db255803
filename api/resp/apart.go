package resp

import (
	"sync/atomic"
	"time"
)

const (
	// failedFor is how long commands are carried out one by one after several together have failed, and refusedFor the same after a
	// refusal that asks for it.
	failedFor  = 10 * time.Second
	refusedFor = time.Second
	// scatteredFor is how long writes are carried out one by one after several together were found to belong to several groups.
	scatteredFor = 10 * time.Minute
)

// apart remembers, of each database, until when its commands are carried out one by one: so that one that cannot be carried out does
// not take others with it, again and again, and so that writes do not become transactions across groups. It is safe for concurrent
// use.
type apart struct {
	all, writing [Databases]atomic.Int64 // in Unix nanoseconds; 0: they are not
}

func (a *apart) reads(db int) bool { return pending(&a.all[db]) }

func (a *apart) writes(db int) bool { return pending(&a.all[db]) || pending(&a.writing[db]) }

func pending(until *atomic.Int64) bool {
	at := until.Load()
	return at != 0 && time.Now().UnixNano() < at
}

// failed notes that commands of the database have failed together, and are carried out one by one for a while.
func (a *apart) failed(db int, d time.Duration) { a.all[db].Store(time.Now().Add(d).UnixNano()) }

// scattered notes that keys of the database belong to several groups.
func (a *apart) scattered(db int) { a.writing[db].Store(time.Now().Add(scatteredFor).UnixNano()) }
