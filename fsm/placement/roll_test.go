package placement

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestRollChanges: a copy of the roll that follows by changes, at whatever revisions it asks, is the same byte for byte, and so is one
// that follows that copy.
func TestRollChanges(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 7))
		roll, copied, second := &Roll{}, &Roll{}, &Roll{}
		for range 3500 {
			roll = randomChange(rng, roll)
			for _, x := range []struct {
				of   *Roll
				copy **Roll
				odds int
			}{{roll, &copied, 10 + 2000*int(seed%2)}, {copied, &second, 20}} {
				if rng.IntN(x.odds) != 0 {
					continue
				}
				c, err := DecodeRollChange(EncodeRollChange(x.of.Since("c", (*x.copy).Revision)))
				if err != nil {
					t.Fatal(err)
				}
				if *x.copy, err = (*x.copy).With(c); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if !bytes.Equal(encode(nil, *x.copy), encode(nil, x.of)) {
					t.Fatalf("seed %d: at revision %d the copy is\n%+v, not\n%+v", seed, x.of.Revision, *x.copy, x.of)
				}
			}
		}
		if roll.Forgotten == 0 || len(roll.Dropped) != maxDropped {
			t.Errorf("seed %d: %d dropped, forgotten up to %d: too few to mean anything", seed, len(roll.Dropped), roll.Forgotten)
		}
	}
}

// randomChange is the roll after one random change, as a command makes it.
func randomChange(rng *rand.Rand, r *Roll) *Roll {
	next := *r
	id, name := TokenID{byte(rng.IntN(30))}, fmt.Sprint("p", rng.IntN(30))
	for changed := false; !changed; {
		switch changed = true; rng.IntN(4) {
		case 0:
			next.putPolicy(Policy{Name: name, Rules: []Rule{{Prefix: api.Key(fmt.Sprint(rng.IntN(9))), Read: true}}})
		case 1:
			next.putToken(AccessToken{ID: id, Name: "t", Hashes: [][]byte{make([]byte, tokenHashBytes)}, Ops: rng.Uint64N(9)})
		case 2:
			changed = next.dropPolicy(name)
		case 3:
			changed = next.dropToken(id)
		}
		id, name = TokenID{byte(rng.IntN(30))}, fmt.Sprint("p", rng.IntN(30))
	}
	next.Revision++
	return &next
}

// TestRollChangeOfAPart: a copy that asks again and again gets what has changed alone.
func TestRollChangeOfAPart(t *testing.T) {
	r := &Roll{}
	for i := range 100 {
		r.putPolicy(Policy{Name: fmt.Sprint("p", i)})
		r.Revision++
	}
	if c := r.Since("c", 98); c.Base != 98 || len(c.Roll.Policies) != 2 {
		t.Errorf("since 98: %+v", c)
	}
	for _, unknown := range []uint64{0, 101} {
		if c := r.Since("c", unknown); c.Base != 0 || len(c.Roll.Policies) != 100 {
			t.Errorf("since %d: %d policies", unknown, len(c.Roll.Policies))
		}
	}
	r.Forgotten = 50
	if c := r.Since("c", 49); c.Base != 0 {
		t.Errorf("since a revision of which drops are forgotten: %+v", c)
	}
}
