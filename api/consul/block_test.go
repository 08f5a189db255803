package consul

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// blocked asks in a goroutine and returns where the answer comes.
func (c *client) blocked(target, index, more string) <-chan reply {
	return c.blockedAt("/v1/kv/"+target, index, more)
}

func (c *client) blockedAt(target, index, more string) <-chan reply {
	answers := make(chan reply, 1)
	go func() { answers <- c.ask("GET "+target+"index="+index+more, "") }()
	synctest.Wait()
	return answers
}

// TestBlocking: a query that names an index is answered when something of what it asks for changes, and with a higher index; else when its
// wait is over, with the same.
func TestBlocking(t *testing.T) {
	for name, q := range map[string]struct {
		target        string
		change, other func(c *client)
	}{
		"a key is written":           {"t/k?", func(c *client) { c.want("PUT /v1/kv/t/k", "y", 200, "true") }, func(c *client) { c.want("PUT /v1/kv/t/kk", "y", 200, "true") }},
		"a key is written, raw":      {"t/k?raw&", func(c *client) { c.want("PUT /v1/kv/t/k", "y", 200, "true") }, func(c *client) { c.want("DELETE /v1/kv/t/kk", "y", 200, "true") }},
		"a key is deleted":           {"t/k?", func(c *client) { c.want("DELETE /v1/kv/t/k", "", 200, "true") }, func(c *client) { c.want("PUT /v1/kv/u", "y", 200, "true") }},
		"a key is made":              {"t/n?", func(c *client) { c.want("PUT /v1/kv/t/n", "y", 200, "true") }, func(c *client) { c.want("PUT /v1/kv/t/k", "y", 200, "true") }},
		"a key of a tree is made":    {"t/?recurse&", func(c *client) { c.want("PUT /v1/kv/t/n", "y", 200, "true") }, func(c *client) { c.want("PUT /v1/kv/u", "y", 200, "true") }},
		"a key of a tree is deleted": {"t/?recurse&", func(c *client) { c.want("DELETE /v1/kv/t/k", "", 200, "true") }, func(c *client) { c.want("PUT /v1/kv/u", "y", 200, "true") }},
		"a key of keys is deleted":   {"t/?keys&", func(c *client) { c.want("DELETE /v1/kv/t/k", "", 200, "true") }, func(c *client) { c.want("PUT /v1/kv/u", "y", 200, "true") }},
		"of everything":              {"?keys&", func(c *client) { c.want("DELETE /v1/kv/u?recurse", "", 200, "true") }, func(c *client) { c.session("") }},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t)
			c.want("PUT /v1/kv/t/k", "x", 200, "true")
			c.want("PUT /v1/kv/u", "x", 200, "true")
			index := c.ask("GET /v1/kv/"+q.target, "").index()
			over := c.blocked(q.target, index, "&wait=1m")
			q.other(c)
			time.Sleep(time.Minute - 1)
			synctest.Wait()
			select {
			case r := <-over:
				t.Errorf("%s: something else is answered %+v", name, r)
			default:
			}
			time.Sleep(time.Minute/waitSpread + 2)
			synctest.Wait()
			if r := <-over; r.index() != index {
				t.Errorf("%s: after the wait it is answered %+v, and the index was %s", name, r, index)
			}
			index = c.ask("GET /v1/kv/"+q.target, "").index() // a deletion elsewhere counts
			answers := c.blocked(q.target, index, "")
			q.change(c)
			synctest.Wait()
			select {
			case r := <-answers:
				if indexOf(t, r.index()) <= indexOf(t, index) {
					t.Errorf("%s: the index is %s, and was %s", name, r.index(), index)
				}
			default:
				t.Errorf("%s: nothing is answered", name)
				<-answers
			}
			if r := c.ask("GET /v1/kv/"+q.target+"index="+index, ""); indexOf(t, r.index()) <= indexOf(t, index) {
				t.Errorf("%s: a query that comes later is answered %+v", name, r)
			}
		})
	}
}

// TestBlockedOnALock: a query of a key that is locked is answered when the session ends, which writes nothing to the key: by its time to
// live alone, and by its destruction. One that comes later is answered at once.
func TestBlockedOnALock(t *testing.T) {
	for _, target := range []string{"k?", "?recurse&", "k?stale&"} {
		for _, behavior := range []string{"release", "delete"} {
			for _, destroyed := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					c := newClient(t)
					s := c.session(`{"TTL":"10s","Behavior":"` + behavior + `"}`)
					c.want("PUT /v1/kv/k?acquire="+s, "x", 200, "true")
					index := c.ask("GET /v1/kv/"+target, "").index()
					begin := time.Now()
					answers := c.blocked(target, index, "")
					if destroyed {
						c.want("PUT /v1/session/destroy/"+s, "", 200, "true")
					} else { // something has to make the reference store look at its clock
						time.Sleep(10*time.Second + 1)
						c.want("GET /v1/kv/elsewhere", "", 404, "")
					}
					r := <-answers
					if took := time.Since(begin); indexOf(t, r.index()) <= indexOf(t, index) || took > 11*time.Second {
						t.Errorf("%s, %s: it is answered %+v after %v", target, behavior, r, took)
					}
					if late := c.ask("GET /v1/kv/"+target+"index="+index, ""); late.index() != r.index() || late.body != r.body {
						t.Errorf("later it is answered %+v, after %+v", late, r)
					}
				})
			}
		}
	}
}

// silent is a watcher that tells nothing.
type silent struct{ ctx context.Context }

func (silent) Watch(ctx context.Context, _ *api.WatchRequest) (api.WatchStream, error) {
	return silent{ctx}, nil
}

func (s silent) Next() (*api.WatchBatch, error) {
	<-s.ctx.Done()
	return nil, s.ctx.Err()
}

func (silent) Close() error { return nil }

// TestEndOfTheWait: a query keeps no answer while it waits. What it is answered when the wait is over was found then.
func TestEndOfTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, func(f *front.Config) { f.Watcher = silent{} })
		c.want("PUT /v1/kv/k", "x", 200, "true")
		answers := c.blocked("k?raw&", c.ask("GET /v1/kv/k", "").index(), "&wait=1m")
		c.want("PUT /v1/kv/k", "y", 200, "true")
		if r := <-answers; r.status != 200 || r.body != "y" || r.index() != fmt.Sprint(c.one("k").ModifyIndex) {
			t.Errorf("it is answered %+v", r)
		}
	})
}

// crowded is a lister whose lists take a moment, and that knows how many were under way at most.
type crowded struct {
	*storetest.Memory
	now, most atomic.Int32
}

func (l *crowded) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	l.most.Store(max(l.most.Load(), l.now.Add(1)))
	defer l.now.Add(-1)
	time.Sleep(time.Millisecond)
	return l.Memory.List(ctx, r)
}

// TestWakeUpsAreAdmitted: queries that one change wakes find their answers only as many at once as requests are let in.
func TestWakeUpsAreAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &crowded{}
		room := admission.New(admission.Config{SlowAfter: time.Hour, Shares: admission.Shares{admission.Request: 1}})
		c := newClient(t, func(f *front.Config) { l.Memory, f.Lister, f.Room = f.Lister.(*storetest.Memory), l, room })
		c.want("PUT /v1/kv/t/k", "x", 200, "true")
		index := c.ask("GET /v1/kv/t/?recurse", "").index()
		var all []<-chan reply
		for range 4 {
			all = append(all, c.blocked("t/?recurse&", index, ""))
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if n := room.UnderWay(); n != 0 {
			t.Errorf("%d queries that wait are in flight", n)
		}
		c.want("PUT /v1/kv/t/k", "y", 200, "true")
		for _, answers := range all {
			if r := <-answers; r.status != 200 || indexOf(t, r.index()) <= indexOf(t, index) {
				t.Errorf("it is answered %+v", r)
			}
		}
		if n := l.most.Load(); n != 1 || room.UnderWay() != 0 {
			t.Errorf("%d lists were made at once, %d requests are in flight", n, room.UnderWay())
		}
		answers := c.blocked("t/?recurse&", c.ask("GET /v1/kv/t/?recurse", "").index(), "")
		time.Sleep(time.Second)
		place, _ := room.Enter(admission.Ask{Class: admission.Request})
		inject(t, c.m, api.Op{Kind: api.OpPut, Key: "consul/t/k", Value: []byte("z")})
		if r := <-answers; r.status != 503 {
			t.Errorf("while there is no room it is answered %+v", r)
		}
		place.Leave()
	})
}

// TestIndexOfElsewhere: a query that names an index above all that there are, as of another cluster or from before a restore, waits for the
// next change and is answered with the lower index, at which its client begins anew.
func TestIndexOfElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		c.want("PUT /v1/kv/k", "x", 200, "true")
		answers := c.blocked("k?", "18446744073709551615", "")
		c.want("PUT /v1/kv/k", "y", 200, "true")
		if r := <-answers; r.status != 200 || r.index() != fmt.Sprint(c.one("k").ModifyIndex) {
			t.Errorf("it is answered %+v", r)
		}
	})
}

// TestIndexRises: whatever happens, the index of a query never goes back, and rises with what changes the answer.
func TestIndexRises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		s := c.session(`{"TTL":"10s","LockDelay":"1s","Behavior":"delete"}`)
		targets := []string{"t/a", "t/?recurse", "?keys", "t/b"}
		last := map[string]reply{}
		look := func(after string) {
			for _, target := range targets {
				r, before := c.ask("GET /v1/kv/"+target, ""), last[target]
				if indexOf(t, r.index()) < 1 || before.header != nil && (indexOf(t, r.index()) < indexOf(t, before.index()) || r.body != before.body && r.index() == before.index()) {
					t.Errorf("%s after %s: %s %s, and it was %s %s", target, after, r.index(), r.body, before.index(), before.body)
				}
				last[target] = r
			}
		}
		look("nothing")
		for _, line := range []string{
			"PUT /v1/kv/t/a", "PUT /v1/kv/t/b", "PUT /v1/kv/t/a", "DELETE /v1/kv/t/b", "PUT /v1/kv/t/b?acquire=" + s, "DELETE /v1/kv/t/a", "PUT /v1/kv/t/b?release=" + s,
			"PUT /v1/kv/t/b?acquire=" + s, "wait", "wait", "PUT /v1/kv/t/b", "PUT /v1/kv/t/a", "DELETE /v1/kv/?recurse", "DELETE /v1/kv/?recurse",
		} {
			if line == "wait" {
				time.Sleep(11 * time.Second)
			} else if r := c.ask(line, "x"); r.status != 200 {
				t.Errorf("%s is answered %+v", line, r)
			}
			look(line)
		}
	})
}

func indexOf(t *testing.T, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("the index is %q", text)
	}
	return n
}
