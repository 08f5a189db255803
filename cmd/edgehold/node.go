package main

import (
	"cmp"
	"net"
	"regexp"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/local"
	"github.com/edgehold/edgehold/cluster/words"
)

// nodeOptions are the settings of servers and edges. Those of the second part are of servers alone.
type nodeOptions struct {
	role                                       api.Role
	region, node, listen, advertise, data, wan string
	join                                       []string
	insecure                                   bool
	leaseTerm                                  time.Duration
	log                                        logOptions

	bootstrap      bool
	groups, voters int
	raftLog        string
}

func newServer(a *app) *cobra.Command {
	o := &nodeOptions{role: api.RoleServer}
	cmd := o.command(a, &cobra.Command{
		Use:   "server --region R --node ID --listen HOST:PORT --data FOLDER [--bootstrap] [--join HOST:PORT,..]",
		Short: "Run a server: it keeps the data of its region",
		Long: `Run a server: it keeps the data of its region, and serves every key of the cluster.

The first server of a cluster bootstraps it; all others join by the address of any node. With --join beside --bootstrap it asks
those nodes first: it founds the cluster when all of them have answered that they know of none, and joins if one does. Give
both, so that the same command founds no second cluster if the server ever loses its --data. The first server of a further
region founds that region's groups. A server that is started again with its --data comes back as itself.`,
		Example: `  edgehold server --region us-east --node us-east-1 --listen 127.0.0.1:7400 --data /var/lib/us-east-1 --bootstrap --join 127.0.0.1:7410
  edgehold server --region eu-west --node eu-west-1 --listen 127.0.0.1:7410 --data /var/lib/eu-west-1 --join 127.0.0.1:7400`,
	}, "region", "node", "listen", "data")
	cmd.Flags().BoolVar(&o.bootstrap, "bootstrap", false, "start a new cluster, unless --data holds one already, or a node named by --join knows one")
	cmd.Flags().IntVar(&o.groups, "groups", 1, "groups of a region, among which its keys are divided; decided at bootstrap")
	cmd.Flags().IntVar(&o.voters, "voters", 3, "servers of a region that vote in its groups, 3 or 5; decided at bootstrap")
	addRaftLog(cmd, &o.raftLog)
	return cmd
}

func newEdge(a *app) *cobra.Command {
	o := &nodeOptions{role: api.RoleEdge}
	return o.command(a, &cobra.Command{
		Use:   "edge --region R --node ID --listen HOST:PORT --join HOST:PORT",
		Short: "Run an edge: it answers reads from its own memory, under leases",
		Long: `Run an edge: it answers linearizable reads from its own memory while it holds leases on the keys, and passes
everything else on. It keeps nothing that would be missed; with --data it remembers where the servers are.`,
		Example: `  edgehold edge --region ap-south --node ap-south-edge-1 --listen 127.0.0.1:7420 --join 127.0.0.1:7400,127.0.0.1:7410`,
	}, "region", "node", "listen", "join")
}

// command completes a command that runs a node, for which the named settings must be given.
func (o *nodeOptions) command(a *app, cmd *cobra.Command, needed ...string) *cobra.Command {
	cmd.Args = nodeArgs
	cmd.DisableFlagsInUseLine = true
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := wantFlags(cmd, needed...); err != nil {
			return err
		}
		if err := o.check(); err != nil {
			return err
		}
		delay, err := o.delay()
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		return o.run(ctx, a.terminal, func(l net.Listener, logger hclog.Logger) (runningNode, error) {
			n, err := cluster.Open(ctx, cluster.Config{
				ID: api.NodeID(o.node), Region: api.RegionID(o.region), Role: o.role,
				Listener: l, Advertise: o.advertise, Dir: o.data,
				Bootstrap: o.bootstrap, Join: o.join, Groups: o.groups, Voters: o.voters,
				Log: cluster.LogKind(o.raftLog), LeaseTerm: o.leaseTerm, Delay: delay, Logger: logger, OnFailed: a.nodeFailed,
			})
			if err != nil {
				return nil, err // and no interface that is not nil
			}
			return n, nil
		})
	}
	o.addTo(cmd)
	return cmd
}

func (o *nodeOptions) addTo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.region, "region", "", "the region that the node stands in")
	f.StringVar(&o.node, "node", "", "the node's name, its own for life")
	f.StringVar(&o.listen, "listen", "", "`HOST:PORT` to listen on")
	f.StringVar(&o.advertise, "advertise", "", "`HOST:PORT` at which others reach this node (default the one it listens on)")
	f.StringVar(&o.data, "data", "", "`FOLDER` of what the node must keep")
	f.StringVar(&o.wan, "wan", "", "YAML `FILE` of delays between regions, to act as if they were far apart")
	f.StringSliceVar(&o.join, "join", nil, "`HOST:PORT` of a node of the cluster to join; several are tried in turn. Beside --bootstrap: the nodes to ask before a cluster is founded")
	f.BoolVar(&o.insecure, "insecure", false, "allow plain TCP outside loopback: whoever reaches the port can read and write everything")
	addLeaseTerm(cmd, &o.leaseTerm)
	o.log.addTo(cmd, "info")
}

func addLeaseTerm(cmd *cobra.Command, term *time.Duration) {
	cmd.Flags().DurationVar(term, "lease-term", words.DefaultLeaseTerm, "how long an edge answers by a lease that nobody extends; a cut-off edge delays writes about as long")
}

func checkLeaseTerm(term time.Duration) error {
	if term <= 0 || term > words.MaxLeaseTerm {
		return usagef("--lease-term %v: choose a time above 0 and up to %v", term, words.MaxLeaseTerm)
	}
	return nil
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

// nodeName is what may name a node: it stands in headers, in addresses of peers and in names of folders.
var nodeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// check finds what is wrong with the settings before anything is opened.
func (o *nodeOptions) check() error {
	switch {
	case !regionName.MatchString(o.region):
		return usagef("--region %q: a region is named by small letters, digits and dashes", o.region)
	case !nodeName.MatchString(o.node):
		return usagef("--node %q: a node is named by letters, digits, dots, dashes and underscores", o.node)
	}
	for _, a := range o.join {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return usagef("--join %q: write HOST:PORT, such as 127.0.0.1:7400", a)
		}
	}
	if o.role == api.RoleServer {
		switch {
		case !o.bootstrap && len(o.join) == 0:
			return usagef("server: give --join HOST:PORT of a running node, or --bootstrap to start a new cluster")
		case o.groups < 1 || o.groups > maxGroups:
			return usagef("--groups %d: choose 1 to %d", o.groups, maxGroups)
		case o.voters != 3 && o.voters != 5:
			return usagef("--voters %d: choose 3 or 5", o.voters)
		}
	}
	return cmp.Or(checkRaftLog(o.raftLog), checkLeaseTerm(o.leaseTerm))
}

// maxGroups bounds the groups of a region.
const maxGroups = 32

// nodeArgs takes no argument, and refuses settings of clients that are typed for a node, where they mean nothing.
func nodeArgs(cmd *cobra.Command, args []string) error {
	for _, name := range []string{"addr", "token", "ca", "timeout", "format"} {
		if f := cmd.InheritedFlags().Lookup(name); f != nil && f.Changed {
			return usagef("%s: --%s is for the commands that talk to a node; see %s --help", cmd.CommandPath(), name, cmd.CommandPath())
		}
	}
	return wantArgs()(cmd, args)
}

// delay is what the --wan file asks for: connections to a region wrapped to be as slow as the way there. nil is none.
func (o *nodeOptions) delay() (func(net.Conn, api.RegionID) net.Conn, error) {
	if o.wan == "" {
		return nil, nil
	}
	slow, err := local.Delay(o.wan, api.RegionID(o.region))
	if err != nil {
		return nil, usagef("%v", err)
	}
	return slow, nil
}
