package integration

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// between cuts or heals all ways between the servers of two regions; gateways that are nothing else keep theirs.
func (p *planet) between(a, b string, do func(from, to string)) {
	for _, x := range p.hosts {
		for _, y := range p.hosts {
			if x.role == api.RoleServer && y.role == api.RoleServer && (x.region == a && y.region == b || x.region == b && y.region == a) {
				do(x.name, y.name)
			}
		}
	}
}

// status is the cluster's as the host sees it.
func (p *planet) status(at string) *api.Status {
	p.t.Helper()
	s, err := p.byName[at].running().Status(within(p.t, 5*time.Second))
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// leasedVersions are tests of what was read: the versions of the keys as the host sees them at one instant, by leases.
func (p *planet) leasedVersions(at *host, keys ...api.Key) (conds []api.Cond) {
	p.t.Helper()
	p.soon(10*time.Second, "a snapshot by leases at "+at.name, func() bool {
		res, err := storetest.Read(within(p.t, 5*time.Second), at.store0(), &api.ReadRequest{Keys: keys, Snapshot: true})
		if err != nil || res.ServedBy != api.ServedByLease {
			return false
		}
		conds = nil
		for _, e := range res.Entries {
			conds = append(conds, api.Cond{Kind: api.CondVersion, Key: e.Key, Version: e.Version})
		}
		return true
	})
	return conds
}

// TestRevokedAtPrepare: when a transaction over two regions is acknowledged, no node serves what it has overwritten, though the
// decision group has not reached the other region yet.
func TestRevokedAtPrepare(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const us, eu = api.Key("us-east/half"), api.Key("eu-west/half")
		writer, reader := p.byName["us-east-edge-1"], p.byName["ap-south-edge-1"]
		p.put(writer, us, "old")
		p.put(writer, eu, "old")
		tested := p.leasedVersions(writer, "ap-south/far") // keeps it from committing in the other region
		p.lease(reader, us, "old")
		p.lease(reader, eu, "old")
		p.between("us-east", "eu-west", p.fabric.Cut)
		w := p.begin(writer, &api.Txn{If: tested, Then: []api.Op{
			{Kind: api.OpPut, Key: us, Value: []byte("new")}, {Kind: api.OpPut, Key: eu, Value: []byte("new")}}})
		w.ok(p.t)
		for _, k := range []api.Key{us, eu} {
			if value, ok := reader.byLease(k); ok && value != "new" {
				p.t.Errorf("%q of %q is still served by a lease", value, k)
			}
		}
		p.between("us-east", "eu-west", p.fabric.Heal)
		p.reads(reader, eu, "new")
		p.reads(reader, us, "new")
	})
}

// TestWriteSkewUnderLeases: of two transactions at once, each of which reads under leases what the other writes, one is refused:
// what it has read is no longer so.
func TestWriteSkewUnderLeases(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const us, eu = api.Key("us-east/duty"), api.Key("eu-west/duty")
		at := map[api.Key]*host{us: p.byName["us-east-edge-1"], eu: p.byName["eu-west-edge-1"]}
		p.put(at[us], us, "1")
		p.put(at[eu], eu, "1")
		var both []*writing
		txns := map[api.Key]*api.Txn{}
		for k, h := range at {
			p.lease(h, us, "1")
			p.lease(h, eu, "1")
			txns[k] = put(k, "0")
		}
		for k, h := range at {
			txns[k].If = p.leasedVersions(h, us, eu)
		}
		for k, h := range at {
			both = append(both, p.begin(h, txns[k]))
		}
		committed := 0
		for _, w := range both {
			if w.ok(p.t); w.res.Committed {
				committed++
			}
		}
		if committed != 1 {
			p.t.Errorf("%d of two transactions that exclude each other were committed", committed)
		}
	})
}

// TestNoParticipantDecidesAlone: a region that is cut off from the decision group keeps what it has prepared: a read of
// it there is unavailable until the outcome is known.
func TestNoParticipantDecidesAlone(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const us, eu = api.Key("us-east/alone"), api.Key("eu-west/alone")
		writer, reader := p.byName["us-east-edge-1"], p.byName["eu-west-edge-1"]
		p.put(writer, us, "old")
		p.put(writer, eu, "old")
		tested := p.leasedVersions(writer, "ap-south/far")
		p.between("us-east", "eu-west", p.fabric.Cut)
		p.begin(writer, &api.Txn{If: tested, Then: []api.Op{
			{Kind: api.OpPut, Key: us, Value: []byte("new")}, {Kind: api.OpPut, Key: eu, Value: []byte("new")}}}).ok(p.t)
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		if res, err := storetest.Read(ctx, reader.store0(), get(eu)); api.CodeOf(err) != api.CodeUnavailable {
			p.t.Errorf("read while no node can know: %+v, %v", res, err)
		}
		p.reads(reader, us, "new")
		time.Sleep(lockBound)
		for _, g := range p.status("ap-south-edge-1").Groups { // it hangs, and that can be seen
			holds, owes := g.Group == p.owner(eu), g.Group == p.owner(us)
			if (g.Prepared == 1) != holds || (g.Unresolved == 1) != owes || (g.OldestPreparedSeconds > 10) != holds {
				p.t.Errorf("%+v", g)
			}
		}
		p.between("us-east", "eu-west", p.fabric.Heal)
		p.soon(3*time.Second, "the key is free again", func() bool { // until the group that decides has been heard
			_, err := storetest.Read(within(p.t, time.Second), reader.store0(), get(eu))
			return err == nil
		})
		p.reads(reader, eu, "new")
		p.settled(lockBound)
		for _, g := range p.status("ap-south-edge-1").Groups {
			if g.Prepared != 0 || g.Unresolved != 0 || g.OldestPreparedSeconds != 0 {
				p.t.Errorf("after it is over: %+v", g)
			}
		}
	})
}

// TestGatewayCrashesMidway: a gateway crashes at any time of a transaction over two regions; a read then waits no longer
// than promised, sees all of it or nothing, and through another gateway it is done once.
func TestGatewayCrashesMidway(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const us, eu = api.Key("us-east/n"), api.Key("eu-west/n")
		other := p.byName["eu-west-edge-1"]
		const step = 17 * time.Millisecond
		for i := range 10 {
			h := p.byName["us-east-edge-1"]
			txn := &api.Txn{ID: api.RequestID{Client: api.ClientID{1}, Seq: uint64(i + 1), AckedBelow: uint64(i + 1)}, Then: []api.Op{
				{Kind: api.OpAdd, Key: us, Delta: 1}, {Kind: api.OpAdd, Key: eu, Delta: 1}}}
			p.begin(h, txn)
			time.Sleep(time.Duration(i) * step)
			kill(h)
			synctest.Wait()
			began := time.Now()
			res, err := storetest.Read(within(p.t, 15*time.Second), other.store0(), &api.ReadRequest{Keys: []api.Key{us, eu}, Snapshot: true})
			if err != nil || string(res.Entries[0].Value) != string(res.Entries[1].Value) {
				p.t.Errorf("%d: %+v, %v", i, res, err)
			}
			if took := time.Since(began); took > 3*time.Second+4*reach {
				p.t.Errorf("%d: a read took %v", i, took)
			}
			done, err := other.store0().Do(within(p.t, 15*time.Second), txn)
			if want := string(rune('0' + i + 1)); err != nil || i < 9 && (string(done.Entries[0].Value) != want || string(done.Entries[1].Value) != want) {
				p.t.Fatalf("%d: %+v, %v", i, done, err)
			}
			h.start()
			p.ready(15 * time.Second)
		}
		p.settled(lockBound)
		p.reads(other, us, "10")
		p.reads(other, eu, "10")
		p.sameState()
	})
}
