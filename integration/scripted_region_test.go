package integration

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestRegionLost: if a whole region is lost, its keys cannot be written, and the leases on them drain within T; then
// they cannot be read. No other region notices. When it is back, all is as it was.
func TestRegionLost(t *testing.T) {
	for _, how := range []struct {
		name string
		lose func(p *planet, region string) (back func())
		dead bool // what is sent to the region does not arrive later
	}{
		{"crashed", (*planet).crashRegion, true},
		{"cut off", (*planet).cutRegion, false},
	} {
		if testing.Short() && !how.dead {
			continue
		}
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			scripted(t, 1, func(p *planet) { p.lostRegion(how.lose, how.dead) })
		})
	}
}

func (p *planet) crashRegion(region string) (back func()) {
	var down []*host
	for _, h := range p.hosts {
		if h.region == region {
			down = append(down, h)
		}
	}
	kill(down...)
	return func() {
		for _, h := range down {
			h.start()
		}
	}
}

func (p *planet) cutRegion(region string) (back func()) {
	p.fabric.IsolateRegion(region)
	return func() { p.fabric.RejoinRegion(region) }
}

func (p *planet) lostRegion(lose func(*planet, string) func(), dead bool) {
	const lost, kept = "ap-south/greeting", "us-east/greeting"
	us, eu := p.byName["us-east-edge-1"], p.byName["eu-west-edge-1"]
	p.put(eu, kept, "before")
	p.lease(us, kept, "before")
	p.lease(eu, kept, "before")
	p.put(us, lost, "before")
	p.lease(eu, lost, "before")

	back, began := lose(p, "ap-south"), time.Now()
	p.refused(us, lost, api.CodeAmbiguous) // it was sent before its gateway could know
	last, _ := p.lapse(eu, lost, "before")
	if served := last.Sub(began); served >= leaseTerm {
		p.t.Errorf("the lease served for %v after the region was lost; T is %v", served, leaseTerm)
	}
	p.unavailable(eu, get(lost), 2*time.Second)
	for _, at := range []*host{us, eu} {
		if v, ok := at.byLease(kept); !ok || v != "before" {
			p.t.Errorf("%s serves a key of another region by a lease: %q, %v", at.name, v, ok)
		}
	}
	if took := p.begin(eu, put(kept, "after")).ok(p.t); took > reach {
		p.t.Errorf("a write in another region took %v", took)
	}
	p.reads(us, kept, "after")
	if dead {
		p.refused(us, lost, "")
	}

	back()
	for _, at := range p.gateways() {
		p.soon(15*time.Second, at.name+" reads what was lost", func() bool {
			res, err := storetest.Read(within(p.t, time.Second), at.store0(), &api.ReadRequest{Keys: []api.Key{lost}, Consistency: api.Quorum})
			if err != nil {
				return false
			}
			if v := string(res.Entries[0].Value); v != "before" && (dead || v != "during") {
				p.t.Errorf("at %s, after the region is back: %q", at.name, v)
			}
			return true
		})
		p.reads(at, kept, "after")
	}
	p.ready(15 * time.Second)
	p.put(us, lost, "after")
	p.lease(eu, lost, "after")
	p.sameState()
}

// refused demands that a write fails within its time: CodeUnavailable, or the other code.
func (p *planet) refused(at *host, key api.Key, or api.Code) {
	p.t.Helper()
	const d = 2 * time.Second
	began := time.Now()
	_, err := at.store0().Do(within(p.t, d), put(key, "during"))
	if code := api.CodeOf(err); code != api.CodeUnavailable && (or == "" || code != or) || time.Since(began) > d {
		p.t.Errorf("a write to a lost region with a time of %v ended after %v: %v", d, time.Since(began), err)
	}
}
