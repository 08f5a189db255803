package router

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/placement"
)

// together collects several lists that one group makes in one view. Its errors are those of page, and CodeInvalid if the keys belong
// to several groups or ranges.
func (r *Router) together(ctx context.Context, m *placement.Map, q *words.ListRequest) (*words.ListResult, error) {
	owner, err := ownerOfAll(m, q)
	if err != nil {
		return nil, err
	}
	s := &source{router: r, request: *q}
	s.request.Group = owner
	if err := s.fetch(ctx); err != nil {
		return nil, err
	}
	if len(s.also) != len(q.Also) {
		return nil, &api.Error{Code: api.CodeUnavailable, Op: "list", RetryAfter: time.Second,
			Hint: "the owner's program is older and does not make several lists at once: complete the upgrade of the servers"}
	}
	res := &words.ListResult{ListResult: api.ListResult{Entries: s.entries, More: s.more, Also: s.also}, At: s.at}
	if !s.asOf.IsZero() {
		res.Stale, res.Age, res.At = true, time.Since(s.asOf), nil
	}
	return res, nil
}

// ownerOfAll returns the group that owns all keys of all ranges, which must be of one range of the map.
func ownerOfAll(m *placement.Map, q *words.ListRequest) (owner api.GroupID, err error) {
	var epoch uint64
	ranges := []api.Range{q.Range}
	for i := range q.Also {
		ranges = append(ranges, q.Also[i].Range)
	}
	for i, rng := range ranges {
		if rng.End != "" && rng.End <= rng.Start {
			continue
		}
		spans := m.Scan(rng)
		if len(spans) != 1 || len(spans[0].Groups) != 1 || i > 0 && (spans[0].Groups[0] != owner || spans[0].Epoch != epoch) {
			return "", &api.Error{Code: api.CodeInvalid, Op: "list", Key: rng.Start,
				Hint: "the keys of lists that are made together may belong to several groups or ranges; list ranges whose keys share two whole segments, such as a/b/"}
		}
		owner, epoch = spans[0].Groups[0], spans[0].Epoch
	}
	return owner, nil
}
