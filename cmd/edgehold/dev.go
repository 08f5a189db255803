package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/local"
)

func newDev(t *terminal) *cobra.Command {
	o := &devOptions{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole planet in this process: regions, servers, edges, and the distance between them",
		Long: `Run a whole planet in this process, on loopback: for each region its servers and edges, with the delays of a wide
area between the regions. Keys that begin with "<region>/" are owned by that region, all others by the first.

It prints the nodes once all are ready, with two commands to try, and runs until it is interrupted.`,
		Example: `  edgehold dev
  edgehold dev --regions here,there --wan off --data ./planet`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseClientFlags(cmd); err != nil {
				return err
			}
			return runDev(cmd.Context(), t, o)
		},
	}
	o.addTo(cmd)
	return cmd
}

// startTimeout bounds how long a planet may take to become ready.
const startTimeout = time.Minute

func runDev(ctx context.Context, t *terminal, o *devOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	ignoreSignals()
	logger, err := o.log.open(t)
	if err != nil {
		return err
	}
	regions := make([]api.RegionID, 0, len(o.regions))
	for _, r := range o.regions {
		regions = append(regions, api.RegionID(r))
	}
	// What nodes that start or end one after the other say of each other is no news; what goes wrong is returned.
	level := logger.GetLevel()
	if level == hclog.Error {
		logger.SetLevel(hclog.Off)
	}
	planet, err := o.start(ctx, t, local.Config{
		Regions: regions, Replicas: o.replicas, Edges: orNone(o.edges), Groups: o.groups, Port: orNone(o.port),
		Dir: o.data, Log: cluster.LogKind(o.raftLog), WAN: o.wan, LeaseTerm: o.leaseTerm, Logger: logger, OnFailed: t.nodeFailed,
	})
	if err != nil {
		return interrupted(ctx, asNodeError(err))
	}
	logger.SetLevel(level)
	nodes := make([]devNode, 0, len(planet.Nodes()))
	for _, n := range planet.Nodes() {
		nodes = append(nodes, devNode(n))
	}
	if err := o.announce(t, nodes); err != nil {
		_ = planet.Close() // the error to tell is that nobody reads us
		return err
	}
	<-ctx.Done()
	logger.SetLevel(hclog.Off)
	return asNodeError(planet.Close())
}

// orNone is n, or what package local takes for none where n is 0.
func orNone(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// start starts the planet, and tells people that this takes a moment.
func (o *devOptions) start(ctx context.Context, t *terminal, cfg local.Config) (*local.Planet, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if t.errIsTTY {
		_, _ = fmt.Fprintf(t.err, "Starting %d nodes ...\n", o.nodes())
	}
	return local.Start(ctx, cfg)
}
