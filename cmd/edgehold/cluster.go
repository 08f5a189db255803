package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

func newCluster(a *app) *cobra.Command {
	return newGroup("cluster", "Show and change the cluster",
		append([]*cobra.Command{newClusterStatus(a), newClusterNodes(a), newClusterGroups(a), newClusterToken(a), newClusterSlow(a),
			newClusterSettings(a), newClusterSet(a), newClusterUnset(a), newClusterLevel(a)}, newOrders(a)...)...)
}

func newClusterNodes(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "nodes",
		Short: "List the nodes and their states",
		Args:  wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.list(cmd.Context(), func(s *api.Status) (any, table) {
				return struct {
					Nodes []api.NodeStatus `json:"nodes"`
				}{s.Nodes}, nodeTable(s.Nodes)
			})
		},
	}
}

func newClusterGroups(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "groups",
		Short: "List the groups, their leaders and their voters",
		Args:  wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.list(cmd.Context(), func(s *api.Status) (any, table) {
				return struct {
					Groups []api.GroupStatus `json:"groups"`
				}{s.Groups}, groupTable(s.Groups)
			})
		},
	}
}

// list prints a part of the status.
func (a *app) list(ctx context.Context, part func(*api.Status) (any, table)) error {
	return a.with(ctx, 1, func(c *client.Client) error {
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		body, rows := part(s)
		return a.show(a.out, body, rows.String())
	})
}

func newClusterStatus(a *app) *cobra.Command {
	var ready bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show nodes, groups and ranges as one node sees them",
		Long: `Show nodes, groups and ranges as one node sees them.

With --ready it prints nothing, and checks only that the node at the first address of --addr is ready to serve. The exit
status is 0 if it is, and 1 otherwise. Use this as the health check of a container.`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), 1, func(c *client.Client) error {
				if ready {
					return c.Ready(cmd.Context())
				}
				return clusterStatus(cmd.Context(), a, c)
			})
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "only check that the node is ready to serve")
	return cmd
}

// statusPath is the path of the status of the cluster in the HTTP API.
const statusPath = "/v1/cluster"

func clusterStatus(ctx context.Context, a *app, c *client.Client) error {
	if a.json() {
		body, err := c.Fetch(ctx, statusPath)
		if err != nil {
			return err
		}
		_, err = a.out.Write(body)
		return err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "cluster %s: %d sessions, %d leases\n\n%v\n%v\n%v", status.ClusterID, status.Sessions, status.Leases,
		nodeTable(status.Nodes), groupTable(status.Groups), rangeTable(status))
	if locks := lockTable(status.Groups); err == nil && len(locks) > 1 {
		_, err = fmt.Fprintf(a.out, "\n%v", locks)
	}
	for i, trouble := range status.Troubles {
		if i == 0 && err == nil {
			_, err = fmt.Fprintln(a.out)
		}
		if err == nil {
			_, err = fmt.Fprintln(a.out, readable(trouble))
		}
	}
	return err
}

func nodeTable(nodes []api.NodeStatus) table {
	t := table{{"NODE", "ROLE", "REGION", "URL", "STATE"}}
	for _, n := range nodes {
		state := n.State
		if n.Reason != "" {
			state += ": " + n.Reason
		}
		t = append(t, []string{string(n.Node), string(n.Role), string(n.Region), cmp.Or(n.URL, "-"), state}) // an embedded edge has none
	}
	return t
}

func groupTable(groups []api.GroupStatus) table {
	t := table{{"GROUP", "REGION", "LEADER", "TERM", "APPLIED", "PREPARED", "UNRESOLVED", "OLDEST", "VOTERS"}}
	for _, g := range groups {
		voters := make([]string, 0, len(g.Voters))
		for _, v := range g.Voters {
			voters = append(voters, string(v))
		}
		t = append(t, []string{string(g.Group), cmp.Or(string(g.Region), "-"), cmp.Or(string(g.Leader), "none known"),
			fmt.Sprint(g.Term), fmt.Sprint(g.Applied), fmt.Sprint(g.Prepared), fmt.Sprint(g.Unresolved), oldest(g), cmp.Or(strings.Join(voters, ","), "-")})
	}
	return t
}

// lockTable lists the keys that are locked by transactions whose deciding group does not answer.
func lockTable(groups []api.GroupStatus) table {
	t := table{{"LOCKED", "GROUP", "WAITS FOR", "SINCE"}}
	for _, g := range groups {
		for _, l := range g.Locked {
			t = append(t, []string{readable(string(l.Key)), string(g.Group), string(l.Decider), fmt.Sprintf("%.0fs", l.Seconds)})
		}
	}
	return t
}

// oldest returns how long the oldest prepared transaction has been prepared.
func oldest(g api.GroupStatus) string {
	if g.Prepared == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0fs", g.OldestPreparedSeconds)
}

func rangeTable(s *api.Status) table {
	regions := map[api.GroupID]api.RegionID{}
	for _, g := range s.Groups {
		regions[g.Group] = g.Region
	}
	t := table{{"START", "END", "GROUP", "REGION", "EPOCH"}}
	for _, r := range s.Ranges {
		start, end := "(first)", "(last)"
		if r.Start != "" {
			start = readable(string(r.Start))
		}
		if r.End != "" {
			end = readable(string(r.End))
		}
		t = append(t, []string{start, end, string(r.Group), cmp.Or(string(regions[r.Group]), "-"), fmt.Sprint(r.Epoch)})
	}
	return t
}
