package integration

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/api/lock"
)

// TestEmbeddedClient: the SDK's methods over an edge of this process: a read under a lease takes no time, a transaction spans
// regions, a View is one snapshot, lists and the status are those of the planet.
func TestEmbeddedClient(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		at := p.byName["us-east-edge-1"]
		c := at.running().Client()
		defer func() { _ = c.Close() }()
		ctx := within(p.t, time.Minute)
		version, err := c.Put(ctx, "us-east/alice", []byte("100"))
		if err != nil {
			p.t.Fatal(err)
		}
		p.lease(at, "us-east/alice", "100")
		began := time.Now()
		v, err := c.Get(ctx, "us-east/alice")
		if took := time.Since(began); err != nil || v.ServedBy != api.ServedByLease || v.Version != version || took > 0 {
			p.t.Errorf("%+v, %v, after %v", v, err, took)
		}
		err = c.Txn(ctx, func(tx *client.Tx) error {
			if _, err := tx.Get(ctx, "us-east/alice"); err != nil {
				return err
			}
			_ = tx.Add("us-east/alice", -10) // if it is refused, Txn says so
			return tx.Add("ap-south/bob", 10)
		})
		if err != nil {
			p.t.Fatal(err)
		}
		err = c.View(ctx, func(tx *client.Tx) error {
			es, err := tx.GetAll(ctx, "us-east/alice", "ap-south/bob")
			if err == nil && (string(es[0].Value) != "90" || string(es[1].Value) != "10") {
				p.t.Errorf("%+v", es)
			}
			return err
		})
		if err != nil {
			p.t.Error(err)
		}
		var keys []api.Key
		for e, err := range c.List(ctx, "") {
			if err != nil {
				p.t.Fatal(err)
			}
			keys = append(keys, e.Key)
		}
		if len(keys) != 2 || keys[0] != "ap-south/bob" {
			p.t.Errorf("listed %q", keys)
		}
		told := 0
		for ev, err := range c.Follow(ctx, "us-east/") {
			if err != nil {
				p.t.Fatal(err)
			}
			if ev.Kind == api.EventPut {
				told++
			}
			if ev.Ready {
				break
			}
		}
		if told != 1 {
			p.t.Errorf("followed %d keys", told)
		}
		l, err := c.Lock(ctx, "ap-south/job", time.Minute)
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := c.Put(ctx, lock.Key("ap-south/job", l.ID), nil); api.CodeOf(err) != api.CodeInvalid {
			p.t.Errorf("a program writes the entry of a lock: %v", err)
		}
		second := make(chan time.Duration, 1)
		go func() {
			next, err := c.Lock(ctx, "ap-south/job", time.Minute)
			if err != nil {
				p.t.Error(err)
				return
			}
			_ = next.Unlock(ctx)
			second <- time.Since(began)
		}()
		time.Sleep(10 * time.Second)
		released := time.Since(began)
		if err := l.Unlock(ctx); err != nil {
			p.t.Error(err)
		}
		// It watches: a release at home, the event, and one transaction are two round trips of 200 ms. One that polled would ask twice a second.
		if took := <-second - released; took > 900*time.Millisecond {
			p.t.Errorf("the next one got the lock after %v", took)
		}
		if s, err := c.Status(ctx); err != nil || len(s.Nodes) == 0 {
			p.t.Errorf("%+v, %v", s, err)
		}
	})
}
