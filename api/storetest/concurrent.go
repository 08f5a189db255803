package storetest

import (
	"context"
	"strconv"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// concurrentCounter increments a counter with compare-and-set from many goroutines. No increment may be lost.
func (u *suite) concurrentCounter() {
	const workers, each = 4, 10
	k := u.key("counter")
	u.put(k, "0")
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for done := 0; done < each; {
				ok, err := u.increment(k)
				if err != nil {
					u.Error(err)
					return
				}
				if ok {
					done++
				}
			}
		})
	}
	wg.Wait()
	u.wantValue(k, strconv.Itoa(workers*each))
}

// increment adds one. It returns false if another goroutine changed the counter first.
func (u *suite) increment(k api.Key) (bool, error) {
	res, err := Read(u.ctx, u.store, &api.ReadRequest{Keys: []api.Key{k}})
	if err != nil {
		return false, err
	}
	e := res.Entries[0]
	n, err := strconv.Atoi(string(e.Value))
	if err != nil {
		return false, err
	}
	t := putTxn(k, strconv.Itoa(n+1), api.Cond{Kind: api.CondVersion, Key: k, Version: e.Version})
	t.ID = u.nextID()
	done, err := u.store.Do(u.ctx, t)
	if err != nil {
		return false, err
	}
	return done.Committed, nil
}

// concurrentReaders checks that linearizable reads never go back: a read is never older than what the same reader has seen
// before, and it sees every write that returned before it began. The number of reads beside each write is fixed. If time is
// virtual and reads take none of it, a reader that reads until the write is done would never let the write finish.
func (u *suite) concurrentReaders() {
	const writes, readers, reads = 20, 3, 5
	k := u.key("monotone")
	acknowledged := u.put(k, "0")
	last := [readers]api.Version{}
	for i := range writes {
		var wg sync.WaitGroup
		for r := range readers {
			wg.Go(func() {
				for range reads {
					last[r] = u.readAtLeast(k, last[r], acknowledged)
				}
			})
		}
		written := make(chan api.Version, 1)
		wg.Go(func() { written <- u.putOrError(k, strconv.Itoa(i)) })
		wg.Wait()
		if u.Failed() {
			return
		}
		acknowledged = <-written
	}
}

// readAtLeast reads k. Its version must not be below any of floors.
func (u *suite) readAtLeast(k api.Key, floors ...api.Version) api.Version {
	res, err := Read(u.ctx, u.store, &api.ReadRequest{Keys: []api.Key{k}})
	if err != nil {
		u.Errorf("read: %v", err)
		return api.Version{}
	}
	v := res.Entries[0].Version
	for _, f := range floors {
		if v.Compare(f) < 0 {
			u.Errorf("read version %v after version %v was seen or acknowledged", v, f)
		}
	}
	return v
}

func (u *suite) putOrError(k api.Key, value string) api.Version {
	res, err := u.store.Do(u.ctx, putTxn(k, value))
	if err != nil {
		u.Errorf("put: %v", err)
		return api.Version{}
	}
	return res.Entries[0].Version
}

// cancelled checks that a call whose context has ended returns, and that its error says correctly whether it took effect.
func (u *suite) cancelled() {
	ctx, cancel := context.WithCancel(u.ctx)
	cancel()
	k := u.key("cancelled")
	res, err := u.store.Do(ctx, putTxn(k, "x"))
	switch e := u.read(k); {
	case err == nil && !e.Exists:
		u.Errorf("acknowledged (%+v) and not there", res)
	case err != nil && e.Exists && api.CodeOf(err) != api.CodeAmbiguous:
		u.Errorf("reported as not applied (%v) and there", err)
	}
	if r, err := Read(ctx, u.store, &api.ReadRequest{Keys: []api.Key{u.key("other")}}); err == nil && len(r.Entries) != 1 {
		u.Errorf("read gave %+v", r)
	} else if api.CodeOf(err) == api.CodeAmbiguous {
		u.Errorf("a read cannot be ambiguous: %v", err)
	}
}
