package rpc

import "testing"

// TestPlain: what a caller reads is the cause, and the same cause is the same text at each try.
func TestPlain(t *testing.T) {
	for message, want := range map[string]string{
		`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`: "dial tcp 127.0.0.1:1: connect: connection refused",
		`connection error: desc = "error reading server preface: read tcp 127.0.0.1:49152->127.0.0.1:80: i/o timeout"`: "error reading server preface: read tcp 127.0.0.1:80: i/o timeout",
		`something else`: "something else",
	} {
		if got := plain(message); got != want {
			t.Errorf("%s\narrives as %q, want %q", message, got, want)
		}
	}
}
