package integration

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// ways are the ways in which an edge can be cut off.
var ways = []struct {
	name  string
	hears bool // revocations still reach it
	// back is how soon it serves by leases again when it is healed.
	back time.Duration
	cut  func(p *planet, h *host) (heal func())
}{
	{"both ways", false, 5 * time.Second, func(p *planet, h *host) func() {
		p.fabric.Isolate(h.name)
		return func() { p.fabric.Rejoin(h.name) }
	}},
	// Its keep-alives came and its answers did not, as if it were stuck: such a process gets no leases for a while.
	{"it receives nothing", false, 20 * time.Second, func(p *planet, h *host) func() { _, heal := p.oneWay(h, true); return heal }},
	{"it reaches no node", true, 5 * time.Second, func(p *planet, h *host) func() { _, heal := p.oneWay(h, false); return heal }},
}

// TestCutOffEdge: an edge that is cut off serves by its leases for less than T by its own clock, without any
// message; then it is unavailable, or answers with what it has and the exact age of it where that was asked for. It
// serves by leases again soon after it is back.
func TestCutOffEdge(t *testing.T) {
	for _, way := range ways {
		if testing.Short() && way.hears {
			continue
		}
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			scripted(t, 1, func(p *planet) { cutOffEdge(p, way.hears, way.back, way.cut) })
		})
	}
}

func cutOffEdge(p *planet, hears bool, back time.Duration, cut func(*planet, *host) func()) {
	const key = "eu-west/greeting"
	far, near := p.byName["ap-south-edge-1"], p.byName["eu-west-edge-1"]
	p.put(near, key, "old")
	p.lease(far, key, "old")
	time.Sleep(2 * keepAlive) // its sessions are renewed from now on

	heal, began := cut(p, far), time.Now()
	var write *writing
	if !hears { // else it would give the lease up at once
		write = p.begin(near, put(key, "new"))
	}
	last, gone := p.lapse(far, key, "old")
	if served := last.Sub(began); served >= leaseTerm || served < leaseTerm-keepAlive-reach {
		p.t.Errorf("it served by its lease for %v after it was cut off; T is %v", served, leaseTerm)
	}
	p.nothingButStale(far, key, last, gone)
	if hears {
		p.put(near, key, "new")
	} else {
		write.ok(p.t)
		if !write.ended.After(last) {
			p.t.Errorf("it served the old value %v after the write was acknowledged", last.Sub(write.ended))
		}
		if e, _ := p.anyAge(far, key, "old"); time.Since(write.ended) > e.Age {
			p.t.Errorf("a value that was overwritten %v ago is said to be %v old", time.Since(write.ended), e.Age)
		}
	}
	p.unavailable(far, get(key), time.Second)

	heal()
	p.soon(back, "the edge serves the new value by a lease again", func() bool {
		res, err := storetest.Read(within(p.t, time.Second), far.store0(), get(key))
		if err == nil && string(res.Entries[0].Value) != "new" {
			p.t.Fatalf("after healing it serves %q, by %v", res.Entries[0].Value, res.ServedBy)
		}
		return err == nil && res.ServedBy == api.ServedByLease
	})
}

// nothingButStale demands that the host, whose lease ran out after last and no later than gone, answers no more than it
// may.
func (p *planet) nothingButStale(at *host, key api.Key, last, gone time.Time) {
	p.t.Helper()
	const most = 4 * time.Second
	bounded := &api.ReadRequest{Keys: []api.Key{key}, Consistency: api.Bounded, MaxStale: most}
	p.unavailable(at, get(key), time.Second)
	p.unavailable(at, &api.ReadRequest{Keys: []api.Key{key}, Consistency: api.Quorum}, time.Second)

	first, read := p.anyAge(at, key, "old")
	if ran := read.Add(-first.Age); !ran.After(last) || ran.After(gone) {
		p.t.Errorf("its age of %v says that it ran out %v after it last served", first.Age, ran.Sub(last))
	}
	out := read.Add(-first.Age)
	time.Sleep(time.Until(out.Add(most)))
	res, err := storetest.Read(within(p.t, time.Second), at.store0(), bounded)
	if err != nil || res.ServedBy != api.ServedByStale || res.Age != most || string(res.Entries[0].Value) != "old" {
		p.t.Errorf("a read that bears %v, at just that age: %+v, %v", most, res, err)
	}
	time.Sleep(time.Millisecond)
	p.unavailable(at, bounded, time.Second)
	if res, read = p.anyAge(at, key, "old"); read.Add(-res.Age) != out {
		p.t.Errorf("its age rose from %v to %v in %v", first.Age, res.Age, read.Sub(out)-first.Age)
	}
}

// anyAge reads the key however old it is.
func (p *planet) anyAge(at *host, key api.Key, value string) (*api.ReadResult, time.Time) {
	p.t.Helper()
	res, err := storetest.Read(within(p.t, time.Second), at.store0(), &api.ReadRequest{Keys: []api.Key{key}, Consistency: api.Stale})
	if err != nil || res.ServedBy != api.ServedByStale || string(res.Entries[0].Value) != value {
		p.t.Fatalf("stale read of %q at %s: %+v, %v", key, at.name, res, err)
	}
	return res, time.Now()
}

// unavailable demands that a read is refused for now, within its time.
func (p *planet) unavailable(at *host, r *api.ReadRequest, d time.Duration) {
	p.t.Helper()
	began := time.Now()
	res, err := storetest.Read(within(p.t, d), at.store0(), r)
	if api.CodeOf(err) != api.CodeUnavailable {
		p.t.Errorf("a %v read at %s, which is cut off: %+v, %v", r.Consistency, at.name, res, err)
	}
	if took := time.Since(began); took > d {
		p.t.Errorf("a %v read with a time of %v was refused after %v", r.Consistency, d, took)
	}
}
