package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// meshAtOnce is how many servers are asked at once what they see.
const meshAtOnce = 16

// seen is what one server says of the others.
type seen struct {
	lost []string // servers that it cannot reach, and that others can
	err  error
}

// mesh checks that every server reaches every other: each is asked for its own view of the cluster, in which it has dialled all nodes.
func mesh(ctx context.Context, x *exam) []Finding {
	s, err := x.status()
	if err != nil {
		return unanswered("the servers to ask", err)
	}
	servers := slices.DeleteFunc(slices.Clone(s.Nodes), func(n api.NodeStatus) bool { return n.Role != api.RoleServer || n.State == "unreachable" })
	if x.At == nil || len(servers) == 0 {
		return skip("see the check nodes", "no server was asked which others it reaches")
	}
	views := x.views(ctx, servers)
	var all []Finding
	var refused error
	asked := 0
	for i, v := range views {
		switch {
		case v.err != nil:
			refused = v.err
		case len(v.lost) > 0:
			all = append(all, fail("see the firewalls between them, and --advertise of the latter", "%s does not reach %s", servers[i].Node, strings.Join(v.lost, ", "))...)
			fallthrough
		default:
			asked++
		}
	}
	switch {
	case asked == 0:
		return skip("give --token with the right observe, and --addr of a server", "no server says which others it reaches: %v", refused)
	case len(all) > 0:
		return all
	}
	says := fmt.Sprintf("all %d servers reach each other", len(servers))
	if asked < len(servers) {
		return skip("see the check reach, and give --token with the right observe", "%d of %d servers reach all others; the rest was not asked: %v", asked, len(servers), refused)
	}
	return ok("%s", says)
}

// views asks the servers, some at once.
func (x *exam) views(ctx context.Context, servers []api.NodeStatus) []seen {
	all := make([]seen, len(servers))
	silent := x.probeAll(ctx, servers)
	room := make(chan struct{}, meshAtOnce)
	var wg sync.WaitGroup
	for i, n := range servers {
		if all[i].err = silent[i]; silent[i] != nil {
			continue
		}
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			all[i] = x.viewOf(ctx, n, servers)
		})
	}
	wg.Wait()
	return all
}

func (x *exam) viewOf(ctx context.Context, n api.NodeStatus, servers []api.NodeStatus) (v seen) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	s, err := x.At(n.URL).Status(ctx)
	if err != nil {
		return seen{err: err}
	}
	for _, o := range s.Nodes {
		up := slices.ContainsFunc(servers, func(a api.NodeStatus) bool { return a.Node == o.Node })
		if up && o.State == "unreachable" {
			v.lost = append(v.lost, string(o.Node))
		}
	}
	return v
}
