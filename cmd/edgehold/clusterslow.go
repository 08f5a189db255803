package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

func newClusterSlow(a *app) *cobra.Command {
	var of string
	var most int
	cmd := &cobra.Command{
		Use:   "slow",
		Short: "Show the slowest requests of the last minutes, and the keys that are asked for most",
		Long: `Show the slowest requests of the last five minutes, where their time went, and the keys that are asked for most.

Each node remembers the requests of its own clients. Keys that the token may not list are shown as "(hidden)".`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), 1, func(c *client.Client) error {
				return clusterSlow(cmd.Context(), a, c, api.NodeID(of), most)
			})
		},
	}
	cmd.Flags().StringVar(&of, "of", string(api.EveryNode), `the node whose requests are shown, or "*" for all nodes`)
	cmd.Flags().IntVar(&most, "limit", 20, "how many requests a table shows; 0 is all")
	return cmd
}

func clusterSlow(ctx context.Context, a *app, c *client.Client, of api.NodeID, most int) error {
	if a.json() {
		body, err := c.Fetch(ctx, "/v1/cluster/slow?node="+url.QueryEscape(string(of)))
		if err != nil {
			return err
		}
		_, err = a.out.Write(body)
		return err
	}
	r, err := c.SlowRequests(ctx, of)
	if err != nil {
		return err
	}
	if most > 0 {
		r.Slow = r.Slow[:min(len(r.Slow), most)]
	}
	_, err = fmt.Fprintf(a.out, "%v\n%v", slowTable(r.Slow), hotTable(r.Hot))
	for _, n := range r.Nodes {
		switch {
		case n.State == "up" || err != nil:
		case n.State == "older":
			_, err = fmt.Fprintf(a.out, "\nnode %s runs an older version, which remembers no slow requests\n", n.Node)
		default:
			_, err = fmt.Fprintf(a.out, "\nnode %s does not answer: its requests are not shown\n", n.Node)
		}
	}
	return err
}

func slowTable(all []api.SlowRequest) table {
	t := table{{"STARTED", "MS", "NODE", "REQUEST", "KEY", "ANSWERED BY", "WHERE THE TIME WENT"}}
	for i := range all {
		x := &all[i]
		t = append(t, []string{x.Started.Local().Format("15:04:05"), millis(x.TookMS), string(x.Node), x.Front + " " + x.Route, slowKey(x.Hidden, x.Key),
			cmp.Or(x.Source, string(x.Error), "-"), slowParts(x.Parts)})
	}
	return t
}

// slowParts returns the parts of a request, each with the node that took the time if that is known.
func slowParts(parts []api.SlowPart) string {
	all := make([]string, 0, len(parts))
	for _, p := range parts {
		all = append(all, cmp.Or(string(p.Node), p.What)+" "+millis(p.MS))
	}
	return strings.Join(all, ", ")
}

func hotTable(all []api.HotKey) table {
	t := table{{"HOT KEY", "NODE", "READS/S", "WRITES/S"}}
	for _, x := range all {
		t = append(t, []string{slowKey(x.Hidden, x.Key), string(x.Node), fmt.Sprintf("%.0f", x.Reads), fmt.Sprintf("%.0f", x.Writes)})
	}
	return t
}

func slowKey(hidden bool, k api.Key) string {
	switch {
	case hidden:
		return "(hidden)"
	case k == "":
		return "(first)"
	}
	return readable(string(k))
}

func millis(ms float64) string { return fmt.Sprintf("%.1f", ms) }
