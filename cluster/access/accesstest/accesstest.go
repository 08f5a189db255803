// Package accesstest is the suite that every front passes: the table of rights and verbs, generated. A front says how a client with
// a token speaks it, and gets the tests.
package accesstest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/lock"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/access"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Client is a client of a front. It may have only some of the words: what is nil is not tested.
type Client struct {
	Read func(ctx context.Context, r *api.ReadRequest) (*api.ReadResult, error)
	Do   func(ctx context.Context, t *api.Txn) (*api.TxnResult, error)
	List func(ctx context.Context, r *api.ListRequest) (*api.ListResult, error)
	// Watch returns the stream as the client sees it: its end is an error with the code that the client gets.
	Watch func(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error)
	// More are further verbs of the front alone.
	More []Verb
}

// Verb is something that a client may ask.
type Verb struct {
	Name  string
	Needs []Need
	Ask   func(ctx context.Context, c *Client) error
}

// Need is a right, on a key or on the keys of a range, or on the cluster.
type Need struct {
	Right front.Right
	Key   api.Key
	Range api.Range // if Key is ""
}

// Front makes clients of a front over the backend. token is "" for a client without one. It is called with t of one test.
type Front func(t *testing.T, b *front.Backend, token string) *Client

// The keys: two that are inside the granted prefix, one of them absent, and two outside.
const (
	Inside        = api.Key("in/a")
	InsideAbsent  = api.Key("in/b")
	Outside       = api.Key("out/a")
	OutsideAbsent = api.Key("out/b")
)

// verbs are those that every front has, if it has the words.
func verbs() (all []Verb) {
	for _, k := range []api.Key{Inside, InsideAbsent, Outside, OutsideAbsent} {
		all = append(all, reads(k)...)
		all = append(all, writes(k)...)
	}
	return append(append(all, lists()...), watches()...)
}

func reads(k api.Key) []Verb {
	read := func(keys ...api.Key) func(context.Context, *Client) error {
		return func(ctx context.Context, c *Client) error {
			if c.Read == nil {
				return nil
			}
			_, err := c.Read(ctx, &api.ReadRequest{Keys: keys})
			return err
		}
	}
	return []Verb{
		{"get " + string(k), []Need{{Right: front.Read, Key: k}}, read(k)},
		{"get in/a and " + string(k), []Need{{Right: front.Read, Key: Inside}, {Right: front.Read, Key: k}}, read(Inside, k)},
	}
}

func writes(k api.Key) []Verb {
	do := func(t api.Txn) func(context.Context, *Client) error {
		return func(ctx context.Context, c *Client) error {
			if c.Do == nil {
				return nil
			}
			_, err := c.Do(ctx, &t)
			return err
		}
	}
	write, read := Need{Right: front.Write, Key: k}, Need{Right: front.Read, Key: k}
	in := Need{Right: front.Write, Key: Inside}
	put := api.Op{Kind: api.OpPut, Key: k, Value: []byte("v")}
	putIn := api.Op{Kind: api.OpPut, Key: Inside, Value: []byte("v")}
	fold := func(kind api.OpKind) api.Txn { // it must meet an integer of 8 bytes
		n := []byte("12345678")
		return api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: n}, {Kind: kind, Key: k, Value: n}}}
	}
	all := []Verb{
		{"put", []Need{write}, do(api.Txn{Then: []api.Op{put}})},
		{"delete", []Need{write}, do(api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: k}}})},
		{"add 0", []Need{write, read}, do(api.Txn{Then: []api.Op{{Kind: api.OpAdd, Key: k}}})},
		{"append_if_absent", []Need{write, read}, do(api.Txn{Then: []api.Op{{Kind: api.OpAppendIfAbsent, Key: k, Value: []byte("<v>")}}})},
		{"put with a ttl", []Need{write}, do(api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte("v"), TTL: time.Hour}}})},
		{"put with keep_ttl", []Need{write}, do(api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte("v"), KeepTTL: true}}})},
		{"append", []Need{write, read}, do(api.Txn{Then: []api.Op{{Kind: api.OpAppend, Key: k, Value: []byte("v")}}})},
		{"sum64", []Need{write, read}, do(fold(api.OpSum64))},
		{"min64", []Need{write, read}, do(fold(api.OpMin64))},
		{"max64", []Need{write, read}, do(fold(api.OpMax64))},
		{"touch", []Need{write}, do(api.Txn{Then: []api.Op{{Kind: api.OpTouch, Key: k, TTL: time.Hour}}})},
		{"list in a transaction", []Need{in, {Right: front.List, Range: api.PrefixRange(k)}}, do(api.Txn{Then: []api.Op{
			putIn, {Kind: api.OpList, Key: k, Limit: 10},
		}})},
		{"get in a transaction", []Need{in, read}, do(api.Txn{Then: []api.Op{putIn, {Kind: api.OpGet, Key: k}}})},
		{"put in the branch that does not run", []Need{in, write}, do(api.Txn{Then: []api.Op{putIn}, Else: []api.Op{put}})},
		{"get in the branch that does not run", []Need{in, read}, do(api.Txn{Then: []api.Op{putIn}, Else: []api.Op{{Kind: api.OpGet, Key: k}}})},
	}
	for name, cond := range map[string]api.Cond{
		"exists": {Kind: api.CondExists}, "absent": {Kind: api.CondAbsent}, "version": {Kind: api.CondVersion, Version: api.Version{Epoch: 1, Index: 1}},
		"value": {Kind: api.CondValue, Value: []byte("v")},
	} {
		cond.Key = k
		all = append(all, Verb{"put if " + name, []Need{in, read}, do(api.Txn{If: []api.Cond{cond}, Then: []api.Op{putIn}, Else: []api.Op{putIn}})})
	}
	for i := range all {
		all[i].Name += " of " + string(k)
	}
	return all
}

func lists() (all []Verb) {
	for _, keys := range []api.Range{api.PrefixRange("in/"), api.PrefixRange("out/"), {}, {Start: "in/", End: "in0\x00"}, {Start: "in/a", End: "in/a\x00"}} {
		for _, keysOnly := range []bool{true, false} {
			needs := []Need{{Right: front.List, Range: keys}}
			if !keysOnly {
				needs = append(needs, Need{Right: front.Read, Range: keys})
			}
			all = append(all, Verb{fmt.Sprintf("list %v, keys only: %v", keys, keysOnly), needs, func(ctx context.Context, c *Client) error {
				if c.List == nil {
					return nil
				}
				_, err := c.List(ctx, &api.ListRequest{Range: keys, KeysOnly: keysOnly, Limit: 10})
				return err
			}})
		}
	}
	return all
}

func watches() (all []Verb) {
	for _, l := range lists() {
		keys, keysOnly := l.Needs[0].Range, len(l.Needs) == 1
		all = append(all, Verb{"watch" + strings.TrimPrefix(l.Name, "list"), l.Needs, func(ctx context.Context, c *Client) error {
			if c.Watch == nil {
				return nil
			}
			s, err := c.Watch(ctx, &api.WatchRequest{Range: keys, KeysOnly: keysOnly})
			if err == nil {
				err = s.Close()
			}
			return err
		}})
	}
	return all
}

func grants() []placement.Policy { return grantsOn("in/") }

// grantsOn are the policies of the principals: each set of rights on the prefix, each right on the cluster, everything, and nothing.
func grantsOn(prefix api.Key) (all []placement.Policy) {
	for set := range 8 {
		p := placement.Policy{Name: fmt.Sprintf("keys%d", set)}
		if set > 0 {
			p.Rules = []placement.Rule{{Prefix: prefix, Read: set&1 != 0, List: set&2 != 0, Write: set&4 != 0}}
		}
		all = append(all, p)
	}
	return append(all, placement.BuiltInPolicies()...)
}

// holds reports whether the policy gives what is needed, as the words say it.
func holds(p placement.Policy, n Need) bool {
	switch n.Right {
	case front.Observe:
		return p.Observe
	case front.Operate:
		return p.Operate
	case front.Administer:
		return p.Admin
	}
	for _, r := range p.Rules {
		right := n.Right == front.Read && r.Read || n.Right == front.List && r.List || n.Right == front.Write && r.Write
		keys := n.Range
		if n.Key != "" {
			keys = api.Range{Start: n.Key, End: n.Key + "\x00"}
		}
		if right && api.PrefixRange(r.Prefix).ContainsRange(keys) {
			return true
		}
	}
	return false
}

// counted counts what reaches the store.
type counted struct {
	*storetest.Memory
	asked atomic.Int64
}

func (c *counted) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	c.asked.Add(1)
	return c.Memory.Read(ctx, r, out)
}

func (c *counted) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	c.asked.Add(1)
	return c.Memory.Do(ctx, t)
}

func (c *counted) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	c.asked.Add(1)
	return c.Memory.List(ctx, r)
}

func (c *counted) Watch(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error) {
	c.asked.Add(1)
	return c.Memory.Watch(ctx, r)
}

// world is a store behind a warden, whose roll the tests change.
type world struct {
	store  *counted
	warden *access.Warden
	roll   placement.Roll
}

func newWorld(t *testing.T) (*world, *front.Backend) {
	t.Helper()
	w := &world{
		store:  &counted{Memory: storetest.NewMemory()},
		warden: access.NewWarden(access.Config{At: access.Place{Node: "n1", Region: "r", Role: api.RoleServer}, Now: func() time.Duration { return 0 }}),
	}
	w.warden.Heard(0, 0)
	for _, k := range []api.Key{Inside, Outside} {
		if _, err := w.store.Memory.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte("1")}}}); err != nil {
			t.Fatal(err)
		}
	}
	w.update()
	locks := lock.New(lock.Config{Store: w.store, Watcher: w.store})
	t.Cleanup(func() { _ = locks.Close() })
	return w, front.New(front.Config{Store: w.store, Lister: w.store, Watcher: w.store, Locks: locks, Admin: admin{w}, Observer: admin{w}, Access: w.warden, Node: "n1"})
}

// update gives the warden the roll as it is now.
func (w *world) update() {
	w.roll.Revision++
	now := w.roll
	now.Tokens, now.Policies = slices.Clone(w.roll.Tokens), slices.Clone(w.roll.Policies)
	w.warden.Update(access.Source{Roll: &now, MaxAge: time.Hour})
}

// token adds a token with the policies and returns its text.
func (w *world) token(t *testing.T, name string, policies ...string) string {
	t.Helper()
	secret, err := access.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hash := secret.Hash()
	w.roll.Tokens = append(w.roll.Tokens, placement.AccessToken{ID: secret.ID, Name: name, Hashes: [][]byte{hash[:]}, Policies: policies})
	w.update()
	return secret.Secret().Reveal()
}

// admin is an api.Admin and an api.Observer that counts with the store.
type admin struct{ w *world }

func (a admin) Status(context.Context) (*api.Status, error) {
	a.w.store.asked.Add(1)
	return &api.Status{}, nil
}
func (a admin) SetPlacement(context.Context, api.Key, api.RegionID) error {
	a.w.store.asked.Add(1)
	return nil
}
func (a admin) SetPlacementGroup(context.Context, api.Key, api.GroupID) error {
	a.w.store.asked.Add(1)
	return nil
}
func (a admin) Ready(context.Context) error { return nil }
func (a admin) Live(_ context.Context, tell func(*api.Live) error) error {
	a.w.store.asked.Add(1)
	return tell(&api.Live{Status: &api.Status{}})
}

// Run runs the suite.
func Run(t *testing.T, f Front) {
	t.Run("RightsTimesVerbs", func(t *testing.T) { rightsTimesVerbs(t, f) })
	t.Run("RefusalsTellNothing", func(t *testing.T) { refusalsRevealNothing(t, f) })
	t.Run("Revoked", func(t *testing.T) { revoked(t, f) })
	t.Run("WatchesAreJudgedAgain", func(t *testing.T) { watchesAreJudgedAgain(t, f) })
	t.Run("OwnIDs", func(t *testing.T) { ownIDs(t, f) })
}

// rightsTimesVerbs: each principal may do exactly what its policies give, and a refusal comes before anything is read.
func rightsTimesVerbs(t *testing.T, f Front) {
	w, b := newWorld(t)
	for _, p := range grants() {
		if _, built := placement.BuiltInPolicy(p.Name); !built {
			w.roll.Policies = append(w.roll.Policies, p)
		}
	}
	for _, p := range grants() {
		c := f(t, b, w.token(t, "token-"+p.Name, p.Name))
		for _, v := range append(verbs(), c.More...) {
			w.store.asked.Store(0)
			err := v.Ask(t.Context(), c)
			missing := slices.IndexFunc(v.Needs, func(n Need) bool { return !holds(p, n) })
			code := api.CodeOf(err)
			switch {
			case missing < 0 && (code == api.CodeDenied || code == api.CodeUnauthenticated):
				t.Errorf("%s may not %s: %v", p.Name, v.Name, err)
			case missing >= 0 && code != api.CodeDenied && !skipped(v, c, err):
				t.Errorf("%s may %s, without %v of %q: %v", p.Name, v.Name, v.Needs[missing].Right, v.Needs[missing].Key, err)
			case missing >= 0 && w.store.asked.Load() > 0:
				t.Errorf("%s: %s is refused after the store was asked", p.Name, v.Name)
			}
		}
	}
	c := f(t, b, "")
	for _, v := range append(verbs(), c.More...) {
		if err := v.Ask(t.Context(), c); len(v.Needs) > 0 && api.CodeOf(err) != api.CodeUnauthenticated && !skipped(v, c, err) {
			t.Errorf("a client without a token may %s: %v", v.Name, err)
		}
	}
}

// skipped reports whether the front has no words for the verb.
func skipped(v Verb, c *Client, err error) bool {
	word, _, _ := strings.Cut(v.Name, " ")
	return err == nil && (word == "list" && c.List == nil || word == "watch" && c.Watch == nil || word == "get" && c.Read == nil && !strings.Contains(v.Name, "transaction"))
}

// refusalsRevealNothing: the refusal of a key that is there, of one that is not, and of one with a long value is one and the same.
//
// Attack 29. Attack 30: write alone reads nothing.
func refusalsRevealNothing(t *testing.T, f Front) {
	w, b := newWorld(t)
	w.roll.Policies = append(w.roll.Policies, placement.Policy{Name: "blind", Rules: []placement.Rule{{Prefix: "out/", Write: true}}})
	c := f(t, b, w.token(t, "blind", "blind"))
	refusals := map[string]string{}
	for _, k := range []api.Key{Outside, OutsideAbsent} {
		for _, v := range append(reads(k), writes(k)...) {
			w.store.asked.Store(0)
			err := v.Ask(t.Context(), c)
			if err == nil || !slices.ContainsFunc(v.Needs, func(n Need) bool { return n.Right == front.Read || n.Key == Inside }) {
				continue
			}
			e := api.AsError(err)
			kind := strings.TrimSuffix(strings.TrimSuffix(v.Name, string(OutsideAbsent)), string(Outside))
			text := fmt.Sprint(e.Code, e.Hint, e.Version, e.RetryAfter)
			if was, ok := refusals[kind]; ok && was != text || w.store.asked.Load() > 0 {
				t.Errorf("%s: %q for a key that is there, %q for one that is not", kind, was, text)
			}
			refusals[kind] = text
		}
	}
	if len(refusals) < 5 {
		t.Errorf("only %d verbs were compared", len(refusals))
	}
}

// revoked: a client whose token is revoked is refused from the next request on.
//
// Attack 33.
func revoked(t *testing.T, f Front) {
	w, b := newWorld(t)
	c := f(t, b, w.token(t, "app", "all"))
	get, put := reads(Inside)[0], writes(Inside)[0]
	for _, v := range []Verb{get, put} {
		if err := v.Ask(t.Context(), c); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
	}
	w.roll.Tokens = nil
	w.update()
	w.store.asked.Store(0)
	for _, v := range []Verb{get, put} {
		if err := v.Ask(t.Context(), c); err == nil || w.store.asked.Load() > 0 {
			t.Errorf("%s with a revoked token: %v", v.Name, err)
		}
	}
}

// watchesAreJudgedAgain: a watch delivers nothing any more once its token is revoked, or has lost a right that it needs. One that needs
// less than was taken goes on.
func watchesAreJudgedAgain(t *testing.T, f Front) {
	rule := placement.Rule{Prefix: "in/", Read: true, List: true}
	for name, c := range map[string]struct {
		change   func(w *world)
		keysOnly bool
		want     api.Code // "": it goes on
	}{
		"nothing":                 {change: func(*world) {}},
		"another policy":          {change: func(w *world) { w.roll.Policies = append(w.roll.Policies, placement.Policy{Name: "other"}) }},
		"revoked":                 {change: func(w *world) { w.roll.Tokens = nil }, want: api.CodeUnauthenticated},
		"may not list":            {change: func(w *world) { rule := rule; rule.List = false; w.rule(rule) }, want: api.CodeDenied},
		"may not read":            {change: func(w *world) { rule := rule; rule.Read = false; w.rule(rule) }, want: api.CodeDenied},
		"may not read, keys only": {change: func(w *world) { rule := rule; rule.Read = false; w.rule(rule) }, keysOnly: true},
		"may do less":             {change: func(w *world) { rule := rule; rule.Prefix = "in/a"; w.rule(rule) }, want: api.CodeDenied},
	} {
		w, b := newWorld(t)
		w.rule(rule)
		client := f(t, b, w.token(t, "app", "p"))
		if client.Watch == nil {
			return
		}
		s, err := client.Watch(t.Context(), &api.WatchRequest{Range: api.PrefixRange("in/"), KeysOnly: c.keysOnly})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w.put(t, Inside)
		if _, err := nextEvent(s); err != nil {
			t.Fatalf("%s: before the change: %v", name, err)
		}
		c.change(w)
		w.update()
		w.put(t, Inside)
		e, err := nextEvent(s)
		if api.CodeOf(err) != c.want || (e != nil) != (c.want == "") {
			t.Errorf("%s: told %+v, %v; want the end with %q", name, e, err, c.want)
		}
		_ = s.Close() // its end was the last word
	}
}

// rule makes the policy "p" of one rule.
func (w *world) rule(r placement.Rule) {
	w.roll.Policies = []placement.Policy{{Name: "p", Rules: []placement.Rule{r}}}
}

// put writes a key behind the front's back.
func (w *world) put(t *testing.T, k api.Key) {
	t.Helper()
	if _, err := w.store.Memory.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k}}}); err != nil {
		t.Fatal(err)
	}
}

// nextEvent returns the next event of a watch, or its end.
func nextEvent(s api.WatchStream) (*api.Event, error) {
	for {
		b, err := s.Next()
		if err != nil {
			return nil, err
		}
		if len(b.Events) > 0 {
			return &b.Events[0], nil
		}
	}
}

// ownIDs: two principals that send one id mean two requests; one principal that sends it twice means one.
//
// Attack 32.
func ownIDs(t *testing.T, f Front) {
	w, b := newWorld(t)
	id := api.RequestID{Client: api.ClientID{1, 2, 3}, Seq: 7, AckedBelow: 7}
	add := &api.Txn{ID: id, Then: []api.Op{{Kind: api.OpAdd, Key: "n", Delta: 1}}}
	for i, name := range []string{"alice", "bob"} {
		c := f(t, b, w.token(t, name, "all"))
		for again := range 2 {
			res, err := c.Do(t.Context(), add)
			if want := fmt.Sprint(i + 1); err != nil || string(res.Entries[0].Value) != want || res.Replayed != (again == 1) {
				t.Fatalf("%s, %d: %+v, %v", name, again, res, err)
			}
		}
	}
}
