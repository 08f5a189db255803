package txn

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// snapshotRounds is how often keys are read twice before they are locked instead.
const snapshotRounds = 3

// Read passes through, but where a snapshot over several groups is asked for.
//
// Such keys are read twice. The second round begins when all of the first has ended: where no version has changed, every
// entry was current at every instant between the two. A key that a transaction holds is not read before that is resolved, so
// that no half of one is seen. The owners keep the read's turn between the rounds: younger transactions are kept off the keys,
// and from the third round on younger single writes as well. If all that does not help, the keys are read as a transaction that
// locks them.
func (c *Coordinator) Read(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
	if !q.Snapshot {
		return c.cfg.Store.Read(ctx, q)
	}
	if err := q.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := bound(ctx)
	defer cancel()
	began := time.Now()
	own := *q
	if own.Age == 0 {
		own.Age = words.NewAge()
	}
	if own.Hold == api.HoldNone {
		if several, err := c.several(ctx, q.Keys); err == nil && several {
			own.Hold = api.HoldRound
		}
	}
	res, mode, err := c.snapshot(ctx, &own)
	c.metrics.done(mode, err, time.Since(began))
	return res, err
}

func (c *Coordinator) snapshot(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, string, error) {
	first, err := c.cfg.Store.Read(ctx, q)
	if err != nil || first.Snapshot {
		return first, "read1", err
	}
	for range snapshotRounds {
		again := *q
		again.Known = versions(first.Entries)
		second, err := c.cfg.Store.Read(ctx, &again)
		if err != nil || second.Snapshot {
			return filled(second, first), "read2", err
		}
		if same(first.Entries, second.Entries) {
			second = filled(second, first)
			second.Snapshot = true
			return second, "read2", nil
		}
		first = filled(second, first)
		q.Hold |= api.HoldFirm
	}
	res, err := c.locked(ctx, q)
	return res, "readlock", err
}

func versions(entries []api.Entry) []api.Version {
	vs := make([]api.Version, len(entries))
	for i := range entries {
		vs[i] = entries[i].Version
	}
	return vs
}

// same tells whether nothing has changed between two reads.
func same(a, b []api.Entry) bool {
	for i := range a {
		if a[i].Version != b[i].Version || a[i].Exists != b[i].Exists {
			return false
		}
	}
	return true
}

// filled puts the values in that were left out because the first read had them.
func filled(res, known *api.ReadResult) *api.ReadResult {
	if res == nil {
		return nil
	}
	for i := range res.Entries {
		if e := &res.Entries[i]; e.Unchanged {
			e.Value, e.Unchanged = known.Entries[i].Value, known.Entries[i].Unchanged
		}
	}
	return res
}

// locked reads the keys as a transaction: at its instant, all of them are locked.
func (c *Coordinator) locked(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
	t := &api.Txn{}
	for _, k := range q.Keys {
		t.Then = append(t.Then, api.Op{Kind: api.OpGet, Key: k})
	}
	r := c.begin(t)
	defer r.end()
	r.age = q.Age // which is a gateway's own: the turns that the rounds have kept are known by it
	for {
		if err := ctx.Err(); err != nil {
			return nil, r.timeUp(err)
		}
		out := r.attempt(ctx, &branch{held: true, ops: t.Then})
		switch {
		case out.again != "":
			r.pause(ctx, out.again)
		case out.err != nil:
			return nil, notApplied(out.err)
		default:
			return &api.ReadResult{Entries: out.res.Entries, Snapshot: true, Timing: out.res.Timing}, nil
		}
	}
}
