package leasecache

import (
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

// TestClassify checks that a call that may be answered here is Leased and is never refused. If the owner is overloaded,
// all other calls are refused.
func TestClassify(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if class, err := r.Classify("a/k", true, 0, 0); err != nil || class != admission.Request {
			t.Errorf("by default: %v, %v", class, err)
		}
		refusal := &api.Error{Code: api.CodeUnavailable}
		r.cfg.Full = func(api.Key, int) *api.Error { return refusal }
		r.put("a/k", "v")
		r.lease("a/k")
		for _, x := range []struct {
			key    api.Key
			writes bool
			c      api.Consistency
			class  admission.Class
			want   *api.Error
		}{
			{"a/k", false, api.Linearizable, admission.Leased, nil}, {"a/k", false, api.Stale, admission.Leased, nil},
			{"a/k", false, api.Quorum, admission.Request, refusal}, {"a/k", true, api.Linearizable, admission.Request, refusal},
			{"a/other", false, api.Linearizable, admission.Request, refusal}, {"a/other", false, api.Stale, admission.Leased, refusal},
		} {
			if class, got := r.Classify(x.key, x.writes, x.c, 0); got != x.want || class != x.class {
				t.Errorf("%+v: %v, %v", x, class, got)
			}
		}
	})
}
