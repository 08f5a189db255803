package main

import (
	"net"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
)

func addNodeCommands(root *cobra.Command, t *terminal) {
	root.AddCommand(newDev(t), newServer(t), newEdge(t))
}

func newServer(t *terminal) *cobra.Command {
	o := &nodeOptions{}
	var bootstrap bool
	var groups, voters int
	var raftLog string
	cmd := &cobra.Command{
		Use:   "server --region R --node ID --listen HOST:PORT --data FOLDER [--bootstrap] [--join HOST:PORT,..]",
		Short: "Run a server: it keeps the data of its region",
		Long: `Run a server: it keeps the data of its region, and serves every key of the cluster.

The first server of a cluster bootstraps it; all others join by the address of any node. With --join beside --bootstrap it asks
those nodes first: it founds the cluster when all of them have answered that they know of none, and joins if one does. Give
both, so that the same command founds no second cluster if the server ever loses its --data. The first server of a further
region founds that region's groups. A server that is started again with its --data comes back as itself.`,
		Example: `  edgehold server --region us-east --node us-east-1 --listen 127.0.0.1:7400 --data /var/lib/us-east-1 --bootstrap --join 127.0.0.1:7410
  edgehold server --region eu-west --node eu-west-1 --listen 127.0.0.1:7410 --data /var/lib/eu-west-1 --join 127.0.0.1:7400`,
		Args:                  wantArgs(),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseClientFlags(cmd); err != nil {
				return err
			}
			if err := wantFlags(cmd, "region", "node", "listen", "data"); err != nil {
				return err
			}
			if err := o.checkNames(); err != nil {
				return err
			}
			if err := o.checkServer(bootstrap, groups, voters); err != nil {
				return err
			}
			if err := checkRaftLog(raftLog); err != nil {
				return err
			}
			delay, err := o.delay()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			return o.run(ctx, t, func(l net.Listener, logger hclog.Logger) (runningNode, error) {
				return asNode(cluster.Open(ctx, cluster.Config{
					ID: api.NodeID(o.node), Region: api.RegionID(o.region), Role: api.RoleServer,
					Listener: l, Advertise: o.advertise, Dir: o.data,
					Bootstrap: bootstrap, Join: o.join, Groups: groups, Voters: voters,
					Log: cluster.LogKind(raftLog), LeaseTerm: o.leaseTerm, Delay: delay, Logger: logger, OnFailed: t.nodeFailed,
				}))
			})
		},
	}
	o.addTo(cmd)
	cmd.Flags().BoolVar(&bootstrap, "bootstrap", false, "start a new cluster, unless --data holds one already, or a node named by --join knows one")
	cmd.Flags().IntVar(&groups, "groups", 1, "groups of a region, among which its keys are divided; decided at bootstrap")
	cmd.Flags().IntVar(&voters, "voters", 3, "servers of a region that vote in its groups, 3 or 5; decided at bootstrap")
	addRaftLog(cmd, &raftLog)
	return cmd
}

func addRaftLog(cmd *cobra.Command, kind *string) {
	cmd.Flags().StringVar(kind, "raft-log", "", "how the logs are kept in --data: `bolt|wal` (default what they are, wal for new ones); those of the other kind are changed at the start")
	completeWith(cmd, "raft-log", "bolt", "wal")
}

func checkRaftLog(kind string) error {
	if cluster.LogKind(kind).Check() != nil {
		return usagef("--raft-log %q: choose bolt or wal", kind)
	}
	return nil
}

// asNode keeps a nil node from becoming an interface that is not nil.
func asNode(n *cluster.Node, err error) (runningNode, error) {
	if err != nil {
		return nil, err
	}
	return n, nil
}
