package integration

import (
	"context"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestReadyAgain: a gateway that asked a region in vain while that was cut off is ready soon after the region is back,
// though it gets no request: a load balancer that checks readiness sends it nothing before that.
func TestReadyAgain(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const key = "ap-south/greeting"
		eu := p.byName["eu-west-edge-1"]
		p.put(eu, key, "hello")
		p.fabric.IsolateRegion("ap-south")
		p.refused(eu, key, api.CodeAmbiguous)
		p.unavailable(eu, get(key), 5*time.Second) // longer than an attempt: it has given the leader up
		p.fabric.RejoinRegion("ap-south")
		p.soon(10*time.Second, eu.name+" is ready again", func() bool { return eu.running().Ready(context.Background()) == nil })
	})
}
