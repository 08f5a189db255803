package integration

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// The scripts: planets on which one thing happens at a time, each with the promise that it shows and its bound in virtual
// time. Beside what a script asserts, the NoStale auditor looks into every cache at every write.

// leaseTerm is T of all nodes, keepAlive their H, and outwait the W that a grantor counts for them: P is the machine's own.
const (
	leaseTerm = words.DefaultLeaseTerm
	keepAlive = words.DefaultKeepAlive
)

var outwait = words.GrantorWait(leaseTerm, clock.PauseAllowance(clock.Source))

const (
	// leeway is what a bound allows for commits, ticks and ways inside a region.
	leeway = 100 * time.Millisecond
	// reach is longer than any round trip of the table.
	reach = 250 * time.Millisecond
)

// scripted runs a script on a planet in a bubble of its own.
func scripted(t *testing.T, groups int, script func(p *planet)) {
	seed := max(*oneSeed, 1)
	synctest.Test(t, func(t *testing.T) {
		t.Logf("replay with -seed %d", seed)
		p := newPlanet(t, seed, groups)
		defer p.close()
		script(p)
	})
}

// kill crashes hosts, all at this instant: what is left of their processes ends beside the script.
func kill(hosts ...*host) {
	var ending sync.WaitGroup
	for _, h := range hosts {
		h.planet.t.Cleanup(ending.Wait)
		ending.Go(h.crash)
	}
	synctest.Wait()
}

// soon waits until ok holds, and fails if that takes longer than d.
func (p *planet) soon(d time.Duration, what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(10 * time.Millisecond) {
		if !time.Now().Before(end) {
			p.t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// put writes through the host, and fails if that does not succeed.
func (p *planet) put(at *host, key api.Key, value string) *api.TxnResult {
	p.t.Helper()
	res, err := at.store0().Do(within(p.t, time.Minute), put(key, value))
	if err != nil {
		p.t.Fatalf("put %q at %s: %v", key, at.name, err)
	}
	return res
}

// reads demands that a linearizable read at the host finds the value; "" is an absent key.
func (p *planet) reads(at *host, key api.Key, value string) *api.ReadResult {
	p.t.Helper()
	res, err := storetest.Read(within(p.t, 10*time.Second), at.store0(), get(key))
	if err != nil {
		p.t.Fatalf("read %q at %s: %v", key, at.name, err)
	}
	if e := res.Entries[0]; string(e.Value) != value || e.Exists != (value != "") {
		p.t.Fatalf("read %q at %s, by %v: %q (exists: %v), not %q", key, at.name, res.ServedBy, e.Value, e.Exists, value)
	}
	return res
}

// lease reads the key at the host until it does so by a lease.
func (p *planet) lease(at *host, key api.Key, value string) {
	p.t.Helper()
	p.soon(10*time.Second, "a lease on "+string(key)+" at "+at.name, func() bool {
		return p.reads(at, key, value).ServedBy == api.ServedByLease
	})
}

// byLease reads the key at the host if that takes no time and no other node.
func (h *host) byLease(key api.Key) (value string, ok bool) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	res, err := storetest.Read(over, h.store0(), get(key))
	if err != nil || res.ServedBy != api.ServedByLease {
		return "", false
	}
	return string(res.Entries[0].Value), true
}

// lapse is when the host stops to serve the key by a lease: last is the last instant at which it did, gone the first at
// which it did not. All that time it must serve the value.
func (p *planet) lapse(at *host, key api.Key, value string) (last, gone time.Time) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		got, ok := at.byLease(key)
		switch {
		case !ok && last.IsZero():
			p.t.Fatalf("%s has no lease on %q to begin with", at.name, key)
		case !ok:
			return last, time.Now()
		case got != value:
			p.t.Fatalf("%s serves %q of %q by a lease, not %q", at.name, got, key, value)
		}
		if last = time.Now(); last.After(end) {
			p.t.Fatalf("%s never stops to serve %q", at.name, key)
		}
	}
}

// writing is a write that is under way.
type writing struct {
	done  chan struct{}
	began time.Time
	// Set before done is closed:
	ended time.Time
	res   *api.TxnResult
	err   error
}

// begin begins a write through the host.
func (p *planet) begin(at *host, txn *api.Txn) *writing {
	w := &writing{done: make(chan struct{}), began: time.Now()}
	ctx := within(p.t, 2*time.Minute)
	go func() {
		defer close(w.done)
		w.res, w.err = at.store0().Do(ctx, txn)
		w.ended = time.Now()
	}()
	return w
}

// ok waits for the write, which must have succeeded, and returns how long it took.
func (w *writing) ok(t *testing.T) time.Duration {
	t.Helper()
	<-w.done
	if w.err != nil {
		t.Fatal(w.err)
	}
	return w.ended.Sub(w.began)
}

// session is the host's session in the group that owns the key, by what is cached of it.
func (p *planet) session(at *host, key api.Key) ident.SessionID {
	p.t.Helper()
	held, ok := at.store().AuditKey(key)
	if !ok {
		p.t.Fatalf("%s holds nothing of %q", at.name, key)
	}
	return held.Session
}

// owner is the group of the key.
func (p *planet) owner(key api.Key) api.GroupID {
	g, _, _ := p.plan.Locate(key)
	return g
}

// newLeader waits until another host than old says of itself that it leads the group.
func (p *planet) newLeader(g api.GroupID, old *host) *host {
	p.t.Helper()
	var found *host
	p.soon(15*time.Second, "a new leader of "+string(g), func() bool {
		for _, h := range p.hosts {
			if n := h.running(); n != nil && h != old {
				if s, ok := n.Group(g); ok && string(s.Leader) == h.name {
					found = h
				}
			}
		}
		return found != nil
	})
	return found
}
