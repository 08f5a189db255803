package integration

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// TestEmbeddedClient: the SDK's methods over an edge of this process: a read under a lease takes no time, a transaction spans
// regions, a View is one snapshot, lists and the status are those of the planet.
func TestEmbeddedClient(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		at := p.byName["us-east-edge-1"]
		n := at.running()
		c := client.New(struct {
			api.Store
			api.Lister
			api.Admin
			api.Watcher
		}{n.Store(), n.Store(), n, n.Watcher()})
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
		if s, err := c.Status(ctx); err != nil || len(s.Nodes) == 0 {
			p.t.Errorf("%+v, %v", s, err)
		}
	})
}
