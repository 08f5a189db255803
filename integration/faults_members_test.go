package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/integration/history"
)

// TestFaultsMembers: in a planet under faults a server of each region, dead or alive, is replaced by one that has joined, and an edge
// leaves for another; what the clients saw is judged as in TestFaults. To replay: go test ./integration -run TestFaultsMembers -seed N -v
func TestFaultsMembers(t *testing.T) {
	t.Parallel()
	seed, perOps := max(*oneSeed, 71), 300
	if testing.Short() {
		perOps = 80
	}
	synctest.Test(t, func(t *testing.T) {
		t.Logf("replay with -seed %d", seed)
		p := plannedPlanet(t, seed, 1, false)
		defer p.close()
		for _, r := range regions {
			p.host(r+"-4", r, api.RoleServer)
		}
		p.host("us-east-edge-2", "us-east", api.RoleEdge)
		p.launch()
		w := &workload{planet: p, recorder: history.NewRecorder(func() time.Duration { return time.Since(epoch) }), clients: 8, perOps: perOps, think: 300 * time.Millisecond}
		for i := range 12 {
			w.keys = append(w.keys, api.Key(fmt.Sprintf("%s/k%d", regions[i%len(regions)], i/len(regions))))
		}
		mild := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return strings.HasPrefix(f.name, "crash") }) // a removed node does not come back
		stop, made, changed := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(made)
			nemesis(p, mild, seed, stop, func(string) {})
		}()
		go func() {
			defer close(changed)
			p.replaceMembers(rand.New(rand.NewPCG(seed, 0x3e3)))
		}()
		w.run(seed, time.Now().Add(time.Hour))
		close(stop)
		<-made
		<-changed
		p.healed(w)
		judge(t, p, w)
		p.changedMembers()
	})
}

// changedMembers demands that every region's group has three voters, the new server among them, and that those who were to go are gone.
func (p *planet) changedMembers() {
	s := p.status("us-east-4")
	for _, g := range s.Groups {
		if g.Region != "" && (len(g.Voters) != 3 || !slices.Contains(g.Voters, api.NodeID(string(g.Region)+"-4"))) {
			p.t.Errorf("group %s has voters %v", g.Group, g.Voters)
		}
	}
	for _, n := range s.Nodes {
		if h := p.byName[string(n.Node)]; h.running() == nil {
			p.t.Errorf("node %s is gone, and stands in the map", n.Node)
		}
	}
	if len(s.Nodes) != 12 {
		p.t.Errorf("the map has %d nodes, want 12", len(s.Nodes))
	}
}

// replaceMembers starts the spare hosts, one after the other, and gives each the place of another node.
func (p *planet) replaceMembers(r *rand.Rand) {
	pause := func() {
		d := time.Duration(10+r.IntN(40)) * time.Second
		if testing.Short() {
			d /= 5
		}
		time.Sleep(d)
	}
	for _, region := range regions {
		pause()
		old, by := p.byName[fmt.Sprintf("%s-%d", region, 1+r.IntN(3))], p.byName[region+"-4"]
		dead := r.IntN(2) == 0
		p.t.Logf("%8.3fs  %s takes the place of %s, dead %v", time.Since(epoch).Seconds(), by.name, old.name, dead)
		by.joins()
		if dead {
			old.crash()
		}
		p.ordered("replace "+old.name, old, func(ctx context.Context, n *cluster.Node) (*api.Progress, error) {
			return n.Replace(ctx, api.NodeID(old.name), api.NodeID(by.name), false)
		})
		old.crash()
	}
	pause()
	old := p.byName["us-east-edge-1"]
	p.byName["us-east-edge-2"].joins()
	p.ordered("leave "+old.name, old, func(ctx context.Context, n *cluster.Node) (*api.Progress, error) {
		return n.Leave(ctx, api.NodeID(old.name), false)
	})
	old.crash()
}

// joins starts a node that is not in the plan.
func (h *host) joins() {
	h.startAs(func(cfg *cluster.Config) {
		cfg.Static, cfg.Join = nil, nil
		for _, r := range regions {
			for i := range 3 {
				cfg.Join = append(cfg.Join, fmt.Sprintf("%s-%d", r, i+1))
			}
		}
	})
}

// ordered repeats an order at servers other than the node's until it is done.
func (p *planet) ordered(what string, but *host, order func(context.Context, *cluster.Node) (*api.Progress, error)) {
	last, taken := "", false
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		for _, h := range p.hosts {
			n := h.running()
			if n == nil || h == but || h.role != api.RoleServer {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			done, err := order(ctx, n)
			cancel()
			switch {
			case err == nil && done.Done:
				p.t.Logf("%8.3fs  %s: done", time.Since(epoch).Seconds(), what)
				return
			case api.CodeOf(err) == api.CodeNotFound && taken:
				p.t.Logf("%8.3fs  %s: it is gone", time.Since(epoch).Seconds(), what)
				return
			case err != nil:
				last = err.Error()
			default:
				taken = true
				last = strings.Join(done.Waits, "; ")
			}
			break
		}
	}
	p.t.Errorf("%s is not done after 10 minutes: %s", what, last)
}
