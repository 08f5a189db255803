package leasecache

import (
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestFull: where the owner has too much to do, what may be answered here is not refused for it.
func TestFull(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if err := r.Full("a/k", true, 0, 1); err != nil {
			t.Errorf("by default: %v", err)
		}
		refusal := &api.Error{Code: api.CodeUnavailable}
		r.cfg.Full = func(k api.Key, begun int64) *api.Error {
			if begun != 7 {
				t.Errorf("%d have begun", begun)
			}
			return refusal
		}
		r.put("a/k", "v")
		r.lease("a/k")
		for _, x := range []struct {
			key    api.Key
			writes bool
			c      api.Consistency
			want   *api.Error
		}{
			{"a/k", false, api.Linearizable, nil}, {"a/k", false, api.Stale, nil},
			{"a/k", false, api.Quorum, refusal}, {"a/k", true, api.Linearizable, refusal},
			{"a/other", false, api.Linearizable, refusal}, {"a/other", false, api.Stale, refusal},
		} {
			if got := r.Full(x.key, x.writes, x.c, 7); got != x.want {
				t.Errorf("%+v: %v", x, got)
			}
		}
	})
}
