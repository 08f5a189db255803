package leasecache

import (
	"context"
	"errors"
	"math"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// ask is one read of the Store behind: some of the missing keys, with or without a request for leases of one session.
type ask struct {
	session *session // nil: no leases are requested
	at      []int    // the keys' places in the request
	res     *api.ReadResult
	err     error
}

// fetch carries out the asks for the missing keys, all at once.
func (c *Cache) fetch(ctx context.Context, r *api.ReadRequest, found []*entry, asks []*ask, got keysServed, out *api.ReadResult) error {
	var others sync.WaitGroup
	for _, a := range asks[1:] {
		others.Go(func() { c.carryOut(ctx, r, found, a) })
	}
	c.carryOut(ctx, r, found, asks[0])
	others.Wait()
	first := got.leased+got.stale == 0
	for _, a := range asks {
		if a.err == nil {
			c.fill(r, a, out, first)
		} else if err := c.fallBack(r, found, a, out, first); err != nil {
			return err
		}
		first = false
	}
	out.Snapshot = c.isSnapshot(asks, found, got)
	return nil
}

// plan counts the reads of the missing keys and groups the keys by ask: one ask for keys that are not worth a lease,
// and one for each group with keys that are.
func (c *Cache) plan(r *api.ReadRequest, found []*entry, now words.ClockSample, out *api.ReadResult) []*ask {
	var asks []*ask
	for i, k := range r.Keys {
		if out.Entries[i].Key != "" {
			continue
		}
		s := c.wish(k, found[i], now)
		var a *ask
		for _, b := range asks {
			if b.session == s {
				a = b
			}
		}
		if a == nil {
			a = &ask{session: s}
			asks = append(asks, a)
		}
		a.at = append(a.at, i)
	}
	return asks
}

// wish counts a read of a key that no lease here answers. It returns the session for which to request a lease now, or
// nil. A key whose session has lapsed requests none, since its lease still stands. A key whose session has died
// requests one at once.
func (c *Cache) wish(k api.Key, en *entry, now words.ClockSample) *session {
	hash := c.entries.hasher.hash(k)
	sh := c.entries.shard(hash)
	sh.mu.Lock()
	worth := sh.stats.read(hash, now)
	sh.mu.Unlock()
	id, ok := c.cfg.Locate(k)
	if !ok {
		return nil
	}
	g := c.meet(id)
	if g == nil {
		return nil
	}
	s := g.live()
	if s == nil || !s.usable(now) {
		return nil
	}
	if en != nil && !en.gone.Load() {
		worth = en.session != s
	}
	if !worth {
		return nil
	}
	return s
}

// carryOut sets the ask's result or error.
func (c *Cache) carryOut(ctx context.Context, r *api.ReadRequest, found []*entry, a *ask) {
	defer c.cfg.Faults.Catch("read", &a.err)
	if a.session != nil && len(a.at) == 1 {
		a.res, a.err = c.share(ctx, r.Keys[a.at[0]], found[a.at[0]], a.session)
	} else {
		a.res, a.err = c.send(ctx, r, found, a)
	}
}

// send reads from the Store behind, and installs what was granted. Its result contains every value that the caller does
// not know.
func (c *Cache) send(ctx context.Context, r *api.ReadRequest, found []*entry, a *ask) (*api.ReadResult, error) {
	wished := a.session != nil // the whole value is needed: it will be cached, and other readers may share it
	got := new(words.ReadResult)
	err := c.cfg.Store.Read(ctx, request(r, found, a, !wished), got)
	if wished && (errors.Is(err, api.CodeSessionDead) || errors.Is(err, api.CodeWrongGroup)) {
		// The requested lease was for a session or an owner that no longer exists. The read itself can still be
		// answered.
		if errors.Is(err, api.CodeSessionDead) {
			a.session.group.died(a.session, c.cfg.Clock.Now())
		}
		a.session = nil
		err = c.cfg.Store.Read(ctx, request(r, found, a, !wished), got)
	}
	if err != nil {
		return nil, readError(err)
	}
	if len(got.Entries) != len(a.at) {
		return nil, mismatch(len(a.at), len(got.Entries))
	}
	now := c.cfg.Clock.Now()
	for j, i := range a.at {
		en := &got.Entries[j]
		en.Key = r.Keys[i]
		if old := found[i]; en.Unchanged && old != nil && old.version == en.Version {
			en.Value, en.Exists, en.Unchanged = old.value, old.exists, false
		}
		deadline := got.Deadline(j)
		if old := found[i]; old != nil && old.version == en.Version && old.session.group.id == got.Group {
			old.touched(deadline)
		}
		c.settle(a.session, got.Group, en, got.Lease(j), deadline, now)
	}
	return &got.ReadResult, nil
}

// settle installs the entry if a lease was granted with it. Otherwise a lease is requested again some reads later.
func (c *Cache) settle(s *session, owner api.GroupID, en *api.Entry, lid ident.LeaseID, deadline uint64, now words.ClockSample) {
	switch {
	case s == nil:
	case lid == 0:
		c.entries.refused(en.Key, now)
		c.meter.grants[refusedGrant].Add(1)
	case en.Unchanged || owner != s.group.id: // without a value, or answered by several owners: of no use here
		c.entries.decline(s, en.Key, lid, now)
		c.meter.grants[declined].Add(1)
	default:
		c.meter.grants[c.entries.install(s, *en, lid, deadline, now)].Add(1)
	}
}

// noVersion is a version that no entry has.
var noVersion = api.Version{Epoch: math.MaxUint64, Index: math.MaxUint64}

// request returns the read to send for an ask. It names the versions of entries that are still here, so that equal
// values are not sent again. It names versions that only the caller knows if the answer is for the caller alone.
func request(r *api.ReadRequest, found []*entry, a *ask, alone bool) *words.ReadRequest {
	req := &words.ReadRequest{ReadRequest: api.ReadRequest{
		Keys: make([]api.Key, len(a.at)), Consistency: r.Consistency, MaxStale: r.MaxStale,
	}}
	if a.session != nil {
		req.Consistency, req.MaxStale = api.Linearizable, 0
		req.Group, req.Session = a.session.group.id, a.session.id
	}
	knows := false
	known := make([]api.Version, len(a.at))
	for j, i := range a.at {
		req.Keys[j] = r.Keys[i]
		switch {
		case found[i] != nil:
			known[j], knows = found[i].version, true
		case alone && len(r.Known) != 0:
			known[j], knows = r.Known[i], true
		default:
			known[j] = noVersion
		}
	}
	if knows {
		req.Known = known
	}
	return req
}

// fill puts an ask's answer into the result.
func (c *Cache) fill(r *api.ReadRequest, a *ask, out *api.ReadResult, first bool) {
	for j, i := range a.at {
		out.Entries[i] = a.res.Entries[j]
		leaveOutKnown(r, i, &out.Entries[i])
	}
	if a.res.ServedBy == api.ServedByOwner {
		c.meter.owner.Add(uint64(len(a.at)))
	}
	if first {
		out.ServedBy, out.Group = a.res.ServedBy, a.res.Group
	} else {
		out.ServedBy = words.Weaker(out.ServedBy, a.res.ServedBy)
		out.Group = commonGroup(out.Group, a.res.Group, false)
	}
	out.Age = max(out.Age, a.res.Age)
	if t := a.res.Timing; t.Route+t.Commit+t.Revoke >= out.Timing.Route+out.Timing.Commit+out.Timing.Revoke {
		out.Timing = t // of several concurrent asks, the longest is the time that the caller waited
	}
}

// fallBack answers a bounded or stale read whose owner did not answer. It uses entries that are young enough.
func (c *Cache) fallBack(r *api.ReadRequest, found []*entry, a *ask, out *api.ReadResult, first bool) error {
	now := c.cfg.Clock.Now()
	for _, i := range a.at {
		if en := found[i]; en == nil || !staleMay(r, en, now) {
			return a.err
		}
	}
	for _, i := range a.at {
		serveStale(found[i], now, out)
		found[i].answer(r.Keys[i], now, &out.Entries[i])
		leaveOutKnown(r, i, &out.Entries[i])
		out.Group = commonGroup(out.Group, found[i].session.group.id, first)
		first = false
	}
	c.meter.served(keysServed{stale: len(a.at)})
	return nil
}

// isSnapshot reports whether all entries were current at one instant. The owner's answer is a snapshot. The leases here
// that served entries before that answer was requested still served them after it came, so those entries were current
// all the while.
func (c *Cache) isSnapshot(asks []*ask, found []*entry, got keysServed) bool {
	if len(asks) != 1 || asks[0].err != nil || got.stale != 0 || !asks[0].res.Snapshot {
		return false
	}
	if got.leased == 0 {
		return true
	}
	asked := make(map[int]bool, len(asks[0].at))
	for _, i := range asks[0].at {
		asked[i] = true
	}
	now := c.cfg.Clock.Now()
	for i, en := range found {
		if !asked[i] && !en.servable(now) {
			return false
		}
	}
	return true
}

func mismatch(keys, entries int) error {
	return api.Errorf(api.CodeInternal, "read of %d keys was answered with %d entries", keys, entries)
}

// readError returns the error of a read. A read that the caller's context ended was not answered in time, which is
// CodeUnavailable.
func readError(err error) error {
	if _, ok := errors.AsType[*api.Error](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &api.Error{Code: api.CodeUnavailable, Op: "read", Hint: "the owner did not answer in time", Err: err}
	}
	return api.AsError(err)
}
