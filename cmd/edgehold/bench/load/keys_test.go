package load

import (
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
)

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		keys        Keys
		first, last api.Key
	}{
		{Keys{"b/", 1, 0}, "b/0", "b/0"},
		{Keys{"b/", 10, 0}, "b/0", "b/9"},
		{Keys{"b/", 11, 0}, "b/00", "b/10"},
		{Keys{"b/", 1000, 8}, "b/000000", "b/000999"},
		{Keys{"7", 100, 0}, "700", "799"},
	} {
		if first, last := c.keys.At(0), c.keys.At(c.keys.Count-1); first != c.first || last != c.last || len(first) != c.keys.Bytes() {
			t.Errorf("%+v: %s to %s", c.keys, first, last)
		}
		var all []api.Key
		for k := range c.keys.All() {
			all = append(all, k)
			if !c.keys.Has(k) {
				t.Errorf("%+v has not %s", c.keys, k)
			}
		}
		if int64(len(all)) != c.keys.Count || !slices.IsSorted(all) {
			t.Errorf("%+v: %d keys", c.keys, len(all))
		}
	}
	keys := Keys{"b/", 100, 5}
	for _, other := range []api.Key{"b/100", "b/1", "b/0001", "b/+12", "b/01x", "b/", "c/012", "b/-01", ""} {
		if keys.Has(other) {
			t.Errorf("%q is none of them", other)
		}
	}
}
