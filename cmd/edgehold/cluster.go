package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
)

func newCluster(t *terminal, s *settings) *cobra.Command {
	return newGroup("cluster", "Show the cluster", newClusterStatus(t, s))
}

func newClusterStatus(t *terminal, s *settings) *cobra.Command {
	var ready bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show nodes, groups and ranges as one node sees them",
		Long: `Show nodes, groups and ranges as one node sees them.

With --ready it prints nothing and asks the first address of --addr alone whether that node is ready to serve: exit
status 0 if so, else 1. This is the health check for containers.`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ready {
				return checkReady(cmd.Context(), s)
			}
			return clusterStatus(cmd.Context(), t, s)
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "only tell whether the node is ready to serve")
	return cmd
}

func fetchStatus(ctx context.Context, s *settings) (*api.Status, error) {
	c, err := s.open(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	return c.Status(ctx)
}

// checkReady asks one node, and no other in its place.
func checkReady(ctx context.Context, s *settings) error {
	c, err := s.open(ctx, 1)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	return c.Ready(ctx)
}

func clusterStatus(ctx context.Context, t *terminal, s *settings) error {
	asJSON, err := s.json()
	if err != nil {
		return err
	}
	status, err := fetchStatus(ctx, s)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, nil, statusBody{status.ClusterID, orEmpty(status.Nodes), orEmpty(status.Groups),
			rangeRows(status), status.Sessions, status.Leases})
	}
	_, err = fmt.Fprintf(t.out, "cluster %s: %d sessions, %d leases\n\n%v\n%v\n%v", status.ClusterID, status.Sessions, status.Leases,
		nodeTable(status.Nodes), groupTable(status.Groups), rangeTable(status))
	if locks := lockTable(status.Groups); err == nil && len(locks) > 1 {
		_, err = fmt.Fprintf(t.out, "\n%v", locks)
	}
	return err
}

// statusBody is the body of GET /v1/cluster.
type statusBody struct {
	ClusterID string            `json:"cluster_id"`
	Nodes     []api.NodeStatus  `json:"nodes"`
	Groups    []api.GroupStatus `json:"groups"`
	Ranges    []rangeRow        `json:"ranges"`
	Sessions  int               `json:"sessions"`
	Leases    int               `json:"leases"`
}

type rangeRow struct {
	Start    *string     `json:"start,omitempty"`
	StartB64 []byte      `json:"start_base64,omitempty"`
	End      *string     `json:"end,omitempty"`
	EndB64   []byte      `json:"end_base64,omitempty"`
	Group    api.GroupID `json:"group"`
	Epoch    uint64      `json:"epoch"`
}

func rangeRows(s *api.Status) []rangeRow {
	rows := make([]rangeRow, 0, len(s.Ranges))
	for _, r := range s.Ranges {
		row := rangeRow{Group: r.Group, Epoch: r.Epoch}
		row.Start, row.StartB64 = renderBytes(string(r.Start))
		row.End, row.EndB64 = renderBytes(string(r.End))
		rows = append(rows, row)
	}
	return rows
}

// orEmpty is a list that JSON writes as [] and never as null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func nodeTable(nodes []api.NodeStatus) table {
	t := table{{"NODE", "ROLE", "REGION", "URL", "STATE"}}
	for _, n := range nodes {
		t = append(t, []string{string(n.Node), string(n.Role), string(n.Region), n.URL, n.State})
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

// lockTable is the keys that wait for a group which does not answer.
func lockTable(groups []api.GroupStatus) table {
	t := table{{"LOCKED", "GROUP", "WAITS FOR", "SINCE"}}
	for _, g := range groups {
		for _, l := range g.Locked {
			t = append(t, []string{readable(string(l.Key)), string(g.Group), string(l.Decider), fmt.Sprintf("%.0fs", l.Seconds)})
		}
	}
	return t
}

// oldest is how long the oldest transaction has been prepared.
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
