package txn

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// snapshotRounds is how often keys are read twice before they are locked instead.
const snapshotRounds = 3

// Read passes the request on, unless it asks for a snapshot over several groups.
//
// The keys of such a snapshot are read twice. The second round begins after all of the first has ended. If no version
// has changed, every entry was current at every instant between the two rounds. A key that a transaction holds is not
// read before that transaction is resolved, so that a snapshot never shows half of one. Between the rounds the owners
// keep the read's place in the wait queue, which keeps younger transactions off the keys. From the third round on it
// also keeps off younger single writes. If the rounds do not succeed, the keys are read as a transaction that locks
// them.
func (c *Coordinator) Read(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	if !q.Snapshot {
		return c.cfg.Store.Read(ctx, q, out)
	}
	ctx, cancel := bound(ctx)
	defer cancel()
	began := time.Now()
	own := *q
	if own.Age == 0 {
		own.Age = words.NewAge()
	}
	if own.Group == "" {
		g, several, err := c.owner(ctx, q.Keys)
		if own.Group = g; err == nil && several && own.Hold == words.HoldNone {
			own.Hold = words.HoldRound
		}
	}
	mode, err := c.snapshot(ctx, &own, out)
	c.metrics.done(mode, err, time.Since(began))
	return err
}

// snapshot fills out, and returns the mode in which it was made.
func (c *Coordinator) snapshot(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) (mode string, err error) {
	err = c.cfg.Store.Read(ctx, q, out)
	if err != nil || out.Snapshot {
		return "read1", err
	}
	q.Group = "" // the keys have several owners
	var first words.ReadResult
	for range snapshotRounds {
		first, *out = *out, first
		again := *q
		again.Known = versions(first.Entries)
		if err := c.cfg.Store.Read(ctx, &again, out); err != nil {
			return "read2", err
		}
		out.Snapshot = out.Snapshot || same(first.Entries, out.Entries)
		fill(out, &first)
		if out.Snapshot {
			return "read2", nil
		}
		q.Hold |= words.HoldFirm
	}
	return "readlock", c.locked(ctx, q, out)
}

func versions(entries []api.Entry) []api.Version {
	vs := make([]api.Version, len(entries))
	for i := range entries {
		vs[i] = entries[i].Version
	}
	return vs
}

// same reports whether nothing has changed between two reads.
func same(a, b []api.Entry) bool {
	for i := range a {
		if a[i].Version != b[i].Version || a[i].Exists != b[i].Exists {
			return false
		}
	}
	return true
}

// fill inserts the values that were left out because the first read had them.
func fill(res, known *words.ReadResult) {
	for i := range res.Entries {
		if e := &res.Entries[i]; e.Unchanged {
			e.Value, e.Unchanged = known.Entries[i].Value, known.Entries[i].Unchanged
		}
	}
}

// locked reads the keys as a transaction: all of them are locked at its instant.
func (c *Coordinator) locked(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	t := &words.Txn{}
	for _, k := range q.Keys {
		t.Then = append(t.Then, api.Op{Kind: api.OpGet, Key: k})
	}
	r := c.begin(t)
	defer r.end()
	r.age = q.Age // the age is the gateway's own, and identifies the places that the rounds have kept
	for {
		if err := ctx.Err(); err != nil {
			return r.timeUp(err)
		}
		end := r.attempt(ctx, &branch{held: true, ops: t.Then})
		switch {
		case end.again != "":
			r.pause(ctx, end.again)
		case end.err != nil:
			return notApplied(end.err)
		default:
			*out = words.ReadResult{ReadResult: api.ReadResult{Entries: end.res.Entries, Snapshot: true, Timing: end.res.Timing}}
			return nil
		}
	}
}
