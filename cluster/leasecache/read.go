package leasecache

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// Read answers from leases held here if it can, and asks the Store behind for the rest.
//
// A lease serves a linearizable read only in this order: the entry is looked up, then the clock is read, then the entry
// is found still cached and its session's term still running at that sample. The sample lies between call and return.
// It is the instant at which the answer was current. If all keys are served so, they are a snapshot at that instant.
// Entries whose session has lapsed may also serve Bounded and Stale reads. The answer's Age is then the time since the
// oldest of them was last known to be current. Quorum reads pass through. If the owner is needed and cannot be reached,
// the error is CodeUnavailable. A read that leases serve allocates nothing.
func (c *Cache) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	if err := r.Check(); err != nil {
		return err
	}
	if c.closed.Load() {
		return errClosed("read")
	}
	if r.Consistency == api.Quorum {
		return c.pass(ctx, r, out)
	}
	dice := rand.Uint32()
	began := c.meter.timing.begin(dice)
	n := len(r.Keys)
	*out = api.ReadResult{Entries: slices.Grow(out.Entries[:0], n)[:n]}
	var few [batch]*entry
	found := few[:]
	if n > batch {
		found = make([]*entry, n)
	}
	found = found[:n]
	c.lookup(r.Keys, found)
	now := c.cfg.Clock.Now() // after the read arrived and after the entries were found
	got := c.serve(r, found, now, out)
	c.meter.servedAt(dice/timedOne, got)
	if got.missing == 0 {
		if !began.IsZero() {
			c.meter.timing.of(got).end(began)
		}
		if r.Snapshot {
			out.Timing.Mode = modeLeases
		}
		return nil
	}
	asks := c.plan(r, found, now, out)
	if r.Snapshot && !allWished(asks) {
		return c.pass(ctx, r, out)
	}
	err := c.fetch(ctx, r, slices.Clone(found), asks, got, out)
	if err != nil || !r.Snapshot || out.Snapshot || c.leasedAtOnce(r, out) {
		return err
	}
	return c.pass(ctx, r, out)
}

// ReadLeased returns the entry of the key and its owner if a lease held here answers a linearizable read of it at this instant: see
// [Cache.Read] for the order that makes it so. Otherwise ok is false, and nothing was done. It neither blocks nor allocates.
func (c *Cache) ReadLeased(k api.Key) (e api.Entry, owner api.GroupID, ok bool) {
	if c.closed.Load() {
		return e, "", false
	}
	dice := rand.Uint32()
	began := c.meter.timing.begin(dice)
	en := c.entries.get(c.entries.hasher.hash(k), k)
	now := c.cfg.Clock.Now() // after the read arrived and after the entry was found
	if en == nil || !en.servable(now) {
		return e, "", false
	}
	en.touch()
	en.answer(k, now, &e)
	c.meter.servedAt(dice/timedOne, keysServed{leased: 1})
	if !began.IsZero() {
		c.meter.timing.leased.end(began)
	}
	return e, en.session.group.id, true
}

// allWished reports whether leases are requested on all missing keys. Leases may then answer a snapshot. Some keys are
// not worth a lease, since they are new here or often written. With such keys, the Store behind makes the snapshot from
// all the keys, including those leased here: it can keep transactions off them while it reads.
func allWished(asks []*ask) bool {
	return !slices.ContainsFunc(asks, func(a *ask) bool { return a.session == nil })
}

// leasedAtOnce answers the whole read by leases, judged at one clock sample. If it cannot, it leaves out unchanged.
func (c *Cache) leasedAtOnce(r *api.ReadRequest, out *api.ReadResult) bool {
	found := make([]*entry, len(r.Keys))
	c.lookup(r.Keys, found)
	now := c.cfg.Clock.Now()
	for _, en := range found {
		if en == nil || !en.servable(now) {
			return false
		}
	}
	out.ServedBy, out.Snapshot, out.Timing.Mode = api.ServedByLease, true, modeLeases
	for i, en := range found {
		en.touch()
		en.answer(r.Keys[i], now, &out.Entries[i])
		leaveOutKnown(r, i, &out.Entries[i])
		out.Group = commonGroup(out.Group, en.session.group.id, i == 0)
	}
	c.meter.served(keysServed{leased: len(found)})
	return true
}

// modeLeases is the mode, in Timing, of a read-only transaction that leases answer.
const modeLeases = "m0"

// batch is how many keys are looked up without allocating.
const batch = 64

func (c *Cache) lookup(keys []api.Key, found []*entry) {
	for i, k := range keys {
		found[i] = c.entries.get(c.entries.hasher.hash(k), k)
	}
}

// keysServed counts how a read's keys were served so far.
type keysServed struct{ leased, stale, missing int }

// serve answers what the found entries can answer at the sample. A missing key's place in out stays without a Key.
func (c *Cache) serve(r *api.ReadRequest, found []*entry, now words.ClockSample, out *api.ReadResult) (got keysServed) {
	out.ServedBy, out.Snapshot = api.ServedByLease, true
	for i, en := range found {
		switch {
		case en == nil:
			out.Entries[i] = api.Entry{}
			got.missing++
			continue
		case en.servable(now):
			en.touch()
			got.leased++
		case r.Consistency != api.Linearizable && staleWill(r, en, now):
			serveStale(en, now, out)
			got.stale++
		default:
			out.Entries[i] = api.Entry{}
			got.missing++
			continue
		}
		en.answer(r.Keys[i], now, &out.Entries[i])
		leaveOutKnown(r, i, &out.Entries[i])
		out.Group = commonGroup(out.Group, en.session.group.id, got.leased+got.stale == 1)
	}
	return got
}

// staleWill reports whether a lapsed entry answers the bounded or stale read without asking the owner. An entry whose
// session has ended will never be current again by itself. If the group can be reached, the owner is asked, and the
// entry answers only if that fails.
func staleWill(r *api.ReadRequest, en *entry, now words.ClockSample) bool {
	if !staleMay(r, en, now) {
		return false
	}
	s := en.session.group.live()
	return r.Consistency == api.Bounded || s == nil || s == en.session || !s.usable(now)
}

// staleMay reports whether the entry is young enough for the read. An entry that is gone was written, at a time that is
// not known here. An overdue one may be absent by now.
func staleMay(r *api.ReadRequest, en *entry, now words.ClockSample) bool {
	return !en.gone.Load() && !en.overdue(now) && (r.Consistency == api.Stale || r.Consistency == api.Bounded && en.age(now) <= r.MaxStale)
}

// serveStale notes in out that an answer is as old as the entry.
func serveStale(en *entry, now words.ClockSample, out *api.ReadResult) {
	if f := en.freq.Load(); f < maxFreq {
		en.freq.Store(f + 1)
	}
	out.ServedBy, out.Snapshot = api.ServedByStale, false
	out.Age = max(out.Age, en.age(now))
}

// leaveOutKnown leaves out a value whose version the caller knows.
func leaveOutKnown(r *api.ReadRequest, i int, en *api.Entry) {
	if len(r.Known) != 0 && en.Exists && r.Known[i] == en.Version {
		en.Value, en.Unchanged = nil, true
	}
}

// commonGroup returns the group of all entries so far, or "" if they belong to several.
func commonGroup(all, one api.GroupID, first bool) api.GroupID {
	if first || all == one {
		return one
	}
	return ""
}

// pass asks only the Store behind.
func (c *Cache) pass(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	x := &struct {
		request words.ReadRequest
		out     words.ReadResult
	}{words.ReadRequest{ReadRequest: *r}, words.ReadResult{ReadResult: *out}}
	err := c.cfg.Store.Read(ctx, &x.request, &x.out)
	if err != nil {
		return readError(err)
	}
	if n := len(x.out.Entries); n != len(r.Keys) {
		return mismatch(len(r.Keys), n)
	}
	*out = x.out.ReadResult
	for i := range out.Entries {
		leaveOutKnown(r, i, &out.Entries[i])
	}
	c.meter.owner.Add(uint64(len(out.Entries)))
	return nil
}

// List passes the request on: ranges are not leased.
func (c *Cache) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	if c.closed.Load() {
		return nil, errClosed("list")
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	res, err := c.cfg.Lister.List(ctx, &words.ListRequest{ListRequest: *r})
	if err != nil {
		return nil, err
	}
	return &res.ListResult, nil
}
