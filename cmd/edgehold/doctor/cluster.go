package doctor

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// nodes checks that every node answers the one that is asked.
func nodes(_ context.Context, x *exam) []Finding {
	s, err := x.status()
	if err != nil {
		return unanswered("the status of the cluster", err)
	}
	var all []Finding
	var lost []string
	for _, n := range s.Nodes {
		switch n.State {
		case "up":
		case "unreachable":
			lost = append(lost, string(n.Node))
		case "refused":
			all = append(all, fail("see its log: docs/operations/failures.md", "the cluster refuses %s: %s", n.Node, n.Reason)...)
		default:
			all = append(all, warn("edgehold cluster undrain "+string(n.Node)+", if that is not meant to last", "%s is %s", n.Node, n.State)...)
		}
	}
	if len(lost) > 0 {
		all = append(all, fail("start it, or remove it: docs/operations/failures.md", "%d of %d nodes do not answer: %s", len(lost), len(s.Nodes), strings.Join(lost, ", "))...)
	}
	if len(all) == 0 {
		return ok("all %d answer", len(s.Nodes))
	}
	return all
}

// troubles passes on what the leader of the placement map's group sees.
func troubles(_ context.Context, x *exam) []Finding {
	s, err := x.status()
	if err != nil {
		return unanswered("the status of the cluster", err)
	}
	var all []Finding
	for _, text := range s.Troubles {
		all = append(all, warn("edgehold cluster status", "%s", text)...)
	}
	if len(all) == 0 {
		return ok("nothing waits for an operator")
	}
	return all
}

// levels checks that all nodes run a version that knows the newest level of the cluster, and names those that hold it up.
func levels(_ context.Context, x *exam) []Finding {
	s, err := x.status()
	if err != nil {
		return unanswered("the status of the cluster", err)
	}
	newest := s.Level
	for _, n := range s.Nodes {
		newest = max(newest, n.Level)
	}
	var behind []string
	for _, n := range s.Nodes {
		if n.Level < newest {
			behind = append(behind, string(n.Node))
		}
	}
	switch {
	case len(behind) > 0:
		return warn("upgrade them, or start those that are down", "%s hold the cluster at level %d, and others know %d", strings.Join(behind, ", "), s.Level, newest)
	case s.Level < newest:
		return warn("wait some seconds; else edgehold cluster settings: is level-hold on?", "the cluster is at level %d, and all nodes know %d", s.Level, newest)
	}
	return ok("all nodes know level %d, which the cluster has", s.Level)
}

// maps checks that all nodes go by one placement map, within the moment that a change takes.
func maps(_ context.Context, x *exam) []Finding {
	s, err := x.status()
	if err != nil {
		return unanswered("the status of the cluster", err)
	}
	var newest uint64
	for _, n := range s.Nodes {
		newest = max(newest, n.MapVersion)
	}
	var behind []string
	for _, n := range s.Nodes {
		if n.MapVersion > 0 && n.MapVersion < newest {
			behind = append(behind, fmt.Sprintf("%s (%d)", n.Node, n.MapVersion))
		}
	}
	if len(behind) > 0 {
		return warn("run doctor again; if it stays so, these nodes cannot reach the servers of the meta group", "the placement map is at version %d, and not everywhere: %s", newest, strings.Join(behind, ", "))
	}
	return ok("all go by version %d of the placement map", newest)
}

// groups checks that each group has a leader, and can lose a voter.
func groups(_ context.Context, x *exam) []Finding {
	s, err := x.status()
	if err != nil {
		return unanswered("the status of the cluster", err)
	}
	up := map[api.NodeID]bool{}
	for _, n := range s.Nodes {
		up[n.Node] = n.State != "unreachable"
	}
	var all []Finding
	for _, g := range s.Groups {
		alive := 0
		for _, v := range g.Voters {
			if up[v] {
				alive++
			}
		}
		switch need := len(g.Voters)/2 + 1; {
		case g.Leader == "":
			all = append(all, fail("start its voters: edgehold cluster status names them", "%s has no leader, and takes no writes", g.Group)...)
		case alive < need:
			all = append(all, fail("start its voters: edgehold cluster status names them", "%s has %d of %d voters, and needs %d", g.Group, alive, len(g.Voters), need)...)
		case alive == need && len(g.Voters) > 1:
			all = append(all, warn("start the voter that is missing, or replace it: docs/operations/failures.md", "%s has %d of %d voters: with one less it takes no writes", g.Group, alive, len(g.Voters))...)
		case len(g.Voters) < 3:
			all = append(all, warn("add servers to the region, up to three", "%s has %d of 3 voters: none may fail", g.Group, len(g.Voters))...)
		}
	}
	if len(all) == 0 {
		return ok("all %d have a leader, and each may lose a voter", len(s.Groups))
	}
	return all
}

// reach checks that every server answers at the address that it advertises, from here.
func reach(ctx context.Context, x *exam) []Finding {
	s, err := x.status()
	if err != nil {
		return unanswered("the servers to reach", err)
	}
	servers := slices.DeleteFunc(slices.Clone(s.Nodes), func(n api.NodeStatus) bool { return n.Role != api.RoleServer })
	var all []Finding
	for i, err := range x.probeAll(ctx, servers) {
		if err != nil {
			all = append(all, fail("see --advertise of that server, and the firewalls between", "%s does not answer here at %s: %v", servers[i].Node, servers[i].URL, inner(err))...)
		}
	}
	if len(all) == 0 {
		return ok("all %d servers answer at the addresses that they advertise", len(servers))
	}
	return all
}

// inner is the error without the method and the URL, which the line has already.
func inner(err error) error {
	if u, ok := err.(*url.Error); ok { //nolint:errorlint // the outermost alone
		return u.Err
	}
	return err
}

// hosts checks that no host has so many voters of a group that the group cannot lose it.
func hosts(_ context.Context, x *exam) []Finding {
	s, err := x.status()
	if err != nil {
		return unanswered("the status of the cluster", err)
	}
	at := map[api.NodeID]string{}
	for _, n := range s.Nodes {
		if at[n.Node] = hostOf(n.URL); isLoopback(at[n.Node]) {
			return ok("nodes advertise loopback: they are on one machine, for development")
		}
	}
	var all []Finding
	for _, g := range s.Groups {
		for host, n := range voters(g, at) {
			if n > (len(g.Voters)-1)/2 && len(g.Voters) > 1 {
				all = append(all, warn("run servers of a region on machines of their own", "%s has %d of its %d voters on %s: it cannot lose that machine", g.Group, n, len(g.Voters), host)...)
			}
		}
	}
	if len(all) == 0 {
		return ok("each group can lose any machine")
	}
	slices.SortFunc(all, func(a, b Finding) int { return strings.Compare(a.Says, b.Says) })
	return all
}

// voters counts the voters of a group at each host.
func voters(g api.GroupStatus, at map[api.NodeID]string) map[string]int {
	n := map[string]int{}
	for _, v := range g.Voters {
		n[at[v]]++
	}
	return n
}

// hostOf is the host of a URL; the URL itself if it has none.
func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return fmt.Sprintf("%q", address)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
