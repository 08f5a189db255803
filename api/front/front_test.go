package front

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/lock"
	"github.com/edgehold/edgehold/api/storetest"
)

// everything is a Store, Lister and Admin that answers anything.
type everything struct {
	asked  int
	txn    *api.Txn
	result *api.TxnResult
}

func (e *everything) Read(context.Context, *api.ReadRequest, *api.ReadResult) error {
	e.asked++
	return nil
}
func (e *everything) Do(_ context.Context, t *api.Txn) (*api.TxnResult, error) {
	e.asked++
	e.txn = t
	if e.result == nil {
		return &api.TxnResult{}, nil
	}
	return e.result, nil
}
func (e *everything) List(context.Context, *api.ListRequest) (*api.ListResult, error) {
	e.asked++
	return &api.ListResult{}, nil
}
func (e *everything) Watch(context.Context, *api.WatchRequest) (api.WatchStream, error) {
	e.asked++
	return nil, nil
}
func (e *everything) Status(context.Context) (*api.Status, error) { e.asked++; return nil, nil }
func (e *everything) SetPlacement(context.Context, api.Key, api.RegionID) error {
	e.asked++
	return nil
}
func (e *everything) SetPlacementGroup(context.Context, api.Key, api.GroupID) error {
	e.asked++
	return nil
}
func (e *everything) Ready(context.Context) error                       { return nil }
func (e *everything) DevStatus(context.Context) (*api.DevStatus, error) { e.asked++; return nil, nil }
func (e *everything) CutRegions(context.Context, api.RegionID, api.RegionID) (*api.DevStatus, error) {
	e.asked++
	return nil, nil
}
func (e *everything) HealRegions(context.Context, api.RegionID, api.RegionID) (*api.DevStatus, error) {
	e.asked++
	return nil, nil
}
func (e *everything) StopNode(context.Context, api.NodeID) (*api.DevStatus, error) {
	e.asked++
	return nil, nil
}
func (e *everything) StartNode(context.Context, api.NodeID) (*api.DevStatus, error) {
	e.asked++
	return nil, nil
}

// asking is an Access that calls a function for each check.
type asking func(p *Principal, asked string) error

func (f asking) Authenticate(string, string) (*Principal, error) { return nil, nil }
func (f asking) Check(*Principal) error                          { return nil }
func (f asking) Enter(p *Principal, bytes int64) error           { return f(p, fmt.Sprintf("enter %d", bytes)) }
func (f asking) Charge(*Principal, int64)                        {}
func (f asking) Holds(_ *Principal, _ Right, k api.Key) bool     { return k != "secret" }
func (f asking) AllowKey(p *Principal, verb string, r Right, k api.Key) error {
	return f(p, fmt.Sprintf("%s %v %s", verb, r, k))
}
func (f asking) AllowRange(p *Principal, verb string, r Right, keys api.Range) error {
	return f(p, fmt.Sprintf("%s %v %s-%s", verb, r, keys.Start, keys.End))
}
func (f asking) Changes() uint64 { return 0 }
func (f asking) Describe(p *Principal) (*api.Self, error) {
	return &api.Self{Principal: p.Name}, nil
}
func (f asking) AllowCluster(p *Principal, verb string, r Right, target string) error {
	return f(p, fmt.Sprintf("%s: %v %s", verb, r, target))
}

// TestRights: each method asks for the rights that it needs, of the principal of the context, before it does anything.
//
// Attack 30: conditions and functions need the right to read, in both branches.
func TestRights(t *testing.T) {
	list := func(keysOnly bool) func(ctx context.Context, c Caller) error {
		return func(ctx context.Context, c Caller) error {
			_, err := c.List(ctx, &api.ListRequest{Range: api.Range{Start: "a", End: "b"}, KeysOnly: keysOnly})
			return err
		}
	}
	watch := func(keysOnly bool) func(ctx context.Context, c Caller) error {
		return func(ctx context.Context, c Caller) error {
			_, err := c.Watch(ctx, &api.WatchRequest{Range: api.Range{Start: "a", End: "b"}, KeysOnly: keysOnly})
			return err
		}
	}
	for _, c := range []struct {
		name string
		call func(ctx context.Context, c Caller) error
		want []string
	}{
		{"read", func(ctx context.Context, c Caller) error {
			return c.Read(ctx, &api.ReadRequest{Keys: []api.Key{"a", "b"}}, new(api.ReadResult))
		}, []string{"enter 0", "read read a", "read read b"}},
		{"do", func(ctx context.Context, c Caller) error {
			_, err := c.Do(ctx, &api.Txn{
				If:   []api.Cond{{Key: "c", Value: []byte("v")}},
				Then: []api.Op{{Kind: api.OpGet, Key: "g"}, {Kind: api.OpPut, Key: "p", Value: []byte("v")}, {Kind: api.OpAdd, Key: "f"}},
				Else: []api.Op{{Kind: api.OpDelete, Key: "d"}, {Kind: api.OpAppendIfAbsent, Key: "s"}},
			})
			return err
		}, []string{"enter 8", "txn read c", "txn read g", "txn write p", "txn write f", "txn read f", "txn write d", "txn write s", "txn read s"}},
		{"list", list(false), []string{"enter 0", "list list a-b", "list read a-b"}},
		{"list of keys", list(true), []string{"enter 0", "list list a-b"}},
		{"lists together", func(ctx context.Context, c Caller) error {
			_, err := c.List(ctx, &api.ListRequest{Range: api.Range{Start: "a", End: "b"}, KeysOnly: true, Also: []api.ListPart{
				{Range: api.Range{Start: "c", End: "d"}}, {Range: api.Range{Start: "e", End: "f"}, KeysOnly: true}}})
			return err
		}, []string{"enter 0", "list list a-b", "list list c-d", "list read c-d", "list list e-f"}},
		{"watch", watch(false), []string{"enter 0", "watch list a-b", "watch read a-b"}},
		{"watch of keys", watch(true), []string{"enter 0", "watch list a-b"}},
		{"status", func(ctx context.Context, c Caller) error { _, err := c.Status(ctx); return err }, []string{"status: observe "}},
		{"faults", func(ctx context.Context, c Caller) error { _, err := c.DevStatus(ctx); return err }, []string{"dev: observe "}},
		{"cut", func(ctx context.Context, c Caller) error { _, err := c.CutRegions(ctx, "a", "b"); return err }, []string{"cut: operate a b"}},
		{"heal", func(ctx context.Context, c Caller) error { _, err := c.HealRegions(ctx, "a", "b"); return err }, []string{"heal: operate a b"}},
		{"stop", func(ctx context.Context, c Caller) error { _, err := c.StopNode(ctx, "n"); return err }, []string{"stop: operate n"}},
		{"start", func(ctx context.Context, c Caller) error { _, err := c.StartNode(ctx, "n"); return err }, []string{"start: operate n"}},
		{"placement", func(ctx context.Context, c Caller) error { return c.SetPlacement(ctx, "p", "r") }, []string{"placement set: administer p"}},
		{"placement of a group", func(ctx context.Context, c Caller) error { return c.SetPlacementGroup(ctx, "p", "r.1") }, []string{"placement set: administer p"}},
	} {
		for refused := range len(c.want) + 1 { // the right at this place is refused; the last: none is
			store, asked := &everything{}, []string(nil)
			b := New(Config{Store: store, Lister: store, Watcher: store, Admin: store, Dev: store, Access: asking(func(p *Principal, ask string) error {
				if p.Name != "alice" {
					t.Errorf("%s: the principal is %q", c.name, p.Name)
				}
				if asked = append(asked, ask); len(asked) == refused+1 {
					return api.CodeDenied
				}
				return nil
			})})
			ctx := WithPrincipal(t.Context(), &Principal{Name: "alice"})
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

// TestOwnIDs: the request ids of a principal with an id are of its own space, numbered and opaque ones apart; those of the
// anonymous principal stay as they are.
//
// Attack 32: another principal's id names another request, and acknowledges its own alone.
func TestOwnIDs(t *testing.T) {
	store := &everything{}
	b := New(Config{Store: store, Access: asking(func(*Principal, string) error { return nil })})
	sent := func(p *Principal, id api.RequestID) api.RequestID {
		ctx, mine := WithPrincipal(t.Context(), p), &api.Txn{ID: id, Then: []api.Op{{Kind: api.OpPut, Key: "k"}}}
		if _, err := b.For(ctx).Do(ctx, mine); err != nil || mine.ID != id {
			t.Fatalf("%v; the caller's transaction has the id %v", err, mine.ID)
		}
		return store.txn.ID
	}
	alice, bob := &Principal{Name: "alice", ID: "a"}, &Principal{Name: "bob", ID: "b"}
	numbered := api.RequestID{Client: api.ClientID{7}, Seq: 3, AckedBelow: 2}
	opaque := api.RequestID{Client: api.ClientID{7}}
	seen := map[api.ClientID]bool{numbered.Client: true}
	for _, p := range []*Principal{alice, bob} {
		for _, id := range []api.RequestID{numbered, opaque} {
			got := sent(p, id)
			if got.Seq != id.Seq || got.AckedBelow != id.AckedBelow || seen[got.Client] || got != sent(p, id) {
				t.Errorf("%s sends %v as %v", p.Name, id, got)
			}
			seen[got.Client] = true
		}
		if got := sent(p, api.RequestID{}); !got.IsZero() {
			t.Errorf("%s sends no id as %v", p.Name, got)
		}
	}
	if got := sent(new(Principal), numbered); got != numbered {
		t.Errorf("an anonymous client sends %v as %v", numbered, got)
	}
}

// TestDeleteAndTouchHideAbsence: a delete and a touch answer with the version only to a principal that may read the key. Attack 29.
func TestDeleteAndTouchHideAbsence(t *testing.T) {
	store := &everything{}
	b := New(Config{Store: store, Access: asking(func(*Principal, string) error { return nil })})
	for k, hidden := range map[api.Key]bool{"secret": true, "open": false} {
		keeps := &api.TxnResult{Committed: true, Entries: []api.Entry{{Key: k, Exists: true, Version: api.Version{Epoch: 1, Index: 2}, TTL: 1}}}
		store.result = keeps
		res, err := b.For(t.Context()).Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, KeepTTL: true}}})
		if err != nil || res.Entries[0].Version.IsZero() || (res.Entries[0].TTL == 0) != hidden {
			t.Errorf("put that keeps the deadline of %s: %+v, %v", k, res, err)
		}
		for _, kind := range []api.OpKind{api.OpDelete, api.OpTouch} {
			store.result = &api.TxnResult{Committed: true, Entries: []api.Entry{{Key: k, Version: api.Version{Epoch: 1, Index: 2}, TTL: 1}}}
			res, err := b.For(t.Context()).Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: kind, Key: k}}})
			if err != nil || res.Entries[0].Version.IsZero() != hidden || (res.Entries[0].TTL == 0) != hidden {
				t.Errorf("%v of %s: %+v, %v", kind, k, res, err)
			}
		}
	}
}

// TestLocksAreReserved: no transaction of a client writes the entries of locks, in either branch; it may test, read and list them.
func TestLocksAreReserved(t *testing.T) {
	store := &everything{}
	b := New(Config{Store: store})
	k := api.Key("a/.lock/x")
	for kind := api.OpGet; kind <= api.OpMax64; kind++ {
		op := api.Op{Kind: kind, Key: k}
		for _, txn := range []*api.Txn{{Then: []api.Op{op}}, {Else: []api.Op{{Kind: api.OpGet, Key: "a"}, op}}} {
			store.asked = 0
			_, err := b.For(t.Context()).Do(t.Context(), txn)
			if want := kind != api.OpGet && kind != api.OpList; want != (api.CodeOf(err) == api.CodeInvalid && strings.Contains(err.Error(), "/v1/locks")) ||
				want != (store.asked == 0) {
				t.Errorf("kind %d: %v", kind, err)
			}
		}
	}
	if _, err := b.For(t.Context()).Do(t.Context(), &api.Txn{If: []api.Cond{{Kind: api.CondExists, Key: k}}}); err != nil {
		t.Errorf("a condition: %v", err)
	}
}

// TestLockEntersOnce: a request for a lock counts as one against the rate of its principal, and what is given to a principal that
// has lost the right meanwhile is given back.
func TestLockEntersOnce(t *testing.T) {
	m := storetest.NewMemory()
	locks := lock.New(lock.Config{Store: m})
	t.Cleanup(func() { _ = locks.Close() })
	entered, allowed := 0, 0
	b := New(Config{Store: m, Lister: m, Locks: locks, Access: asking(func(_ *Principal, asked string) error {
		if strings.HasPrefix(asked, "enter") {
			if entered++; entered > 1 {
				return api.CodeLimited
			}
		} else if allowed++; allowed > 2 {
			return api.CodeDenied
		}
		return nil
	})})
	c := b.For(t.Context())
	h, err := c.AcquireLock(t.Context(), &lock.Request{Name: "l", TTL: time.Minute}, "")
	if err != nil || h == nil {
		t.Fatalf("got %+v, %v", h, err)
	}
	entered, allowed = 0, 1
	h, err = c.AcquireLock(t.Context(), &lock.Request{Name: "m", TTL: time.Minute}, "")
	if h != nil || api.CodeOf(err) != api.CodeDenied {
		t.Errorf("without the right: %+v, %v", h, err)
	}
	if s, err := lock.Show(t.Context(), m, "m"); err != nil || s.Holder != nil {
		t.Errorf("held by %+v, %v", s, err)
	}
}

// TestAnonymous: without a principal the caller is anonymous, and without Access everything is allowed.
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
	alice := WithPrincipal(t.Context(), &Principal{Name: "alice"})
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
