package front

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

// everything is a Store, Lister and Admin that answers anything.
type everything struct{ asked int }

func (e *everything) Read(context.Context, *api.ReadRequest, *api.ReadResult) error {
	e.asked++
	return nil
}
func (e *everything) Do(context.Context, *api.Txn) (*api.TxnResult, error) {
	e.asked++
	return nil, nil
}
func (e *everything) List(context.Context, *api.ListRequest) (*api.ListResult, error) {
	e.asked++
	return nil, nil
}
func (e *everything) Status(context.Context) (*api.Status, error) { e.asked++; return nil, nil }
func (e *everything) SetPlacement(context.Context, api.Key, api.RegionID) error {
	e.asked++
	return nil
}
func (e *everything) Ready(context.Context) error { return nil }

// TestRights: each method asks for the rights that it needs, of the principal of the context, before it does anything.
func TestRights(t *testing.T) {
	for _, c := range []struct {
		name string
		call func(ctx context.Context, c Caller) error
		want []string // right, start, end
	}{
		{"read", func(ctx context.Context, c Caller) error {
			return c.Read(ctx, &api.ReadRequest{Keys: []api.Key{"a", "b"}}, new(api.ReadResult))
		}, []string{"read a a\x00", "read b b\x00"}},
		{"do", func(ctx context.Context, c Caller) error {
			_, err := c.Do(ctx, &api.Txn{
				If:   []api.Cond{{Key: "c"}},
				Then: []api.Op{{Kind: api.OpGet, Key: "g"}, {Kind: api.OpPut, Key: "p"}},
				Else: []api.Op{{Kind: api.OpDelete, Key: "d"}},
			})
			return err
		}, []string{"read c c\x00", "read g g\x00", "write p p\x00", "write d d\x00"}},
		{"list", func(ctx context.Context, c Caller) error {
			_, err := c.List(ctx, &api.ListRequest{Range: api.Range{Start: "a", End: "b"}})
			return err
		}, []string{"list a b"}},
		{"status", func(ctx context.Context, c Caller) error { _, err := c.Status(ctx); return err }, []string{"observe  "}},
		{"placement", func(ctx context.Context, c Caller) error { return c.SetPlacement(ctx, "p", "r") }, []string{"administer p q"}},
	} {
		for refused := range len(c.want) + 1 { // the right at this place is refused; the last: none is
			store, asked := &everything{}, []string(nil)
			b := New(Config{Store: store, Lister: store, Admin: store, Allow: func(p Principal, r Right, keys api.Range) error {
				if p.Name != "alice" {
					t.Errorf("%s: the principal is %q", c.name, p.Name)
				}
				asked = append(asked, fmt.Sprintf("%v %s %s", r, keys.Start, keys.End))
				if len(asked) == refused+1 {
					return api.CodeDenied
				}
				return nil
			}})
			ctx := WithPrincipal(t.Context(), Principal{Name: "alice"})
			err := c.call(ctx, b.For(ctx))
			want := c.want[:min(refused+1, len(c.want))]
			if !slices.Equal(asked, want) {
				t.Errorf("%s asked for %q, want %q", c.name, asked, want)
			}
			if denied := refused < len(c.want); denied != (api.CodeOf(err) == api.CodeDenied) || denied != (store.asked == 0) {
				t.Errorf("%s, right %d refused: %v, the store was asked %d times", c.name, refused, err, store.asked)
			}
		}
	}
}

// TestAnonymous: without a principal the caller is anonymous, and without Allow everything is allowed.
func TestAnonymous(t *testing.T) {
	if !PrincipalFrom(t.Context()).Anonymous() {
		t.Error("the context names a principal")
	}
	store := &everything{}
	b := New(Config{Store: store})
	if err := b.For(t.Context()).Read(t.Context(), &api.ReadRequest{Keys: []api.Key{"a"}}, new(api.ReadResult)); err != nil || store.asked != 1 {
		t.Error(err)
	}
	if b.Lists() || b.Admins() || b.Ready(t.Context()) != nil {
		t.Error("there is what was not given")
	}
}

// TestAdmission: a request enters with its principal, its key and its memory, as what it is classified to be; a stream with none.
func TestAdmission(t *testing.T) {
	full := &api.Error{Code: api.CodeUnavailable}
	b := New(Config{
		Room: admission.New(admission.Config{Bytes: 10, Shares: admission.Shares{admission.Leased: 1, admission.Request: 2, admission.Waiting: 1}}),
		Classify: func(k api.Key, writes bool, c api.Consistency, _ int) (admission.Class, *api.Error) {
			switch {
			case k == "full":
				return admission.Request, full
			case writes || c == api.Quorum:
				return admission.Request, nil
			}
			return admission.Leased, nil
		},
	})
	alice := WithPrincipal(t.Context(), Principal{Name: "alice"})
	enter := func(ctx context.Context, want bool, q Ask) *admission.Ticket {
		t.Helper()
		place, refusal := b.Admit(ctx, q)
		if (refusal == nil) != want {
			t.Errorf("%+v: %v", q, refusal)
		}
		return place
	}
	leased := enter(alice, true, Ask{Key: "k"})
	enter(alice, false, Ask{Key: "k"})
	if _, refusal := b.Admit(alice, Ask{Key: "full"}); refusal != full {
		t.Errorf("a full owner: %v", refusal)
	}
	anonymous := enter(t.Context(), true, Ask{Key: "k", Consistency: api.Quorum, Bytes: 4})
	enter(alice, false, Ask{Key: "k", Writes: true, Bytes: 7})
	first := enter(alice, true, Ask{})
	first.Leave()
	enter(alice, true, Ask{Key: "k", Writes: true}).Leave()
	stream, refusal := b.AdmitStream(alice)
	if refusal != nil {
		t.Error(refusal)
	}
	if _, refusal := b.AdmitStream(alice); refusal == nil {
		t.Error("a stream too many is let in")
	}
	for _, place := range []*admission.Ticket{leased, anonymous, stream} {
		place.Leave()
	}
}
