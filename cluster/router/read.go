package router

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Read asks the owner of the keys, or all their owners at once. If several answer, the result is not a snapshot. If the
// caller's Group is no longer the owner, Read drops the request for leases and asks the owner.
func (r *Router) Read(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	ctx, cancel := bound(ctx)
	defer cancel()
	began := time.Now()
	defer func() { r.metrics.seconds(time.Since(began).Seconds(), "read") }()
	err := r.read(ctx, q, r.readCall(), out)
	if err == nil && out.ServedBy == api.ServedByStale && q.Consistency == api.Bounded && out.Age > q.MaxStale {
		return tooOld("read", out.Age)
	}
	return err
}

// tooOld refuses an answer that has become older on its way than the caller accepts.
func tooOld(op string, age time.Duration) error {
	return &api.Error{Code: api.CodeUnavailable, Op: op,
		Hint: "the owner of the keys did not answer, and what replicas have may be " + age.Round(time.Millisecond).String() + " old"}
}

// byReplica notes that a replica, asked at that instant, has answered with a state of that age.
func (r *Router) byReplica(c *call, node api.NodeID, asked time.Time, age time.Duration) {
	if node == r.cfg.Self { // none of the time was spent on the way back
		asked = time.Now()
	}
	c.asOf = asked.Add(-age)
}

// readCall returns a call that may be repeated, since reads change nothing.
func (r *Router) readCall() *call {
	c := r.call("read", true)
	c.timeout, c.load, c.age = r.cfg.ReadTimeout, true, words.NewAge()
	return c
}

// read asks as many groups as the keys have owners. It asks again if the owners change meanwhile.
func (r *Router) read(ctx context.Context, q *words.ReadRequest, c *call, out *words.ReadResult) error {
	for known := q.Group != ""; ; known = false {
		m, err := r.placement(ctx, c)
		if err != nil {
			return readError(err)
		}
		var parts []part
		if known {
			parts = []part{{request: forGroup(q, q.Group, c.age)}}
		} else if parts, err = split(m, q, c.age); err != nil {
			return err
		}
		if len(parts) > 1 {
			return r.readParts(ctx, q, parts, out)
		}
		err = r.readOne(ctx, &parts[0].request, c, out)
		if api.CodeOf(err) != api.CodeWrongGroup {
			return readError(c.end(err))
		}
		if known { // this node's map may be newer than the one that named the group
			c.last = err
			continue
		}
		if err := r.relocate(ctx, c, m, err); err != nil {
			return readError(err)
		}
	}
}

// readOne asks the group that q names.
func (r *Router) readOne(ctx context.Context, q *words.ReadRequest, c *call, out *words.ReadResult) error {
	began := time.Now()
	c.send = func(ctx context.Context, node api.NodeID) (err error) {
		asked := time.Now()
		c.asOf = time.Time{}
		if err = r.cfg.Remote(node).Read(ctx, q, out); err == nil && out.ServedBy == api.ServedByStale {
			r.byReplica(c, node, asked, out.Age)
		}
		return err
	}
	if !r.askHere(ctx, c, q.Group, q.Consistency) {
		if err := r.toGroup(ctx, c, q.Group); err != nil {
			return err
		}
	}
	if len(out.Entries) != len(q.Keys) {
		return api.Errorf(api.CodeInternal, "%d entries came for %d keys", len(out.Entries), len(q.Keys))
	}
	if !c.asOf.IsZero() {
		out.Age = time.Since(c.asOf)
	}
	out.Timing.Route = route(began, out.Timing)
	return nil
}

// askHere asks this node first if its own replica of the group may answer a bounded or stale read. It reports whether
// the replica answered.
func (r *Router) askHere(ctx context.Context, c *call, id api.GroupID, level api.Consistency) bool {
	if level != api.Bounded && level != api.Stale {
		return false
	}
	m := r.cfg.Map()
	if m == nil {
		return false
	}
	g, ok := m.Group(id)
	return ok && slices.Contains(g.Voters, r.cfg.Self) && c.send(ctx, r.cfg.Self) == nil
}

// part is the part of a read that goes to one group, and the places of its answers.
type part struct {
	request words.ReadRequest
	at      []int // the keys' places; nil means all of them in order
}

// split divides the keys by owner. A read without an age gets age. Only the group that the caller named keeps the
// request for leases.
func split(m *placement.Map, q *words.ReadRequest, age uint64) ([]part, error) {
	if len(q.Keys) == 1 {
		g, _, ok := m.Locate(q.Keys[0])
		if !ok {
			return nil, unowned(q.Keys[0])
		}
		return []part{{request: forGroup(q, g, age)}}, nil
	}
	groups := make([]api.GroupID, len(q.Keys))
	one := true
	for i, k := range q.Keys {
		g, _, ok := m.Locate(k)
		if !ok {
			return nil, unowned(k)
		}
		groups[i] = g
		one = one && g == groups[0]
	}
	if one {
		return []part{{request: forGroup(q, groups[0], age)}}, nil
	}
	var parts []part
	index := map[api.GroupID]int{}
	for i, g := range groups {
		n, ok := index[g]
		if !ok {
			n = len(parts)
			index[g] = n
			p := part{request: forGroup(q, g, age)}
			p.request.Keys, p.request.Known = nil, nil
			parts = append(parts, p)
		}
		p := &parts[n]
		p.at = append(p.at, i)
		p.request.Keys = append(p.request.Keys, q.Keys[i])
		if len(q.Known) > 0 {
			p.request.Known = append(p.request.Known, q.Known[i])
		}
	}
	return parts, nil
}

func forGroup(q *words.ReadRequest, g api.GroupID, age uint64) words.ReadRequest {
	p := *q
	if p.Age == 0 {
		p.Age = age
	}
	if q.Group != g {
		p.Session = ident.SessionID{}
	}
	p.Group = g
	return p
}

// readParts asks all owners at once. The first error ends the others.
func (r *Router) readParts(ctx context.Context, q *words.ReadRequest, parts []part, out *words.ReadResult) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results, came := make([]words.ReadResult, len(parts)), make([]time.Time, len(parts))
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for i := range parts {
		wg.Go(func() {
			if err := r.readPart(ctx, &parts[i].request, &results[i]); err != nil {
				once.Do(func() { first = err })
				cancel()
				return
			}
			came[i] = time.Now()
		})
	}
	wg.Wait()
	if first != nil {
		return first
	}
	for i := range results {
		if res := &results[i]; res.ServedBy == api.ServedByStale { // the answer has waited for the others
			res.Age += time.Since(came[i])
		}
	}
	merge(q, parts, results, out)
	return nil
}

func (r *Router) readPart(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) (err error) {
	defer r.cfg.Faults.Catch("read", &err)
	return r.read(ctx, q, r.readCall(), out)
}

// merge puts the answers in the order of the request. The result is as weak as the weakest answer, and took as long as
// the longest.
func merge(q *words.ReadRequest, parts []part, results []words.ReadResult, out *words.ReadResult) {
	n := len(q.Keys)
	*out = words.ReadResult{ReadResult: api.ReadResult{Entries: slices.Grow(out.Entries[:0], n)[:n], ServedBy: api.ServedByLease}}
	for i := range results {
		res := &results[i]
		for j, at := range parts[i].at {
			out.Entries[at] = res.Entries[j]
		}
		if len(res.Leases) > 0 {
			if out.Leases == nil {
				out.Leases = make([]ident.LeaseID, n)
			}
			for j, at := range parts[i].at {
				out.Leases[at] = res.Leases[j]
			}
		}
		if len(res.Deadlines) > 0 {
			if out.Deadlines == nil {
				out.Deadlines = make([]uint64, n)
			}
			for j, at := range parts[i].at {
				out.Deadlines[at] = res.Deadlines[j]
			}
		}
		out.ServedBy = words.Weaker(out.ServedBy, res.ServedBy)
		out.Age = max(out.Age, res.Age)
		t := &out.Timing
		t.Route, t.Revoke, t.Commit = max(t.Route, res.Timing.Route), max(t.Revoke, res.Timing.Revoke), max(t.Commit, res.Timing.Commit)
	}
}

// readError returns the error of a read. A read changes nothing, so its outcome is never unknown.
func readError(err error) error {
	if err == nil || api.CodeOf(err) != api.CodeAmbiguous {
		return err
	}
	return &api.Error{Code: api.CodeUnavailable, Op: "read", Hint: "the owner did not answer in time", Err: err}
}
