package wire

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

// group answers calls between nodes as a group does that tries each a few times, in vain.
type group struct {
	tries int // that it wants to make
	made  int // all that it made
}

func (g *group) try(ctx context.Context) error {
	ctx = admission.WithBudget(ctx)
	for range g.tries {
		if err := admission.Retry(ctx); err != nil {
			return err
		}
		g.made++
	}
	return api.CodeNotLeader
}

func (g *group) Read(ctx context.Context, _ []byte, _ *api.ReadRequest, _ *api.ReadResult) (Envelope, error) {
	return nil, g.try(ctx)
}

func (g *group) Do(ctx context.Context, _ []byte, _ *api.Txn) (*api.TxnResult, error) {
	return nil, g.try(ctx)
}

type noEnvelope struct{}

func (noEnvelope) Append(b []byte) []byte { return b }

// TestTriesTravel: a loop at one node around a loop at another one draws from one budget, so that together they make no more
// tries than it has.
func TestTriesTravel(t *testing.T) {
	for _, inner := range []int{0, 1, 7, 5000} {
		for what, call := range map[string]func(ctx context.Context, c *Client) error{
			"do": func(ctx context.Context, c *Client) error {
				_, err := c.DoIn(ctx, noEnvelope{}, &api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "k"}}})
				return err
			},
			"read": func(ctx context.Context, c *Client) error {
				_, err := c.ReadIn(ctx, noEnvelope{}, &api.ReadRequest{Keys: []api.Key{"k"}}, new(api.ReadResult))
				return err
			},
		} {
			mine, theirs := net.Pipe()
			far := &group{tries: inner}
			var serving sync.WaitGroup
			serving.Go(func() { _ = Serve(t.Context(), theirs, ServerConfig{Nodes: far}) })
			c := NewClient(mine, ClientConfig{})
			ctx, near := admission.WithBudget(t.Context()), 0
			for admission.Retry(ctx) == nil {
				near++
				if err := call(ctx, c); api.CodeOf(err) != api.CodeNotLeader && api.CodeOf(err) != api.CodeUnavailable {
					t.Fatal(err)
				}
			}
			if all := near + far.made; all != admission.MaxTries || inner > 0 && far.made == 0 {
				t.Errorf("%s, %d tries at the other node: %d here and %d there, want %d together", what, inner, near, far.made, admission.MaxTries)
			}
			_ = c.Close()
			serving.Wait()
		}
	}
}

// TestTriesThatAreNotCounted: a request without a budget has none at the other node, and one from outside takes none along.
func TestTriesThatAreNotCounted(t *testing.T) {
	if n := admission.Tries(t.Context()); n != 0 {
		t.Errorf("%d tries travel", n)
	}
	if ctx := admission.WithTries(t.Context(), 0); admission.Tries(ctx) != 0 {
		t.Error("there is a budget")
	}
	if ctx := admission.WithTries(t.Context(), 1<<60); admission.Tries(ctx) != admission.MaxTries+1 {
		t.Errorf("%d tries are believed", admission.Tries(ctx))
	}
}
