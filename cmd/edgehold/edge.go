package main

import (
	"net"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
)

func newEdge(t *terminal) *cobra.Command {
	o := &nodeOptions{}
	cmd := &cobra.Command{
		Use:   "edge --region R --node ID --listen HOST:PORT --join HOST:PORT",
		Short: "Run an edge: it answers reads from its own memory, under leases",
		Long: `Run an edge: it answers linearizable reads from its own memory while it holds leases on the keys, and passes
everything else on. It keeps nothing that would be missed; with --data it remembers where the servers are.`,
		Example:               `  edgehold edge --region ap-south --node ap-south-edge-1 --listen 127.0.0.1:7420 --join 127.0.0.1:7400,127.0.0.1:7410`,
		Args:                  wantArgs(),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseClientFlags(cmd); err != nil {
				return err
			}
			if err := wantFlags(cmd, "region", "node", "listen", "join"); err != nil {
				return err
			}
			if err := o.checkNames(); err != nil {
				return err
			}
			if err := checkLeaseTerm(o.leaseTerm); err != nil {
				return err
			}
			delay, err := o.delay()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			return o.run(ctx, t, func(l net.Listener, logger hclog.Logger) (runningNode, error) {
				return asNode(cluster.Open(ctx, cluster.Config{
					ID: api.NodeID(o.node), Region: api.RegionID(o.region), Role: api.RoleEdge,
					Listener: l, Advertise: o.advertise, Dir: o.data, Join: o.join,
					LeaseTerm: o.leaseTerm, Delay: delay, Logger: logger,
				}))
			})
		},
	}
	o.addTo(cmd)
	return cmd
}
