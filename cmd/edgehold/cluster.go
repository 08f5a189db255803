package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

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
	defer c.Close()
	return c.Status(ctx)
}

// checkReady asks one node, and no other in its place.
func checkReady(ctx context.Context, s *settings) error {
	c, err := s.open(ctx, 1)
	if err != nil {
		return err
	}
	defer c.Close()
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
	if _, err := fmt.Fprintf(t.out, "cluster %s: %d sessions, %d leases\n\n", status.ClusterID, status.Sessions, status.Leases); err != nil {
		return err
	}
	if err := printNodes(t.out, status.Nodes, true); err != nil {
		return err
	}
	fmt.Fprintln(t.out)
	if err := printGroups(t.out, status.Groups); err != nil {
		return err
	}
	fmt.Fprintln(t.out)
	return printRanges(t.out, status)
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

func newTable(w io.Writer, head ...string) *tabwriter.Writer {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(head, "\t"))
	return tw
}

func printNodes(w io.Writer, nodes []api.NodeStatus, state bool) error {
	head := []string{"NODE", "ROLE", "REGION", "URL"}
	if state {
		head = append(head, "STATE")
	}
	tw := newTable(w, head...)
	for _, n := range nodes {
		row := []string{string(n.Node), string(n.Role), string(n.Region), n.URL}
		if state {
			row = append(row, n.State)
		}
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	return tw.Flush()
}

func printGroups(w io.Writer, groups []api.GroupStatus) error {
	tw := newTable(w, "GROUP", "REGION", "LEADER", "TERM", "APPLIED", "VOTERS")
	for _, g := range groups {
		voters := make([]string, 0, len(g.Voters))
		for _, v := range g.Voters {
			voters = append(voters, string(v))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%d\t%s\n", g.Group, cmp.Or(string(g.Region), "-"), cmp.Or(string(g.Leader), "none known"), g.Term, g.Applied, cmp.Or(strings.Join(voters, ","), "-"))
	}
	return tw.Flush()
}

func printRanges(w io.Writer, s *api.Status) error {
	regions := map[api.GroupID]api.RegionID{}
	for _, g := range s.Groups {
		regions[g.Group] = g.Region
	}
	tw := newTable(w, "START", "END", "GROUP", "REGION", "EPOCH")
	for _, r := range s.Ranges {
		start, end := "(first)", "(last)"
		if r.Start != "" {
			start = readable(string(r.Start))
		}
		if r.End != "" {
			end = readable(string(r.End))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d\n", start, end, r.Group, cmp.Or(string(regions[r.Group]), "-"), r.Epoch)
	}
	return tw.Flush()
}
