package logstore

import (
	"errors"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestIdentity: Claim refuses the durable state of another replica.
func TestIdentity(t *testing.T) {
	stores, err := NewMemory(0).Stores()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Claim(stores.Stable, "g", "n0"); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range [][2]string{{"g", "n1"}, {"h", "n0"}} {
		wantCode(t, Claim(stores.Stable, other[0], other[1]), api.CodeConflict)
	}
}

func wantCode(t *testing.T, err error, code api.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("the error is %v, want %s", err, code)
	}
}
