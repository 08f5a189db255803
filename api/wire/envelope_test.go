package wire

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
)

type text string

func (e text) Append(b []byte) []byte { return append(b, e...) }

// asNodes answers with the received envelope in capitals.
type asNodes struct{ took chan string }

func (n asNodes) Read(_ context.Context, envelope []byte, r *api.ReadRequest, out *api.ReadResult) (Envelope, error) {
	n.took <- string(envelope)
	*out = api.ReadResult{Entries: []api.Entry{{Key: r.Keys[0]}}}
	if len(envelope) == 0 {
		return nil, nil
	}
	return text(strings.ToUpper(string(envelope))), nil
}

func (n asNodes) Do(_ context.Context, envelope []byte, t *api.Txn) (*api.TxnResult, error) {
	n.took <- string(envelope)
	return &api.TxnResult{Committed: true, Entries: make([]api.Entry, len(t.Then))}, nil
}

// TestEnvelopes checks that envelopes of any length, and none, are carried with the call.
func TestEnvelopes(t *testing.T) {
	n := asNodes{make(chan string, 1)}
	c := join(t, nil, ServerConfig{Nodes: n}, ClientConfig{})
	for _, e := range []string{"", "e", strings.Repeat("long", 100)} {
		var out api.ReadResult
		answer, err := c.ReadIn(t.Context(), text(e), aRead, &out)
		if took := <-n.took; err != nil || took != e || string(answer) != strings.ToUpper(e) || out.Entries[0].Key != aRead.Keys[0] {
			t.Errorf("a read in %q: %q came, answered by %q, %+v, %v", e, took, answer, out, err)
		}
		res, err := c.DoIn(t.Context(), text(e), aWrite)
		if took := <-n.took; err != nil || took != e || !res.Committed {
			t.Errorf("a write in %q: %q came, %+v, %v", e, took, res, err)
		}
	}
}

// TestApplicationsHaveNoEnvelope checks that a server for applications ends the connection if a call has an envelope, and carries
// nothing out.
func TestApplicationsHaveNoEnvelope(t *testing.T) {
	for name, call := range map[string]func(c *Client) error{
		"read": func(c *Client) error {
			_, err := c.ReadIn(t.Context(), text("e"), aRead, new(api.ReadResult))
			return err
		},
		"do": func(c *Client) error { _, err := c.DoIn(t.Context(), text("e"), aWrite); return err },
	} {
		carried := false
		c := join(t, fake{
			read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
				carried = true
				return &api.ReadResult{}, nil
			},
			do: func(context.Context, *api.Txn) (*api.TxnResult, error) { carried = true; return &api.TxnResult{}, nil },
		}, ServerConfig{}, ClientConfig{})
		if err := call(c); !errors.Is(err, ErrBroken) || carried {
			t.Errorf("%s: carried out: %v, %v", name, carried, err)
		}
	}
}
