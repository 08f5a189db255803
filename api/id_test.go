package api

import (
	"errors"
	"testing"
)

func TestRequestIDCheck(t *testing.T) {
	client := ClientID{1, 2, 3}
	for id, ok := range map[RequestID]bool{
		{}:                                      true,
		{Client: client}:                        true,
		{Client: client, Seq: 5}:                true,
		{Client: client, Seq: 5, AckedBelow: 5}: true,
		{Client: client, Seq: 5, AckedBelow: 6}: false,
		{Client: client, AckedBelow: 1}:         false,
		{Client: ClientID([]byte("gateway:12345678")), Seq: 5}: false,
		{Client: ClientID([]byte("gateway:12345678"))}:         false,
	} {
		txn := &Txn{ID: id, Then: []Op{{Kind: OpDelete, Key: "k"}}}
		for what, err := range map[string]error{"the id": id.Check(), "a transaction with it": txn.Check()} {
			if ok != (err == nil) || !ok && !errors.Is(err, CodeInvalid) {
				t.Errorf("%s %+v: %v", what, id, err)
			}
		}
		if err := txn.CheckSteps(); err != nil {
			t.Errorf("the steps alone: %v", err)
		}
	}
}

// TestOutcomeOfARequest checks that the outcome is unknown if this call did not apply the request but its key is opaque, because
// an earlier call may have applied it.
func TestOutcomeOfARequest(t *testing.T) {
	opaque, numbered := RequestID{Client: ClientID{1}}, RequestID{Client: ClientID{1}, Seq: 7}
	for _, c := range []struct {
		id   RequestID
		code Code
		want string
	}{
		{RequestID{}, CodeUnavailable, "no"},
		{numbered, CodeUnavailable, "no"},
		{opaque, CodeUnavailable, "unknown"},
		{opaque, CodeInvalid, "no"},
		{opaque, CodeConflict, "no"},
		{opaque, CodeAmbiguous, "unknown"},
		{opaque, CodeInternal, "unknown"},
	} {
		given := &Error{Code: c.code}
		err := c.id.Outcome(given)
		if e := AsError(err); e.Code != c.code || e.Applied() != c.want || given.Unknown {
			t.Errorf("%+v, %s: applied %q, want %q", c.id, c.code, e.Applied(), c.want)
		}
	}
	if err := opaque.Outcome(nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}
