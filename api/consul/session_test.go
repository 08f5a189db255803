package consul

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestSessions: what a session is created as, and that it lives for its time to live after each renewal.
func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		info := func(id string) (s sessionBody, there bool) {
			var all []sessionBody
			if err := json.Unmarshal([]byte(c.ask("GET /v1/session/info/"+id, "").body), &all); err != nil || len(all) > 1 {
				t.Fatal(all, err)
			}
			if len(all) == 0 {
				return s, false
			}
			return all[0], true
		}
		plain, _ := info(c.session(""))
		if plain.Node != "n1" || plain.LockDelay != 15*time.Second || plain.Behavior != "release" || plain.TTL != "" || len(plain.NodeChecks) != 1 || plain.CreateIndex == 0 {
			t.Errorf("by default it is %+v", plain)
		}
		id := c.session(`{"Name":"x","Node":"other","TTL":"10s","LockDelay":"2s","Behavior":"delete","Checks":[]}`)
		if s, _ := info(id); s.ID != id || s.Name != "x" || s.Node != "other" || s.LockDelay != 2*time.Second || s.Behavior != "delete" || s.TTL != "10s" || len(s.Checks) > 0 {
			t.Errorf("it is %+v", s)
		}
		for body, want := range map[string]time.Duration{`{"LockDelay":3}`: 3 * time.Second, `{"LockDelay":0}`: 0, `{"lockdelay":"2h"}`: time.Minute, `{"LockDelay":4000000000}`: 4 * time.Second, `{"LockDelay":"15000ms"}`: 15 * time.Second} {
			if s, _ := info(c.session(body)); s.LockDelay != want {
				t.Errorf("%s: %v", body, s.LockDelay)
			}
		}
		var all []sessionBody
		if err := json.Unmarshal([]byte(c.ask("GET /v1/session/node/other", "").body), &all); err != nil || len(all) != 1 || all[0].ID != id {
			t.Errorf("at the node there are %v, %v", all, err)
		}
		if err := json.Unmarshal([]byte(c.ask("GET /v1/session/list", "").body), &all); err != nil || len(all) != 7 {
			t.Errorf("there are %v, %v", all, err)
		}
		for range 5 {
			time.Sleep(9 * time.Second)
			if r := c.ask("PUT /v1/session/renew/"+id, ""); r.status != 200 || !strings.Contains(r.body, id) {
				t.Fatalf("it is renewed with %d %s", r.status, r.body)
			}
		}
		time.Sleep(10*time.Second + 1)
		if _, there := info(id); there || c.ask("PUT /v1/session/renew/"+id, "").status != 404 {
			t.Error("it lives for longer than its time to live")
		}
		if _, there := info(plain.ID); !there || c.ask("PUT /v1/session/renew/"+plain.ID, "").status != 200 {
			t.Error("a session without a time to live has ended")
		}
		c.want("PUT /v1/session/destroy/"+plain.ID, "", 200, "true")
		if _, there := info(plain.ID); there {
			t.Error("it was destroyed")
		}
	})
}

// TestLocks: a lock is taken, taken again, refused to others, and released.
func TestLocks(t *testing.T) {
	c := newClient(t)
	a, b := c.session(`{"LockDelay":0}`), c.session(`{"LockDelay":0}`)
	c.want("PUT /v1/kv/k?acquire="+a+"&flags=7", "one", 200, "true")
	first := c.one("k")
	if first.Session != a || first.LockIndex != 1 || string(first.Value) != "one" || first.Flags != 7 {
		t.Errorf("it is %+v", first)
	}
	c.want("PUT /v1/kv/k?acquire="+b, "x", 200, "false")
	c.want("PUT /v1/kv/k?release="+b, "x", 200, "false")
	c.want("PUT /v1/kv/k?acquire="+a, "two", 200, "true")
	c.want("PUT /v1/kv/k", "three", 200, "true") // locks are advisory
	if p := c.one("k"); p.Session != a || p.LockIndex != 1 || string(p.Value) != "three" || p.CreateIndex != first.CreateIndex {
		t.Errorf("it is %+v", p)
	}
	c.want(fmt.Sprintf("PUT /v1/kv/k?cas=%d", c.one("k").ModifyIndex), "four", 200, "true")
	c.want("PUT /v1/kv/k?release="+a, "five", 200, "true")
	if p := c.one("k"); p.Session != "" || p.LockIndex != 1 || string(p.Value) != "five" {
		t.Errorf("it is %+v", p)
	}
	c.want("PUT /v1/kv/k?acquire="+b, "six", 200, "true")
	if p := c.pairs("?recurse")[0]; p.Session != b || p.LockIndex != 2 {
		t.Errorf("it is %+v", p)
	}
	c.want("DELETE /v1/kv/k", "", 200, "true")
	c.want("PUT /v1/kv/k?acquire="+a, "", 200, "true")
	if p := c.one("k"); p.Session != a || p.LockIndex != 1 {
		t.Errorf("it is %+v", p)
	}
}

// TestEndOfSession: with a session its locks end, at once and for every reader, by its time to live and by its destruction, and no client
// has to come for that. Its keys are released or deleted, and the index of the key and of its tree rises.
func TestEndOfSession(t *testing.T) {
	for _, behavior := range []string{"release", "delete"} {
		for _, destroyed := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t)
				s := c.session(`{"TTL":"10s","LockDelay":"5s","Behavior":"` + behavior + `"}`)
				other := c.session("")
				c.want("PUT /v1/kv/k", "zero", 200, "true")
				c.want("PUT /v1/kv/k?acquire="+s, "one", 200, "true")
				before := c.one("k")
				if destroyed {
					c.want("PUT /v1/session/destroy/"+s, "", 200, "true")
				} else {
					time.Sleep(10*time.Second + 1)
				}
				for _, target := range []string{"k", "?recurse", "k?stale", "?recurse&stale"} {
					all := c.pairs(target)
					index := c.ask("GET /v1/kv/"+target, "").index()
					if index <= fmt.Sprint(before.ModifyIndex) {
						t.Errorf("%s of %s: the index is %s, after %d", behavior, target, index, before.ModifyIndex)
					}
					switch {
					case behavior == "delete" && len(all) != 0:
						t.Errorf("%s: there is %+v", target, all)
					case behavior == "release" && (len(all) != 1 || all[0].Session != "" || all[0].LockIndex != 1 || string(all[0].Value) != "one" || all[0].ModifyIndex <= before.ModifyIndex):
						t.Errorf("%s: there is %+v", target, all)
					}
				}
				c.want(fmt.Sprintf("PUT /v1/kv/k?cas=%d", before.ModifyIndex), "x", 200, "false")
				c.want("PUT /v1/kv/k?acquire="+s, "x", 500, fmt.Sprintf("invalid session %q", s))
				c.want("PUT /v1/kv/k?release="+s, "x", 200, "false")
				c.want("PUT /v1/kv/k?acquire="+other, "x", 200, "false") // the lock-delay
				time.Sleep(4 * time.Second)
				c.want("PUT /v1/kv/k?acquire="+other, "x", 200, "false")
				time.Sleep(time.Second + 1)
				c.want("PUT /v1/kv/k?acquire="+other, "two", 200, "true")
				after := c.one("k")
				if want := map[string]uint64{"release": 2, "delete": 1}[behavior]; after.LockIndex != want || after.Session != other || (after.CreateIndex == before.CreateIndex) != (behavior == "release") {
					t.Errorf("%s: it is %+v, after %+v", behavior, after, before)
				}
			})
		}
	}
}

// TestLockDelayOutlivesTheKey: what happens to a key after the end of the session that held its lock does not shorten the lock-delay.
func TestLockDelayOutlivesTheKey(t *testing.T) {
	for _, behavior := range []string{"release", "delete"} {
		for name, lines := range map[string][]string{
			"nothing": nil, "a write": {"PUT /v1/kv/k"}, "a deletion": {"DELETE /v1/kv/k"}, "the deletion of the tree": {"DELETE /v1/kv/?recurse"},
			"a write and a deletion": {"PUT /v1/kv/k", "DELETE /v1/kv/k"}, "a deletion and a write": {"DELETE /v1/kv/k", "PUT /v1/kv/k", "PUT /v1/kv/k"},
		} {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t)
				s, other := c.session(`{"TTL":"10s","LockDelay":"5s","Behavior":"`+behavior+`"}`), c.session("")
				c.want("PUT /v1/kv/k?acquire="+s, "one", 200, "true")
				time.Sleep(11 * time.Second)
				for _, line := range lines {
					c.want(line, "x", 200, "true")
				}
				c.want("PUT /v1/kv/k?acquire="+other, "x", 200, "false")
				time.Sleep(5 * time.Second)
				c.want("PUT /v1/kv/k?acquire="+other, "two", 200, "true")
				if p := c.one("k"); p.Session != other || string(p.Value) != "two" {
					t.Errorf("%s, after %s: it is %+v", behavior, name, p)
				}
			})
		}
	}
}

// TestWriteAfterTheEnd: a key that the end of a session deletes, and that is written again, is a new key.
func TestWriteAfterTheEnd(t *testing.T) {
	c := newClient(t)
	s := c.session(`{"LockDelay":0,"Behavior":"delete"}`)
	c.want("PUT /v1/kv/k?acquire="+s+"&flags=3", "one", 200, "true")
	before := c.one("k")
	c.want("PUT /v1/session/destroy/"+s, "", 200, "true")
	c.want("PUT /v1/kv/k?cas=0", "two", 200, "true")
	if p := c.one("k"); string(p.Value) != "two" || p.CreateIndex <= before.ModifyIndex || p.Flags != 0 || p.LockIndex != 0 {
		t.Errorf("it is %+v, after %+v", p, before)
	}
	c.want("GET /v1/kv/?keys", "", 200, `["k"]`)
}

// meddler is a store before which something happens just before a transaction.
type meddler struct {
	api.Store
	mu     sync.Mutex
	before func(t *api.Txn) // called once
}

func (m *meddler) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	m.mu.Lock()
	f := m.before
	m.before = nil
	m.mu.Unlock()
	if f != nil {
		f(t)
	}
	return m.Store.Do(ctx, t)
}

func (m *meddler) next(f func(*api.Txn)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = f
}

// TestBetweenLookAndWrite: what happens between the look at a lock and the write counts: each write has the condition that nothing has.
func TestBetweenLookAndWrite(t *testing.T) {
	var m meddler
	fresh := func() *client {
		c := newClient(t, func(c *front.Config) { m.Store = c.Store; c.Store = &m })
		return c
	}
	t.Run("the session ends as it takes a lock", func(t *testing.T) {
		c := fresh()
		s := c.session(`{"LockDelay":0}`)
		m.next(func(*api.Txn) { c.want("PUT /v1/session/destroy/"+s, "", 200, "true") })
		c.want("PUT /v1/kv/k?acquire="+s, "x", 500, fmt.Sprintf("invalid session %q", s))
		c.want("GET /v1/kv/k", "", 404, "")
	})
	t.Run("two take a lock", func(t *testing.T) {
		c := fresh()
		a, b := c.session(""), c.session("")
		m.next(func(*api.Txn) { c.want("PUT /v1/kv/k?acquire="+b, "b", 200, "true") })
		c.want("PUT /v1/kv/k?acquire="+a, "a", 200, "false")
		if p := c.one("k"); p.Session != b || string(p.Value) != "b" {
			t.Errorf("it is %+v", p)
		}
	})
	t.Run("the session ends as it releases a lock", func(t *testing.T) {
		c := fresh()
		s := c.session("")
		c.want("PUT /v1/kv/k?acquire="+s, "a", 200, "true")
		m.next(func(*api.Txn) { c.want("PUT /v1/session/destroy/"+s, "", 200, "true") })
		c.want("PUT /v1/kv/k?release="+s, "b", 200, "false")
		if p := c.one("k"); p.Session != "" || string(p.Value) != "a" {
			t.Errorf("it is %+v", p)
		}
	})
	t.Run("a session ends while its tree is deleted", func(t *testing.T) {
		c := fresh()
		s, other := c.session(""), c.session("")
		c.want("PUT /v1/kv/t/k?acquire="+s, "a", 200, "true")
		m.next(func(*api.Txn) { c.want("PUT /v1/session/destroy/"+s, "", 200, "true") })
		c.want("DELETE /v1/kv/t/?recurse", "", 200, "true")
		c.want("GET /v1/kv/t/k", "", 404, "")
		c.want("PUT /v1/kv/t/k?acquire="+other, "x", 200, "false") // the lock-delay of the session that had it
	})
	t.Run("a session that deletes ends while its key is written", func(t *testing.T) {
		c := fresh()
		s := c.session(`{"Behavior":"delete"}`)
		c.want("PUT /v1/kv/k?acquire="+s, "a", 200, "true")
		n := 0
		var meddle func(*api.Txn)
		meddle = func(*api.Txn) { // the first try is a blind one
			if n++; n == 1 {
				m.next(meddle)
				return
			}
			c.want("PUT /v1/session/destroy/"+s, "", 200, "true")
		}
		m.next(meddle)
		c.want("PUT /v1/kv/k", "b", 200, "true")
		if p := c.one("k"); string(p.Value) != "b" || p.LockIndex != 0 {
			t.Errorf("it is %+v", p)
		}
	})
}

// TestDeletedTree: when the deletion of a tree is answered, the tree had no key at an instant since it was asked for, whatever was made
// meanwhile. One that keeps being made, or a fault in between, leaves the outcome unknown.
func TestDeletedTree(t *testing.T) {
	var m meddler
	fresh := func() *client {
		c := newClient(t, func(c *front.Config) { m.Store = c.Store; c.Store = &m })
		c.want("PUT /v1/kv/u", "x", 200, "true")
		c.want("PUT /v1/kv/t/a", "x", 200, "true")
		return c
	}
	t.Run("a key is made meanwhile", func(t *testing.T) {
		c := fresh()
		m.next(func(*api.Txn) { c.want("PUT /v1/kv/t/b", "x", 200, "true") })
		c.want("DELETE /v1/kv/t/?recurse", "", 200, "true")
		c.want("GET /v1/kv/?keys", "", 200, `["u"]`)
	})
	t.Run("many, and locks that await a lock-delay", func(t *testing.T) {
		c := fresh()
		for i := range maxLeft + 1 {
			s, k := c.session(""), fmt.Sprintf("t/l%d", i)
			c.want("PUT /v1/kv/"+k+"?acquire="+s, "x", 200, "true")
			c.want("PUT /v1/session/destroy/"+s, "", 200, "true")
		}
		m.next(func(*api.Txn) {
			for i := range 2 * maxKeys {
				inject(t, c.m, api.Op{Kind: api.OpPut, Key: dataKey(fmt.Sprintf("t/z%d", i)), Value: []byte("x")})
			}
		})
		c.want("DELETE /v1/kv/t/?recurse", "", 200, "true")
		c.want("GET /v1/kv/?keys", "", 200, `["u"]`)
		c.want("DELETE /v1/kv/?recurse", "", 200, "true")
		c.want("GET /v1/kv/?keys", "", 200, `[]`)
	})
	t.Run("large ones", func(t *testing.T) {
		c := fresh()
		m.next(func(*api.Txn) {
			for i := range 9 {
				inject(t, c.m, api.Op{Kind: api.OpPut, Key: dataKey(fmt.Sprintf("t/z%d", i)), Value: make([]byte, maxValueBytes)})
			}
		})
		c.want("DELETE /v1/kv/t/?recurse", "", 200, "true")
		c.want("GET /v1/kv/?keys", "", 200, `["u"]`)
	})
	t.Run("without end", func(t *testing.T) {
		c := fresh()
		n := 0
		var meddle func(*api.Txn)
		meddle = func(*api.Txn) {
			n++
			inject(t, c.m, api.Op{Kind: api.OpPut, Key: dataKey(fmt.Sprintf("t/b%d", n)), Value: []byte("x")})
			m.next(meddle)
		}
		m.next(meddle)
		if r := c.ask("DELETE /v1/kv/t/?recurse", ""); r.status != 500 || !strings.HasPrefix(r.body, "the outcome is unknown: some keys of the tree were deleted") {
			t.Errorf("it is answered %d %s", r.status, r.body)
		}
		m.next(nil)
	})
}

// inject writes by other means than the front.
func inject(t *testing.T, m *storetest.Memory, ops ...api.Op) {
	t.Helper()
	for some := range slices.Chunk(ops, 100) {
		if _, err := m.Do(t.Context(), &api.Txn{Then: some}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIndexOfSessions: the index of a list of sessions never goes back, and rises when one is made, is destroyed or expires, which a query
// that waits is answered with, and one that comes later at once.
func TestIndexOfSessions(t *testing.T) {
	for _, target := range []string{"list", "node/n1"} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t)
			lasts := c.session("")
			var index string
			changed := func(what string, change func()) {
				t.Helper()
				before := c.ask("GET /v1/session/"+target, "")
				if index != "" && before.index() != index {
					t.Errorf("before %s the index is %s, and was %s", what, before.index(), index)
				}
				index = before.index()
				answers := c.blockedAt("/v1/session/"+target+"?", index, "")
				change()
				synctest.Wait()
				var r reply
				select {
				case r = <-answers:
				default:
					t.Errorf("after %s nothing is answered", what)
					r = <-answers
				}
				late := c.ask("GET /v1/session/"+target+"?index="+index, "")
				if indexOf(t, r.index()) <= indexOf(t, index) || r.body == before.body || late.body != r.body || late.index() != r.index() {
					t.Errorf("after %s it is answered %+v, later %+v, and the index was %s", what, r, late, index)
				}
				index = r.index()
			}
			expires := func(ids ...string) func() {
				return func() {
					time.Sleep(11 * time.Second)
					r := c.ask("GET /v1/session/"+target, "") // something has to make the reference store look at its clock
					for _, id := range ids {
						if strings.Contains(r.body, id) || !strings.Contains(r.body, lasts) {
							t.Errorf("after the end of %s there are %s", id, r.body)
						}
					}
				}
			}
			for range 2 { // the second expires when the marks of the first are the newest
				var s, other string
				changed("a new session", func() { s = c.session(`{"TTL":"10s","LockDelay":"1s"}`) })
				changed("its end", expires(s))
				changed("a new session", func() { s = c.session(`{"TTL":"10s","LockDelay":0}`) })
				changed("another", func() { other = c.session(`{"TTL":"10s"}`) })
				changed("the end of two", expires(s, other))
				changed("a session without end", func() { other = c.session("") })
				changed("its destruction", func() { c.want("PUT /v1/session/destroy/"+other, "", 200, "true") })
			}
		})
	}
}

// TestMarksAreRemoved: what is left of sessions that have expired does not grow with their number, and is nothing of those that were
// destroyed.
func TestMarksAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		marks := func() int {
			page, err := c.m.List(t.Context(), &api.ListRequest{Range: api.PrefixRange(sessions), Limit: api.MaxListLimit})
			if err != nil {
				t.Fatal(err)
			}
			_, expired := sessionsOf(page.Entries)
			return len(expired)
		}
		c.want("PUT /v1/session/destroy/"+c.session(`{"TTL":"10s"}`), "", 200, "true")
		if n := marks(); n != 0 {
			t.Errorf("%d marks of sessions that were destroyed", n)
		}
		for range 300 {
			c.session(`{"TTL":"10s"}`)
			time.Sleep(11 * time.Second)
		}
		if n := marks(); n > 60 {
			t.Errorf("%d marks are left of 300 sessions", n)
		}
	})
}

// TestSessionsOfAReplicaBehind: a list of sessions whose end a replica does not know yet is made again.
func TestSessionsOfAReplicaBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lagging{}
		c := newClient(t, func(f *front.Config) { l.Store, f.Store = f.Store, l })
		c.session(`{"TTL":"10s"}`)
		time.Sleep(11 * time.Second)
		want := c.ask("GET /v1/session/list", "")
		l.before = func(r *api.ReadRequest, out *api.ReadResult) bool {
			out.Entries = []api.Entry{{Key: r.Keys[0], Exists: true, Value: []byte("{}")}}
			return true
		}
		if r := c.ask("GET /v1/session/list?stale", ""); r.body != "[]" || r.index() != want.index() || l.before != nil {
			t.Errorf("it is answered %+v, want %+v", r, want)
		}
	})
}

// lagging is a store before whose next read of sessions alone something happens, and that answers it as it was before if stale.
type lagging struct {
	api.Store
	before func(r *api.ReadRequest, out *api.ReadResult) (answered bool) // called once
}

func (l *lagging) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	if f := l.before; f != nil && strings.HasPrefix(string(r.Keys[0]), sessions) {
		l.before = nil
		if f(r, out) {
			return nil
		}
	}
	return l.Store.Read(ctx, r, out)
}

// TestLocksOfManySessions: a tree has the locks of one instant, and an index of that, also if there are more sessions than one page of a
// list has. So no change is older than an answer that lacks it.
func TestLocksOfManySessions(t *testing.T) {
	l := &lagging{}
	c := newClient(t, func(f *front.Config) { l.Store, f.Store = f.Store, l })
	var ops []api.Op
	for i := range api.MaxListLimit {
		ops = append(ops, api.Op{Kind: api.OpPut, Key: sessionKey(fmt.Sprintf("a%d", i)), Value: []byte("{}")})
	}
	for i := range maxPoints + 1 {
		id, k := fmt.Sprintf("z%d", i), dataKey(fmt.Sprintf("t/%d", i))
		ops = append(ops, api.Op{Kind: api.OpPut, Key: sessionKey(id), Value: []byte("{}")}, api.Op{Kind: api.OpPut, Key: k},
			api.Op{Kind: api.OpPut, Key: k + locked, Value: []byte(`{"session":"` + id + `","index":1}`)})
	}
	inject(t, c.m, ops...)
	c.want("PUT /v1/session/destroy/z1", "", 200, "true")
	l.before = func(*api.ReadRequest, *api.ReadResult) bool {
		inject(t, c.m, api.Op{Kind: api.OpPut, Key: dataKey("t/new")})
		inject(t, c.m, api.Op{Kind: api.OpDelete, Key: sessionKey("z0")})
		return false
	}
	r := c.ask("GET /v1/kv/t/?recurse", "")
	if r.status != 200 || l.before != nil {
		t.Fatalf("it is answered %d %s", r.status, r.body)
	}
	if made := c.one("t/new").ModifyIndex; (indexOf(t, r.index()) >= made) != strings.Contains(r.body, `"t/new"`) {
		t.Errorf("the index is %s, that of the new key is %d: %s", r.index(), made, r.body)
	}
	if n := strings.Count(c.ask("GET /v1/kv/t/?recurse", "").body, `"Session"`); n != maxPoints-1 {
		t.Errorf("%d locks are held, want %d", n, maxPoints-1)
	}
}

// TestReplicaBehind: a replica that is behind, and to which a session still exists, does not give back a lock that is free in the list.
func TestReplicaBehind(t *testing.T) {
	l := &lagging{}
	c := newClient(t, func(f *front.Config) { l.Store, f.Store = f.Store, l })
	s := c.session(`{"LockDelay":0}`)
	c.want("PUT /v1/kv/k?acquire="+s, "x", 200, "true")
	c.want("PUT /v1/session/destroy/"+s, "", 200, "true")
	l.before = func(r *api.ReadRequest, out *api.ReadResult) bool {
		out.Entries = []api.Entry{{Key: r.Keys[0], Exists: true, Value: []byte("{}")}}
		return true
	}
	if all := c.pairs("?recurse&stale"); len(all) != 1 || all[0].Session != "" || l.before != nil {
		t.Errorf("it is %+v", all)
	}
}
