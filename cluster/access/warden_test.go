package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/fsm/placement"
)

func (r *roll) AccessTokenOf(name string, older ...[]byte) placement.AccessToken {
	return placement.AccessToken{Name: name, Policies: []string{"all"}, Hashes: older}
}

// as returns the principal of a token that is valid.
func as(t *testing.T, w *Warden, token string) *front.Principal {
	t.Helper()
	p, err := w.Authenticate(token, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wantCode(t *testing.T, what string, err error, code api.Code, says string) {
	t.Helper()
	if api.CodeOf(err) != code || err != nil && !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, want %q: %s", what, err, code, says)
	}
}

// TestRefusals: what a principal may not do is refused with the words that say which right is missing; a client without a token
// needs one.
//
// Attack 36: observe drains nothing, operate makes no token and reads no key.
func TestRefusals(t *testing.T) {
	r := &roll{}
	r.policy(rules("shop", placement.Rule{Read: true, List: true}, "shop/"))
	r.policy(rules("drop", placement.Rule{Write: true}, "shop/in/"))
	shop, both := r.token(t, "shop", "shop"), r.token(t, "both", "shop", "drop")
	observe, operate, admin := r.token(t, "o1", "observe"), r.token(t, "o2", "operate"), r.token(t, "root", "admin")
	all, none := r.token(t, "all", "all"), r.token(t, "none")
	w := warden(r, server)
	const read, list, write = front.Read, front.List, front.Write
	for _, c := range []struct {
		token string
		right front.Right
		key   api.Key
		says  string // "" if it is allowed
	}{
		{shop, read, "shop/a", ""}, {shop, write, "shop/a", "this token may not write this key"}, {shop, read, "shop", "this token may not read this key"},
		{shop, read, "shop0", "may not read"}, {both, write, "shop/in/a", ""}, {both, read, "shop/in/a", ""}, {both, write, "shop/out", "may not write"},
		{observe, read, "a", "may not read"}, {operate, read, "a", "may not read"}, {admin, read, "a", "may not read"}, {admin, write, "a", "may not write"},
		{all, write, "\xff", ""}, {none, read, "a", "may not read"},
	} {
		err := w.AllowKey(as(t, w, c.token), "x", c.right, c.key)
		if c.says == "" && err != nil || c.says != "" && (api.CodeOf(err) != api.CodeDenied || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%v of %q: %v", c.right, c.key, err)
		}
	}
	wantCode(t, "a list beyond the prefix", w.AllowRange(as(t, w, shop), "list", list, api.Range{Start: "shop"}), api.CodeDenied, "ask for a prefix that this token may list")
	wantCode(t, "a list within it", w.AllowRange(as(t, w, shop), "list", list, api.PrefixRange("shop/")), "", "")
	for _, c := range []struct {
		who                          string
		observe, operate, administer api.Code
	}{
		{observe, "", api.CodeDenied, api.CodeDenied}, {operate, "", "", api.CodeDenied}, {admin, "", "", ""},
		{all, api.CodeDenied, api.CodeDenied, api.CodeDenied}, {"", api.CodeUnauthenticated, api.CodeUnauthenticated, api.CodeUnauthenticated},
	} {
		p := as(t, w, c.who)
		wantCode(t, p.Name+" observes", w.AllowCluster(p, "status", front.Observe, ""), c.observe, "")
		wantCode(t, p.Name+" operates", w.AllowCluster(p, "drain", front.Operate, "n"), c.operate, "")
		wantCode(t, p.Name+" administers", w.AllowCluster(p, "token create", front.Administer, "t"), c.administer, "")
	}
	anonymous := as(t, w, "")
	wantCode(t, "an anonymous read", w.AllowKey(anonymous, "read", read, "a"), api.CodeUnauthenticated, "a token is needed")
	wantCode(t, "an anonymous request", w.Enter(anonymous, 0), api.CodeUnauthenticated, "a token is needed")
	wantCode(t, "a request without any right", w.Check(as(t, w, none)), "", "")
}

// TestAnonymous: a client without a token has the policy "anonymous" if there is one; else everything in a cluster that speaks
// plain, and nothing in any other.
func TestAnonymous(t *testing.T) {
	for _, open := range []bool{true, false} {
		r := &roll{}
		w := NewWarden(Config{At: server, Now: func() time.Duration { return 0 }})
		w.Update(Source{Roll: r.now(), Open: open})
		want := map[bool]api.Code{true: "", false: api.CodeUnauthenticated}[open]
		p := as(t, w, "")
		wantCode(t, "without a policy", w.AllowKey(p, "read", front.Write, "a"), want, "")
		wantCode(t, "without a policy", w.AllowCluster(p, "drain", front.Administer, "a"), want, "")
		r.policy(rules("anonymous", placement.Rule{Read: true}, "public/"))
		w.Update(Source{Roll: r.now(), Open: open})
		wantCode(t, "what the policy gives", w.AllowKey(p, "read", front.Read, "public/a"), "", "")
		wantCode(t, "what it does not give", w.AllowKey(p, "read", front.Read, "private/a"), api.CodeUnauthenticated, "a token is needed")
		wantCode(t, "any request", w.Check(p), "", "")
	}
}

// TestValidAt: a token for a region or a node is valid there alone, and one that may administer is valid at servers alone; elsewhere
// it is as unknown as any.
//
// Attack 35.
func TestValidAt(t *testing.T) {
	r := &roll{}
	eu := r.add(t, placement.AccessToken{Name: "eu", Policies: []string{"all"}, At: []string{"eu-west"}})
	one := r.add(t, placement.AccessToken{Name: "one", Policies: []string{"all"}, At: []string{"us-east-1"}})
	admin := r.token(t, "admin", "admin", "all")
	for _, c := range []struct {
		at             Place
		eu, one, admin bool
	}{
		{Place{"us-east-1", "us-east", api.RoleServer}, false, true, true},
		{Place{"us-east-2", "us-east", api.RoleServer}, false, false, true},
		{Place{"eu-west-1", "eu-west", api.RoleServer}, true, false, true},
		{Place{"eu-west-edge-1", "eu-west", api.RoleEdge}, true, false, false},
	} {
		w := warden(r, c.at)
		for token, want := range map[string]bool{eu: c.eu, one: c.one, admin: c.admin} {
			if _, err := w.Authenticate(token, ""); (err == nil) != want {
				t.Errorf("at %s: %v", c.at.Node, err)
			} else if !want {
				wantCode(t, "elsewhere", err, api.CodeUnauthenticated, "the token is not known here")
			}
		}
	}
}

// TestSocket: the admin socket may do everything at a server, also before the node knows a token; at an edge there is nothing to
// administer. No token passes for it.
func TestSocket(t *testing.T) {
	for role, want := range map[api.Role]api.Code{api.RoleServer: "", api.RoleEdge: api.CodeDenied} {
		w := NewWarden(Config{At: Place{Role: role}, Now: func() time.Duration { return 0 }})
		p := &front.Principal{Name: front.Socket, From: "uid 0"}
		wantCode(t, "operates", w.AllowCluster(p, "drain", front.Operate, ""), "", "")
		wantCode(t, "administers", w.AllowCluster(p, "token create", front.Administer, ""), want, "")
		wantCode(t, "a named principal without a grant", w.Check(&front.Principal{Name: "alice"}), api.CodeUnavailable, "")
	}
}

// TestRevoked: a principal is judged by the newest table at each check, whatever it was when it came.
//
// Attack 33, at the evaluator: a revoked token, one with fewer policies, a policy that became narrower.
func TestRevoked(t *testing.T) {
	r := &roll{}
	r.policy(rules("shop", placement.Rule{Read: true, Write: true}, "shop/"))
	token := r.token(t, "app", "shop", "observe")
	w := warden(r, server)
	p := as(t, w, token)
	read := func() error { return w.AllowKey(p, "read", front.Read, "shop/a") }
	wantCode(t, "at first", read(), "", "")
	old := r.now()
	r.Policies[0] = rules("shop", placement.Rule{Read: true}, "shop/b")
	r.Revision++
	w.Update(Source{Roll: r.now()})
	wantCode(t, "after a narrower policy", read(), api.CodeDenied, "may not read")
	w.Update(Source{Roll: old})
	wantCode(t, "after an older roll came late", read(), api.CodeDenied, "may not read")
	r.Tokens[0].Policies = []string{"read-all"}
	r.Revision++
	w.Update(Source{Roll: r.now()})
	wantCode(t, "after another policy", read(), "", "")
	wantCode(t, "the policy that it had", w.AllowCluster(p, "status", front.Observe, ""), api.CodeDenied, "")
	r.Tokens = nil
	r.Revision++
	w.Update(Source{Roll: r.now()})
	for what, err := range map[string]error{
		"read": read(), "check": w.Check(p), "enter": w.Enter(p, 0), "list": w.AllowRange(p, "list", front.List, api.Range{}),
		"status": w.AllowCluster(p, "status", front.Observe, ""),
	} {
		wantCode(t, what+" after the revocation", err, api.CodeUnauthenticated, "the token is not known here")
	}
	if w.Holds(p, front.Read, "shop/a") || len(w.SeenAt()) != 0 {
		t.Error("a revoked token holds a right or is remembered")
	}
}

// TestOldTablesAreForgotten: an update that changes nothing makes no table, and a principal that does nothing while tables come and go
// keeps none of them in memory, however many connections there are.
func TestOldTablesAreForgotten(t *testing.T) {
	r := &roll{}
	token := r.token(t, "app", "all")
	w := warden(r, server)
	p := as(t, w, token)
	s := Source{Roll: r.now(), MaxAge: time.Hour}
	w.Update(s)
	first := w.table.Load()
	w.Update(s)
	if w.table.Load() != first {
		t.Error("the same source makes another table")
	}
	wantCode(t, "a read", w.AllowKey(p, "read", front.Read, "a"), "", "")
	old := weak.Make(first)
	s.Open = true // the same revision
	w.Update(s)
	if w.table.Load() == old.Value() {
		t.Error("another source makes no other table")
	}
	runtime.GC()
	if old.Value() != nil {
		t.Error("a principal keeps the table by which it was judged")
	}
	wantCode(t, "a read by the new table", w.AllowKey(p, "read", front.Read, "a"), "", "")
}

// TestAge: a node whose table is older than its bound and 5 s refuses all clients, and serves again when it has heard
// of a newer one; before it has heard anything it refuses too.
//
// Attack 34, at the evaluator.
func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var asleep atomic.Int64 // how much longer the node's clock ran than the process
		r := &roll{}
		token := r.token(t, "app", "all")
		w := NewWarden(Config{At: server, Now: func() time.Duration { return time.Since(began) + time.Duration(asleep.Load()) }})
		_, err := w.Authenticate(token, "")
		wantCode(t, "without a table", err, api.CodeUnavailable, "")
		w.Update(Source{Roll: r.now(), MaxAge: time.Hour})
		_, err = w.Authenticate(token, "")
		wantCode(t, "with a table of unknown age", err, api.CodeUnavailable, "has not heard yet")
		if w.Stale() {
			t.Error("an unknown age is an alarm at once")
		}
		time.Sleep(hearWithin + time.Second)
		if !w.Stale() {
			t.Error("an age that stays unknown is no alarm")
		}
		w.Heard(w.cfg.Now(), 0)
		p := as(t, w, token)
		anonymous := &front.Principal{}
		time.Sleep(time.Hour + 4*time.Second)
		wantCode(t, "within the bound", w.Enter(p, 0), "", "")
		if !w.Stale() {
			t.Error("an age over half of the bound is no alarm")
		}
		time.Sleep(2 * time.Second)
		wantCode(t, "over the bound", w.Enter(p, 0), api.CodeUnavailable, "the access table is 60m old: this node is cut off")
		wantCode(t, "an anonymous client", w.Check(anonymous), api.CodeUnavailable, "cut off")
		wantCode(t, "administration", w.AllowCluster(p, "status", front.Observe, ""), api.CodeUnavailable, "cut off")
		w.Heard(w.cfg.Now(), 2*time.Hour) // by a voter that is cut off itself
		wantCode(t, "after an old answer", w.Enter(p, 0), api.CodeUnavailable, "cut off")
		w.Heard(w.cfg.Now(), time.Second)
		wantCode(t, "after a new answer", w.Enter(p, 0), "", "")
		if w.Stale() {
			t.Error("a table that was just heard of is an alarm")
		}
		asleep.Store(int64(2 * time.Hour)) // a suspend, which the process does not notice
		time.Sleep(time.Second)
		wantCode(t, "after a suspend", w.Enter(p, 0), api.CodeUnavailable, "120m old")
		w.Update(Source{Roll: r.now()}) // the bound is lifted
		wantCode(t, "without a bound", w.Enter(p, 0), "", "")
		if w.Stale() {
			t.Error("there is an alarm without a bound")
		}
	})
}

// TestOpenClusterHasNoAge: a cluster that speaks plain and has never granted anything serves also where it is cut off.
func TestOpenClusterHasNoAge(t *testing.T) {
	r := &roll{}
	w := NewWarden(Config{At: server, Now: func() time.Duration { return 0 }})
	w.Update(Source{Roll: r.now(), Open: true, MaxAge: time.Hour})
	wantCode(t, "without tokens", w.Check(&front.Principal{}), "", "")
	r.token(t, "app", "all")
	w.Update(Source{Roll: r.now(), Open: true, MaxAge: time.Hour})
	wantCode(t, "with one", w.Check(&front.Principal{}), api.CodeUnavailable, "")
}

// TestRates: a token has a second's worth at once and then its rate, in requests and in bytes; what is returned counts too. Other
// tokens, and other tables with the same limits, change nothing.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &roll{}
		ops := r.add(t, placement.AccessToken{Name: "ops", Policies: []string{"all"}, Ops: 4})
		size := r.add(t, placement.AccessToken{Name: "bytes", Policies: []string{"all"}, Bytes: 100})
		w := warden(r, server)
		p, b := as(t, w, ops), as(t, w, size)
		for range 4 {
			wantCode(t, "within the rate", w.Enter(p, 1<<20), "", "")
		}
		err := w.Enter(p, 0)
		wantCode(t, "over it", err, api.CodeLimited, "over its rate")
		if wait := api.AsError(err).RetryAfter; wait < 200*time.Millisecond || wait > 300*time.Millisecond {
			t.Errorf("the wait is %v", wait)
		}
		r.Revision++
		w.Update(Source{Roll: r.now()})
		wantCode(t, "after another table", w.Enter(p, 0), api.CodeLimited, "")
		time.Sleep(251 * time.Millisecond)
		wantCode(t, "a quarter of a second later", w.Enter(p, 0), "", "")
		wantCode(t, "and one more", w.Enter(p, 0), api.CodeLimited, "")

		wantCode(t, "bytes within the rate", w.Enter(b, 60), "", "")
		w.Charge(b, 240)
		err = w.Enter(b, 0)
		wantCode(t, "bytes over it", err, api.CodeLimited, "")
		if wait := api.AsError(err).RetryAfter; wait < 1900*time.Millisecond || wait > 2100*time.Millisecond {
			t.Errorf("the wait is %v", wait)
		}
		if wait := w.Pace(b); wait < 1900*time.Millisecond || wait > 2100*time.Millisecond || w.Pace(p) != 0 {
			t.Errorf("the pace is %v, and %v without a rate in bytes", wait, w.Pace(p))
		}
		time.Sleep(2001 * time.Millisecond)
		if wait := w.Pace(b); wait != 0 {
			t.Errorf("the pace is %v two seconds later", wait)
		}
		wantCode(t, "two seconds later", w.Enter(b, 0), "", "")
	})
}

// TestAudit: refusals and administration are written down before anything is done, a line each, whatever the names hold; values and
// secrets are not. If the log cannot be written, nothing is administered but through the admin socket.
//
// Attack 38: a full disk, a newline in a name, many refusals.
func TestAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var full error
		failed := 0
		a := NewAudit(AuditConfig{Node: "us-east-1", To: writer(func(b []byte) (int, error) {
			if full != nil {
				return 0, full
			}
			return log.Write(b)
		}), Failed: func(error) { failed++ }})
		r := &roll{}
		p := rules("watched", placement.Rule{Read: true}, "k")
		p.Audit = true
		r.policy(p)
		admin, watched := r.token(t, "root", "admin"), r.token(t, "w", "watched")
		w := warden(r, server, func(c *Config) { c.Audit = a })
		root := as(t, w, admin)
		root.From = "10.0.0.1:77\n{}"
		wantCode(t, "drain", w.AllowCluster(root, "drain", front.Operate, "us-east-2\n\"x\""), "", "")
		wantCode(t, "status", w.AllowCluster(root, "status", front.Observe, ""), "", "")
		wantCode(t, "a key", w.AllowKey(root, "read", front.Read, "\xff"), api.CodeDenied, "")
		wantCode(t, "a watched key", w.AllowKey(as(t, w, watched), "read", front.Read, "k1"), "", "")
		_, _ = w.Authenticate(watched+"x", "10.0.0.2:78")
		lines := entries(t, &log)
		if len(lines) != 4 {
			t.Fatalf("the log is %v", lines)
		}
		for i, want := range []entry{
			{Principal: "root", From: "10.0.0.1:77\n{}", Verb: "drain", Right: "operate", Outcome: "begun"},
			{Principal: "root", From: "10.0.0.1:77\n{}", Verb: "read", Right: "read", Outcome: "denied", Why: api.CodeDenied},
			{Principal: "w", Verb: "read", Right: "read", Outcome: "begun"}, {From: "10.0.0.2:78", Verb: "authenticate", Outcome: "denied", Why: api.CodeUnauthenticated},
		} {
			got := lines[i]
			if got.Node != "us-east-1" || got.Time == "" {
				t.Errorf("line %d is %+v", i, got)
			}
			got.Node, got.Time, got.ID, got.Target, got.TargetB64 = "", "", "", nil, nil
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("line %d is %+v, want %+v", i, got, want)
			}
		}
		if *lines[0].Target != "us-east-2\n\"x\"" || string(lines[1].TargetB64) != "\xff" {
			t.Errorf("the targets are %q and %q", *lines[0].Target, lines[1].TargetB64)
		}

		time.Sleep(time.Second)
		log.Reset()
		for range 100_000 {
			_ = w.AllowKey(root, "read", front.Read, "k")
		}
		time.Sleep(time.Second)
		_ = w.AllowKey(root, "read", front.Read, "k")
		lines = entries(t, &log)
		if len(lines) != maxDenials+2 || lines[maxDenials].More != 100_000-maxDenials {
			t.Errorf("100,000 refusals are %d lines, the last but one %+v", len(lines), lines[len(lines)-2])
		}

		full = errors.New("no space left on device")
		wantCode(t, "administration with a full disk", w.AllowCluster(root, "token create", front.Administer, "t"), api.CodeUnavailable, "audit log cannot be written")
		wantCode(t, "a watched key with a full disk", w.AllowKey(as(t, w, watched), "read", front.Read, "k1"), api.CodeUnavailable, "")
		wantCode(t, "the socket with a full disk", w.AllowCluster(&front.Principal{Name: front.Socket}, "token create", front.Administer, "t"), "", "")
		wantCode(t, "a refusal with a full disk", w.AllowKey(root, "read", front.Read, "k"), api.CodeDenied, "")
		if failed != 4 {
			t.Errorf("%d lines failed", failed)
		}
	})
}

// TestTornLine: after a line of which only a part could be written, the next one is a line of its own. A key that is longer than any can
// be is cut.
func TestTornLine(t *testing.T) {
	var log bytes.Buffer
	room := 40
	a := NewAudit(AuditConfig{Node: "us-east-1", To: writer(func(b []byte) (int, error) {
		n := min(len(b), room)
		log.Write(b[:n])
		if n < len(b) {
			return n, errors.New("no space left on device")
		}
		return n, nil
	})})
	drain := act{verb: "drain", right: front.Operate, target: strings.Repeat("k", 64<<10)}
	if a.begun(&front.Principal{}, drain) == nil {
		t.Error("a line that was written in part is no error")
	}
	room = 0
	if a.begun(&front.Principal{}, drain) == nil {
		t.Error("a line that was not written is no error")
	}
	room = 1 << 20
	for range 2 {
		if err := a.begun(&front.Principal{}, drain); err != nil {
			t.Fatal(err)
		}
	}
	_, rest, _ := strings.Cut(log.String(), "\n")
	lines := entries(t, bytes.NewBufferString(rest))
	if len(lines) != 2 || lines[0].Verb != "drain" || len(*lines[0].Target) != api.MaxKeyBytes {
		t.Errorf("after a torn line: %+v", lines)
	}
}

type writer func([]byte) (int, error)

func (f writer) Write(b []byte) (int, error) { return f(b) }

// entries reads a log whose lines are one entry each.
func entries(t *testing.T, log *bytes.Buffer) (all []entry) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

// TestWardenIsConcurrent checks while tables come, for the race detector. No check is judged by a table that is older than the
// newest one known when it began.
func TestWardenIsConcurrent(t *testing.T) {
	r := &roll{}
	token := r.token(t, "app", "all")
	w := warden(r, server)
	p := as(t, w, token)
	var revoked atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20_000 {
				was := revoked.Load()
				if err := w.AllowKey(p, "read", front.Read, "k"); err == nil && was {
					t.Error("a read that began after the revocation is allowed")
					return
				}
				_, _ = w.Authenticate(token, "")
				_ = w.Enter(p, 1)
			}
		})
	}
	for range 100 {
		r.Revision++
		w.Update(Source{Roll: r.now()})
		w.Heard(0, 0)
	}
	r.Tokens = nil
	r.Revision++
	w.Update(Source{Roll: r.now()})
	revoked.Store(true)
	wg.Wait()
}

// leased is what a read under a lease asks of a warden.
func leased(w *Warden, p *front.Principal, k api.Key) error {
	if err := w.Enter(p, 0); err != nil {
		return err
	}
	return w.AllowKey(p, "read", front.Read, k)
}

// TestCheckAllocatesNothing: the check of a leased read's rights allocates nothing.
func TestCheckAllocatesNothing(t *testing.T) {
	w, p := benchmarked(t)
	if n := testing.AllocsPerRun(1000, func() {
		if err := leased(w, p, "shop/customers/1"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// benchmarked returns a principal with eight rules.
func benchmarked(t testing.TB) (*Warden, *front.Principal) {
	r := &roll{}
	r.policy(rules("p", placement.Rule{Read: true}, "a/", "b/", "shop/", "shop/customers/", "t/", "u/", "v/", "w/"))
	secret, err := NewToken(zeros{})
	if err != nil {
		t.Fatal(err)
	}
	hash := secret.Hash()
	r.Tokens = []placement.AccessToken{{ID: secret.ID, Name: "app", Hashes: [][]byte{hash[:]}, Policies: []string{"p"}}}
	w := warden(r, server)
	p, err := w.Authenticate(secret.Secret().Reveal(), "")
	if err != nil {
		t.Fatal(err)
	}
	return w, p
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func BenchmarkCheck(b *testing.B) {
	w, p := benchmarked(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := leased(w, p, "shop/customers/1"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	r := &roll{}
	w := warden(r, server)
	secret, err := NewToken(zeros{})
	if err != nil {
		b.Fatal(err)
	}
	unknown := secret.Secret().Reveal()
	for name, text := range map[string]string{"unknown id": unknown, "malformed": "x"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = w.Authenticate(text, "")
			}
		})
	}
}
