package front

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/lock"
)

// Locks reports whether there are locks.
func (b *Backend) Locks() bool { return b.locks != nil }

// AcquireLock asks for a lock, as [lock.Service.Acquire] does. It needs [Write] on the entry's key; the refusal names the holder to a
// principal that may read it. repeatKey is the Idempotency-Key of the request, "" if it has none, which stands for the ID.
func (c Caller) AcquireLock(ctx context.Context, r *lock.Request, repeatKey string) (*lock.Held, error) {
	own := *r
	own.ID = ""
	if repeatKey != "" {
		own.ID = lock.IDOf(c.principal.ID, repeatKey)
	}
	if err := own.Check(); err != nil {
		return nil, err
	}
	k := lock.Key(r.Name, own.ID)
	if err := c.enterLock(int64(len(k)+len(r.Owner)), k); err != nil {
		return nil, err
	}
	h, err := c.backend.locks.Acquire(ctx, &own)
	a := c.backend.access
	switch {
	case a == nil:
	case err == nil:
		if err := c.stillWrites(k); err != nil { // it may have waited for long
			_, _ = c.backend.locks.Release(ctx, r.Name, h.ID, h.Fence) // else it ends by its ttl
			return nil, err
		}
	case api.CodeOf(err) == api.CodeConflict && !a.Holds(c.principal, Read, k):
		return nil, &api.Error{Code: api.CodeConflict, Op: "lock", Hint: "the lock is held"}
	}
	return h, err
}

// stillWrites checks the right to write an entry once more, for a request that has entered already.
func (c Caller) stillWrites(k api.Key) error {
	if err := c.backend.access.Check(c.principal); err != nil {
		return err
	}
	return c.backend.access.AllowKey(c.principal, "lock", Write, k)
}

// RenewLock renews a tenure, as [lock.Service.Renew] does. It needs [Write] on the entry's key.
func (c Caller) RenewLock(ctx context.Context, name, id string, fence uint64, ttl time.Duration) (*lock.Held, error) {
	if err := c.enterLock(0, lock.Key(name, id)); err != nil {
		return nil, err
	}
	return c.backend.locks.Renew(ctx, name, id, fence, ttl)
}

// ReleaseLock ends a tenure, as [lock.Service.Release] does. It needs [Write] on the entry's key.
func (c Caller) ReleaseLock(ctx context.Context, name, id string, fence uint64) (bool, error) {
	if err := c.enterLock(0, lock.Key(name, id)); err != nil {
		return false, err
	}
	return c.backend.locks.Release(ctx, name, id, fence)
}

// ShowLock returns the holder of a lock and the clients that wait for it. It needs [List] and [Read] on the lock's directory.
func (c Caller) ShowLock(ctx context.Context, name string) (*lock.State, error) {
	return lock.Show(ctx, c, name)
}

// enterLock lets a request about an entry in and checks the right to write it.
func (c Caller) enterLock(bytes int64, k api.Key) error {
	a := c.backend.access
	if a == nil {
		return nil
	}
	if err := a.Enter(c.principal, bytes); err != nil {
		return err
	}
	return a.AllowKey(c.principal, "lock", Write, k)
}
