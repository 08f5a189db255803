package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// statusPatience is how long Status waits for a node before it calls it unreachable.
const statusPatience = time.Second

// Status describes the cluster as this node sees it.
func (n *Node) Status(ctx context.Context) (*api.Status, error) {
	m := n.mirror.Map()
	if m == nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Op: "status", Hint: "this node has not reached its cluster yet; see --join", RetryAfter: time.Second}
	}
	return statusOf(m, n.reports(ctx, m)), nil
}

// statusOf is the status by what the nodes of the map have reported; nil is a node that does not answer.
func statusOf(m *placement.Map, reports []*report) *api.Status {
	s := &api.Status{ClusterID: m.ClusterID, Security: cmp.Or(string(m.Security), "plain"), Level: int(m.Level), Ranges: m.Status(), Nodes: []api.NodeStatus{}, Groups: []api.GroupStatus{}}
	groups := map[api.GroupID]api.GroupStatus{}
	for i, node := range m.Nodes {
		row := api.NodeStatus{Node: node.ID, Region: node.Region, Role: node.Role, URL: node.URL, State: "unreachable"}
		if r := reports[i]; r != nil {
			row.State, row.Reason = stateOf(node, r)
			row.Level, row.MapVersion = int(r.MapLevel), r.Map
			s.Sessions += r.Sessions
			s.Leases += r.Leases
			for _, g := range r.Groups {
				groups[g.Group] = better(groups[g.Group], g, node.ID)
			}
			s.Troubles = append(s.Troubles, r.Troubles...)
		}
		s.Nodes = append(s.Nodes, row)
	}
	for _, g := range m.Groups {
		row := groups[g.ID]
		row.Group, row.Region, row.Voters = g.ID, g.Region, g.Voters
		s.Groups = append(s.Groups, row)
	}
	return s
}

// stateOf is the state of a node that answers, and why it is refused.
func stateOf(o placement.Node, r *report) (state, reason string) {
	switch {
	case r.Refused != "":
		return "refused", r.Refused
	case o.State != placement.Active:
		return string(o.State), ""
	}
	return "up", ""
}

// better merges what two nodes report of a group: the newer term counts, and in one term the leader's report.
func better(have, reported api.GroupStatus, node api.NodeID) api.GroupStatus {
	switch {
	case reported.Term > have.Term:
		return reported
	case reported.Term < have.Term:
		return have
	case reported.Leader == node || have.Leader == "":
		return reported
	}
	return have
}

// reports asks all nodes at once. A report is nil if the node does not answer within statusPatience.
func (n *Node) reports(ctx context.Context, m *placement.Map) []*report {
	return n.answers(ctx, m, reportQuestion{})
}

// answers is reports, with what the question asks for.
func (n *Node) answers(ctx context.Context, m *placement.Map, q reportQuestion) []*report {
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	return askReports(ctx, n.pool, m.Nodes, q)
}

// administers refuses administration at an edge: it is served at servers alone, which the refusal names.
func (n *Node) administers(op string) error {
	if n.cfg.Role == api.RoleServer {
		return nil
	}
	e := &api.Error{Code: api.CodeDenied, Op: op, Hint: fmt.Sprintf("node %s is an edge, and administration is served at servers alone", n.cfg.ID)}
	if urls := serverURLs(n.mirror.Map()); len(urls) > 0 {
		e.Hint += ": ask " + strings.Join(urls, " or ")
	}
	return e
}

// maxNamedServers bounds the servers that a refusal names.
const maxNamedServers = 3

// serverURLs are the URLs of some servers, of different regions as far as there are.
func serverURLs(m *placement.Map) (urls []string) {
	if m == nil {
		return nil
	}
	regions := map[api.RegionID]bool{}
	var more []string
	for _, n := range m.Nodes {
		switch {
		case n.Role != api.RoleServer || n.URL == "":
		case regions[n.Region]:
			more = append(more, n.URL)
		default:
			regions[n.Region] = true
			urls = append(urls, n.URL)
		}
	}
	urls = append(urls, more...)
	return urls[:min(len(urls), maxNamedServers)]
}

// SetPlacement makes the region own every key with the prefix, if there is none yet. CodeDenied at an edge.
func (n *Node) SetPlacement(ctx context.Context, prefix api.Key, region api.RegionID) error {
	if err := n.administers("placement"); err != nil {
		return err
	}
	return n.changes.SetPlacement(ctx, prefix, region)
}

// SetPlacementGroup makes the group own every key with the prefix, if there is none yet. CodeDenied at an edge.
func (n *Node) SetPlacementGroup(ctx context.Context, prefix api.Key, group api.GroupID) error {
	if err := n.administers("placement"); err != nil {
		return err
	}
	return n.changes.SetPlacementGroup(ctx, prefix, group)
}

// Ready reports whether the node routes and serves and, if it is a server, has caught up in every group that it votes in: nil, or
// CodeUnavailable with what is missing.
func (n *Node) Ready(context.Context) error {
	if n.leaving.Load() {
		return notReady("this node is stopping")
	}
	if err := n.replicas.failed.Load(); err != nil {
		return notReady((*err).Error())
	}
	m := n.mirror.Map()
	if m == nil {
		if _, _, missing := n.membership.found.state(); missing != "" {
			return notReady("this server founds no cluster yet: " + missing)
		}
		if waits := n.membership.waits.Load(); waits != nil {
			return notReady("this node has not joined the cluster yet: " + *waits)
		}
		return notReady("this node has not reached its cluster yet")
	}
	if why := n.membership.refusedWhy(); why == removedWhy {
		return notReady("this node was removed from the cluster")
	} else if why != "" {
		return notReady("the cluster has not admitted this node: " + why)
	}
	self, ok := m.Node(n.cfg.ID)
	switch {
	case !ok:
		return notReady("the cluster has not admitted this node yet")
	case self.State != placement.Active:
		return notReady("this node is " + string(self.State))
	}
	if !n.membership.admitted.Load() {
		return notReady("the cluster has not admitted this node; its log has the reason")
	}
	if err := n.warden.Usable(); err != nil {
		return notReady(api.AsError(err).Hint)
	}
	for _, id := range m.VotersAt(n.cfg.ID) {
		x := n.members.get(id)
		if x == nil {
			return notReady("the replica of " + string(id) + " is not open yet")
		}
		if err := x.raft.Halted(); err != nil {
			return notReady(api.AsError(err).Hint)
		}
		if !x.votes(n.cfg.ID) {
			return notReady("the replica of " + string(id) + " has not caught up yet")
		}
		if err := x.raft.Health(); err != nil {
			return notReady("the replica of " + string(id) + " is behind: " + err.Error())
		}
	}
	return n.ledReady(m)
}

// settleTime is how long after its start a node waits for groups whose leader it has never met: a region that is lost must not
// keep the nodes of others from serving.
const settleTime = 15 * time.Second

// ledReady reports whether this node can route: it knows the leader of each group that it has a replica of, and has met the
// leaders of the others once.
func (n *Node) ledReady(m *placement.Map) error {
	met := 0
	var missing error
	for _, g := range m.Groups {
		x := n.members.get(g.ID)
		if !slices.Contains(g.Voters, n.cfg.ID) {
			x = nil // it may be about to end
		}
		switch {
		case x != nil && !x.led():
			return notReady("no leader of " + string(g.ID) + " is known here")
		case x != nil || g.ID == ident.MetaGroup: // the map's own group is asked by its members alone
		case n.router.Met(g.ID) || n.cache.Usable(g.ID):
			met++
		default:
			missing = notReady("no leader of " + string(g.ID) + " is known yet")
		}
	}
	if met > 0 && time.Since(n.started) > settleTime {
		return nil
	}
	return missing
}

func notReady(hint string) error {
	return &api.Error{Code: api.CodeUnavailable, Op: "ready", Hint: hint, RetryAfter: time.Second}
}

// votes reports whether the replica is a voter in its own configuration and knows a leader.
func (x *member) votes(id api.NodeID) bool {
	members, _ := x.raft.Members()
	for _, m := range members {
		if m.Node == string(id) {
			return m.Voter && x.led()
		}
	}
	return false
}

// led reports whether the replica knows a leader.
func (x *member) led() bool {
	leader, _ := x.raft.Leader()
	return leader != ""
}

// Group returns what this node's replica knows of the group, without waiting; false if it has none.
func (n *Node) Group(id api.GroupID) (api.GroupStatus, bool) {
	x := n.members.get(id)
	if x == nil || x.authority == nil {
		return api.GroupStatus{}, false
	}
	s, _, _ := x.authority.Status()
	return s, true
}

// Machine is this node's replica of a group's state, for tests; nil if it has none.
func (n *Node) Machine(id api.GroupID) *fsm.Machine {
	if x := n.members.get(id); x != nil {
		return x.machine
	}
	return nil
}
