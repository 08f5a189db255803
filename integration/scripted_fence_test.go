package integration

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestLateGrant: a lease is granted, and the key written, while nothing reaches the edge. Then the grant and the
// revocation arrive at one instant, on whichever goroutine runs first. Once the write is acknowledged the edge serves what
// it wrote, in every order.
func TestLateGrant(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		edge, writer := p.byName["ap-south-edge-1"], p.byName["eu-west-edge-1"]
		for round := range 40 {
			key := api.Key(fmt.Sprintf("eu-west/k%d", round))
			p.put(writer, key, "old")
			for range 2 { // the third read asks for a lease
				p.reads(edge, key, "old")
			}
			p.aroundHost(edge, p.fabric.Cut)
			var reading sync.WaitGroup
			reading.Go(func() {
				_, _ = storetest.Read(within(p.t, 10*time.Second), edge.store0(), get(key)) // either value is right: it runs beside the write
			})
			time.Sleep(reach) // by then the grant is in the log
			w := p.begin(writer, put(key, "new"))
			time.Sleep(reach) // and the revocation on its way
			p.aroundHost(edge, p.fabric.Heal)
			w.ok(p.t)
			reading.Wait()
			p.reads(edge, key, "new")
		}
	})
}

// aroundHost cuts or heals every way to the host; what the host sends still arrives.
func (p *planet) aroundHost(h *host, do func(from, to string)) {
	for _, o := range p.hosts {
		if o != h {
			do(o.name, h.name)
		}
	}
}
