package integration

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestOneLockedKey: a transaction holds a key, and what decides it cannot be reached. However many wait for the key, other keys of
// its group are read as before, through every gateway.
func TestOneLockedKey(t *testing.T) {
	skipUnderRace(t, "thousands of requests at once")
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const near, locked, other = api.Key("us-east/alone"), api.Key("eu-west/alone"), api.Key("eu-west/other")
		writer, reader := p.byName["us-east-edge-1"], p.byName["eu-west-edge-1"]
		p.put(writer, near, "old")
		p.put(writer, locked, "old")
		p.put(writer, other, "v")
		p.between("us-east", "eu-west", p.fabric.Cut)
		tested := p.leasedVersions(writer, "ap-south/far")
		p.begin(writer, &api.Txn{If: tested, Then: []api.Op{
			{Kind: api.OpPut, Key: near, Value: []byte("new")}, {Kind: api.OpPut, Key: locked, Value: []byte("new")}}})
		time.Sleep(time.Second)
		ctx, stop := context.WithCancel(p.t.Context())
		var all sync.WaitGroup
		var asked atomic.Int64
		all.Go(func() {
			for ctx.Err() == nil { // 300 a second, each with 10 s of patience
				all.Go(func() {
					ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
					defer cancel()
					asked.Add(1)
					_, _ = storetest.Read(ctx, reader.store0(), &api.ReadRequest{Keys: []api.Key{locked}, Consistency: api.Quorum})
				})
				time.Sleep(time.Second / 300)
			}
		})
		time.Sleep(12 * time.Second)
		p.readsAtOnce(other, reader, p.byName["eu-west-1"], p.byName["ap-south-edge-1"])
		if n := asked.Load(); n < 3000 {
			p.t.Errorf("only %d have asked for the locked key", n)
		}
		stop()
		p.between("us-east", "eu-west", p.fabric.Heal)
		all.Wait()
	})
}

// TestDeadHolderHoldsNoPlace: an edge dies that holds many leases. Writes of its keys wait for it; what has nothing to do with that
// edge is read meanwhile as before, through every gateway.
func TestDeadHolderHoldsNoPlace(t *testing.T) {
	skipUnderRace(t, "thousands of requests at once")
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const writes, other = 2400, "us-east/unrelated"
		holder, writer := p.byName["eu-west-edge-1"], p.byName["us-east-edge-1"]
		keys := make([]api.Key, writes)
		for i := range keys {
			keys[i] = api.Key(fmt.Sprintf("us-east/k%05d", i))
		}
		p.put(writer, other, "x")
		for range 4 { // absent keys are leased, too
			for at := 0; at < writes; at += 500 {
				q := &api.ReadRequest{Keys: keys[at:min(at+500, writes)]}
				if _, err := storetest.Read(within(p.t, 20*time.Second), holder.store0(), q); err != nil {
					p.t.Fatal(err)
				}
			}
		}
		leader := p.leader("us-east.1")
		kill(holder)
		var all sync.WaitGroup
		for _, k := range keys {
			all.Go(func() { _, _ = writer.store0().Do(within(p.t, 30*time.Second), put(k, "v")) })
		}
		time.Sleep(600 * time.Millisecond)
		p.readsAtOnce(other, p.byName["ap-south-edge-1"], writer, p.byName["eu-west-1"], leader)
		all.Wait()
	})
}

// TestDeadHoldersGivePlacesBack: three edges die, and 2,700 writes of their keys wait at the leader, more than the places that it has for
// requests and no more of one holder than may wait for it. They keep no place, so another key is read as before.
func TestDeadHoldersGivePlacesBack(t *testing.T) {
	skipUnderRace(t, "thousands of requests at once")
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const writes, other = 900, "us-east/unrelated"
		leader := p.leader("us-east.1")
		p.put(leader, other, "x")
		var keys []api.Key
		var holders []*host
		for _, name := range []string{"us-east-edge-1", "eu-west-edge-1", "ap-south-edge-1"} {
			holder := p.byName[name]
			holders = append(holders, holder)
			for i := range writes {
				keys = append(keys, api.Key(fmt.Sprintf("us-east/%s/%05d", name, i)))
			}
			own := keys[len(keys)-writes:]
			for part := range slices.Chunk(own, 450) { // absent keys are leased, too
				p.soon(20*time.Second, name+" holds leases", func() bool {
					res, err := storetest.Read(within(p.t, 20*time.Second), holder.store0(), &api.ReadRequest{Keys: part})
					return err == nil && res.ServedBy == api.ServedByLease
				})
			}
		}
		kill(holders...)
		writers := []*host{p.byName["us-east-1"], p.byName["eu-west-1"], p.byName["ap-south-1"]}
		var all sync.WaitGroup
		var waiting atomic.Int64
		for i, k := range keys {
			all.Go(func() {
				waiting.Add(1)
				defer waiting.Add(-1)
				ctx := within(p.t, 30*time.Second)
				for ctx.Err() == nil { // one that a busy machine refuses comes again
					if _, err := writers[i%len(writers)].store0().Do(ctx, put(k, "v")); err == nil {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
			})
			if i%100 == 99 { // not all at one instant, of which a machine would be busy
				time.Sleep(10 * time.Millisecond)
			}
		}
		time.Sleep(admission.SlowAfter + 100*time.Millisecond)
		if n := waiting.Load(); n <= admission.DefaultRequests {
			p.t.Errorf("only %d writes wait", n)
		}
		p.readsAtOnce(other, append(writers, leader)...)
		all.Wait()
	})
}

// readsAtOnce demands that each of the nodes reads the key at its owner 20 times, each time within a second.
func (p *planet) readsAtOnce(k api.Key, at ...*host) {
	p.t.Helper()
	var all sync.WaitGroup
	for _, h := range at {
		all.Go(func() {
			for range 20 {
				began := time.Now()
				_, err := storetest.Read(within(p.t, 10*time.Second), h.store0(), &api.ReadRequest{Keys: []api.Key{k}, Consistency: api.Quorum})
				if took := time.Since(began); err != nil || took > time.Second {
					p.t.Errorf("%q, which has nothing to do with what others wait for, was read at %s within %v: %v", k, h.name, took, err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	all.Wait()
}
