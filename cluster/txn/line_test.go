package txn

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/group"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// line is the connection from a gateway or group to all groups. Like the router, it looks for the leader until the time
// is up, and repeats messages that may be repeated.
type line struct {
	w    *world
	from string
	// point, if set, is called for every message before it leaves and after its answer has come. An error loses the
	// message.
	point func(p point) error
}

// point is a moment of a message.
type point struct {
	kind  string
	group api.GroupID
	after bool
}

var errLost = errors.New("lost")

// carry carries a message to the group's leader and returns the answer.
func carry[T any](ctx context.Context, l *line, kind string, g api.GroupID, again bool, f func(r *group.Authority) (T, error)) (T, error) {
	var none T
	unknown := false
	end := func(err error) error {
		if unknown {
			return &api.Error{Code: api.CodeAmbiguous, Op: kind, Err: err}
		}
		return err
	}
	for {
		if err := l.at(point{kind, g, false}); err != nil && !errors.Is(err, errLost) {
			return none, err
		} else if r := l.w.groups[g].leader(); err == nil && r != nil && !l.w.isCut(l.from, g) && pause(ctx, oneWay) {
			res, err := f(r)
			if lost := l.at(point{kind, g, true}); lost != nil {
				if !errors.Is(lost, errLost) {
					return none, lost
				}
				err = &api.Error{Code: api.CodeAmbiguous}
			}
			_ = pause(ctx, oneWay)
			e := api.AsError(err)
			switch {
			case err == nil && !l.w.isCut(l.from, g):
				return res, nil
			case err == nil || e.Code == api.CodeAmbiguous:
				if unknown = true; !again {
					return none, end(err)
				}
			case e.Code == api.CodeNotLeader, e.Code == api.CodeUnavailable:
			default:
				return none, end(err)
			}
		}
		if !pause(ctx, 20*time.Millisecond) {
			return none, end(&api.Error{Code: api.CodeUnavailable, Hint: "the time was up", Err: ctx.Err()})
		}
	}
}

func (l *line) at(p point) error {
	if l.point == nil {
		return nil
	}
	return l.point(p)
}

func (l *line) Prepare(ctx context.Context, p *fsm.Prepare, dropped []ident.DroppedLease, free bool) (*fsm.Vote, error) {
	return carry(ctx, l, "prepare", p.Group, true, func(r *group.Authority) (*fsm.Vote, error) { return r.Prepare(ctx, p, dropped, free) })
}

func (l *line) CommitLast(ctx context.Context, c *fsm.CommitLast, dropped []ident.DroppedLease) (*fsm.Vote, error) {
	return carry(ctx, l, "commit last", c.Txn.ID.Decider, true, func(r *group.Authority) (*fsm.Vote, error) { return r.CommitLast(ctx, c, dropped) })
}

func (l *line) Decide(ctx context.Context, d *fsm.Decide) (*fsm.Decision, error) {
	kind := "decide"
	if d.Outcome == ident.TxnAborted {
		kind = "abort"
	}
	return carry(ctx, l, kind, d.Txn.ID.Decider, true, func(r *group.Authority) (*fsm.Decision, error) { return r.Decide(ctx, d) })
}

func (l *line) Outcome(ctx context.Context, ref ident.TxnRef, abort bool) (*fsm.Decision, error) {
	return carry(ctx, l, "outcome", ref.ID.Decider, true, func(r *group.Authority) (*fsm.Decision, error) { return r.Outcome(ctx, ref, abort) })
}

func (l *line) Resolve(ctx context.Context, c fsm.Resolve) error {
	_, err := carry(ctx, l, "resolve", c.Group, true, func(r *group.Authority) (struct{}, error) { return struct{}{}, r.Resolve(ctx, c) })
	return err
}

func (l *line) Do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	sent := *t
	sent.Group, _, _ = l.w.m.Locate(t.Keys()[0])
	return carry(ctx, l, "do", sent.Group, !t.ID.IsZero(), func(r *group.Authority) (*api.TxnResult, error) { return r.Do(ctx, &sent) })
}

func (l *line) Read(ctx context.Context, r *words.ReadRequest, out *words.ReadResult) error {
	if err := r.Check(); err != nil {
		return err
	}
	res := words.ReadResult{ReadResult: api.ReadResult{Entries: make([]api.Entry, len(r.Keys)), ServedBy: api.ServedByOwner}}
	parts := map[api.GroupID][]int{}
	for i, k := range r.Keys {
		g, _, _ := l.w.m.Locate(k)
		parts[g] = append(parts[g], i)
	}
	res.Snapshot = len(parts) == 1
	var wg sync.WaitGroup
	errs := make(chan error, len(parts))
	for g, places := range parts {
		wg.Go(func() {
			part := *r
			part.Keys, part.Known, part.Group, part.Snapshot = nil, nil, g, false
			for _, i := range places {
				part.Keys = append(part.Keys, r.Keys[i])
				if len(r.Known) > 0 {
					part.Known = append(part.Known, r.Known[i])
				}
			}
			got, err := carry(ctx, l, "read", g, true, func(r *group.Authority) (*words.ReadResult, error) { return words.Read(ctx, r, &part) })
			if err != nil {
				errs <- err
				return
			}
			for j, i := range places {
				res.Entries[i] = got.Entries[j]
			}
		})
	}
	wg.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return err
	}
	*out = res
	return nil
}
