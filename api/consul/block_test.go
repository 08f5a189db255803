package consul

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// blocked asks in a goroutine and returns where the answer comes.
func (c *client) blocked(target, index, more string) <-chan reply {
	answers := make(chan reply, 1)
	go func() { answers <- c.ask("GET /v1/kv/"+target+"index="+index+more, "") }()
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
			time.Sleep(time.Nanosecond)
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

// TestIndexOfElsewhere: a query that names an index above all that there are, as of another cluster or of before a restore, waits for the
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
