package accesstest

import (
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/fsm/placement"
)

// RunKeyspace runs the suite of a front whose protocol names keys of its own, all below prefix. f returns what a client with the token may
// ask, "" for none; Ask is called without a Client, and returns an error with the code that the client gets. Some of the verbs should be
// about keys beside the prefix.
func RunKeyspace(t *testing.T, prefix api.Key, f func(t *testing.T, b *front.Backend, token string) []Verb) {
	w, b := newWorld(t)
	policies := grantsOn(prefix)
	for _, p := range policies {
		if _, built := placement.BuiltInPolicy(p.Name); !built {
			w.roll.Policies = append(w.roll.Policies, p)
		}
	}
	allowed := 0
	for _, p := range policies {
		for _, v := range f(t, b, w.token(t, "token-"+p.Name, p.Name)) {
			w.store.asked.Store(0)
			code := api.CodeOf(v.Ask(t.Context(), nil))
			missing := slices.IndexFunc(v.Needs, func(n Need) bool { return !holds(p, n) })
			switch {
			case missing < 0 && (code == api.CodeDenied || code == api.CodeUnauthenticated):
				t.Errorf("%s may not %s: %v", p.Name, v.Name, code)
			case missing < 0:
				allowed++
			case code != api.CodeDenied:
				t.Errorf("%s may %s, without %v of %q: %q", p.Name, v.Name, v.Needs[missing].Right, v.Needs[missing].Key, code)
			case w.store.asked.Load() > 0:
				t.Errorf("%s: %s is refused after the store was asked", p.Name, v.Name)
			}
		}
	}
	if allowed == 0 {
		t.Error("no principal may do anything")
	}
	revoked := f(t, b, w.token(t, "app", "all"))
	w.roll.Tokens = nil
	w.update()
	w.store.asked.Store(0)
	for kind, verbs := range map[string][]Verb{"without a token": f(t, b, ""), "with a revoked token": revoked} {
		for _, v := range verbs {
			if code := api.CodeOf(v.Ask(t.Context(), nil)); len(v.Needs) > 0 && (code != api.CodeUnauthenticated || w.store.asked.Load() > 0) {
				t.Errorf("a client %s may %s: %q", kind, v.Name, code)
			}
		}
	}
}
