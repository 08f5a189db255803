package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
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

// nodeOptions are the settings of servers and edges: the flags fill the Config of the node, and say how it is run.
type nodeOptions struct {
	cluster.Config
	listen, wan string
	consul      string // where clients of Consul are answered; "" is nowhere
	maxAge      time.Duration
	tlsMin      string
	insecure    bool
	drawn       bool // the name of the node ends with letters that were drawn
	open        bool // plain TCP outside loopback
	join        joinOptions
	log         logOptions
}

func newServer(a *app) *cobra.Command {
	o := &nodeOptions{Config: cluster.Config{Role: api.RoleServer}}
	cmd := o.command(a, &cobra.Command{
		Use:   "server --region R --node ID --listen HOST:PORT --data FOLDER [--bootstrap] [--join HOST:PORT,..]",
		Short: "Run a server: it keeps the data of its region",
		Long: `Run a server. It keeps the data of its region and serves every key of the cluster.

The first server bootstraps the cluster; all others join through the address of any node. With both --join and --bootstrap it
asks those nodes first: it creates the cluster if all of them answer that they know of none, and joins if one does. Give both,
so that the same command does not create a second cluster if the server ever loses its --data. The first server of another
region creates the groups of that region. A server that is restarted with its --data keeps its identity.`,
		Example: `  edgehold server --region us-east --node us-east-1 --listen 127.0.0.1:7400 --data /var/lib/us-east-1 --bootstrap --join 127.0.0.1:7410
  edgehold server --region eu-west --node eu-west-1 --listen 127.0.0.1:7410 --data /var/lib/eu-west-1 --join 127.0.0.1:7400`,
	}, "region", "node", "listen", "data")
	cmd.Flags().BoolVar(&o.Bootstrap, "bootstrap", false, "create a new cluster, unless --data has one already or a node of --join knows one")
	cmd.Flags().IntVar(&o.Groups, "groups", 1, "groups of a region; its keys are divided among them; set at bootstrap")
	cmd.Flags().IntVar(&o.Voters, "voters", 3, "servers of a region that vote in its groups, 3 or 5; set at bootstrap")
	o.addFoundTo(cmd)
	addRaftLog(cmd, (*string)(&o.Log))
	return cmd
}

func newEdge(a *app) *cobra.Command {
	o := &nodeOptions{Config: cluster.Config{Role: api.RoleEdge}}
	return o.command(a, &cobra.Command{
		Use:   "edge --region R --node ID --listen HOST:PORT --join HOST:PORT",
		Short: "Run an edge: it answers reads from its own memory, under leases",
		Long: `Run an edge. It answers linearizable reads from its own memory while it holds leases on the keys, and forwards everything
else. It stores nothing that must not be lost; with --data it remembers the addresses of the servers.`,
		Example: `  edgehold edge --region ap-south --node ap-south-edge-1 --listen 127.0.0.1:7420 --join 127.0.0.1:7400,127.0.0.1:7410`,
	}, "region", "node", "listen", "join")
}

// command returns cmd as a command that runs a node. The settings in needed are required.
func (o *nodeOptions) command(a *app, cmd *cobra.Command, needed ...string) *cobra.Command {
	cmd.Args = nodeArgs
	cmd.DisableFlagsInUseLine = true
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := wantFlags(cmd, needed...); err != nil {
			return err
		}
		if err := o.draw(); err != nil {
			return err
		}
		if f := cmd.Flags().Lookup("access-max-age"); f.Changed {
			o.AccessMaxAge = &o.maxAge
		}
		if err := o.check(); err != nil {
			return err
		}
		o.join.fromEnv = notOnCommandLine(cmd.Flags().Lookup("join-token"))
		var err error
		if o.JoinToken, err = o.tokenSource(a.terminal); err != nil {
			return err
		}
		if o.Delay, err = o.delay(); err != nil {
			return err
		}
		o.Version = thisBuild().Version
		o.OnFailed, o.OnRemoved = a.nodeFailed, a.nodeRemoved
		o.OnRefused = (&refusals{node: o.ID, removed: a.nodeRemoved, failed: a.nodeFailed}).note
		ctx := cmd.Context()
		return o.run(ctx, a.terminal, func(l net.Listener, logger hclog.Logger) (runningNode, error) {
			o.Listener, o.Logger = l, logger
			n, err := cluster.Open(ctx, o.Config)
			if err != nil {
				return nil, err // n would become an interface that is not nil
			}
			return n, nil
		})
	}
	o.addTo(cmd)
	return cmd
}

func (o *nodeOptions) addTo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar((*string)(&o.Region), "region", "", "region of the node")
	f.StringVar((*string)(&o.ID), "node", "", "name of the node, unique in the cluster; it never changes. Four letters are drawn once for NAME+")
	f.StringVar(&o.listen, "listen", "", "`HOST:PORT` to listen on")
	f.StringVar(&o.Advertise, "advertise", "", "`HOST:PORT` at which others reach this node (default: that of --listen)")
	f.StringVar(&o.Dir, "data", "", "`FOLDER` for the data of the node")
	f.StringVar(&o.AdminSocket, "admin-socket", "", "`PATH` of the admin socket (default: admin.sock in --data); for a --data whose path is too long for one")
	f.StringVar(&o.wan, "wan", "", "YAML `FILE` of simulated delays between regions")
	f.StringSliceVar(&o.Join, "join", nil, "`HOST:PORT` of a node of the cluster to join; several are tried in turn. With --bootstrap: the nodes to ask before a cluster is created")
	f.BoolVar(&o.insecure, "insecure", false, "allow plain TCP outside loopback: anyone who reaches the port can read and write everything")
	f.StringVar(&o.TLSCert, "tls-cert", "", "PEM `FILE` of a certificate to show to clients instead of the node's own; read again when it changes")
	f.StringVar(&o.TLSKey, "tls-key", "", "PEM `FILE` of its private key, which no other user may read")
	f.StringVar(&o.tlsMin, "tls-min", "1.3", "oldest version of TLS for clients: `1.2|1.3`; nodes speak 1.3 to each other")
	completeWith(cmd, "tls-min", "1.2", "1.3")
	o.addJoinTo(cmd)
	addCORSOrigins(cmd, &o.CORSOrigins)
	addFronts(cmd, &o.Config, &o.consul)
	addOTLP(cmd, &o.OTLP, &o.TraceRatio)
	f.StringVar(&o.Audit, "audit", "", "`FILE|-` of the audit log, in lines of JSON: refusals, operation and administration")
	f.DurationVar(&o.maxAge, "access-max-age", 0, "how old this node's tokens and policies may be before it refuses clients, instead of the cluster's setting; 0 is any age (default: the setting)")
	addLeaseTerm(cmd, &o.LeaseTerm)
	o.log.addTo(cmd, "info")
}

func addLeaseTerm(cmd *cobra.Command, term *time.Duration) {
	cmd.Flags().DurationVar(term, "lease-term", words.DefaultLeaseTerm, "how long an edge may use a lease that is not extended; an edge that is cut off delays writes for about as long")
}

func checkLeaseTerm(term time.Duration) error {
	if term <= 0 || term > words.MaxLeaseTerm {
		return usagef("--lease-term %v: choose a time above 0 and up to %v", term, words.MaxLeaseTerm)
	}
	return nil
}

func addRaftLog(cmd *cobra.Command, kind *string) {
	cmd.Flags().StringVar(kind, "raft-log", "", "format of the logs in --data: `bolt|wal` (default: the current format, wal for new logs); logs in the other format are converted at the start")
	completeWith(cmd, "raft-log", "bolt", "wal")
}

func checkRaftLog(kind string) error {
	if cluster.LogKind(kind).Check() != nil {
		return usagef("--raft-log %q: choose bolt or wal", kind)
	}
	return nil
}

// nodeName matches the name of a node, which is used in headers, in addresses of peers and in names of folders.
var nodeName = regexp.MustCompile(fmt.Sprintf(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,%d}[A-Za-z0-9])?$`, cluster.MaxNameBytes-2))

// check returns an error if a setting is wrong. It opens nothing.
func (o *nodeOptions) check() error {
	switch {
	case !regionName.MatchString(string(o.Region)):
		return usagef("--region %q: a region name has lower-case letters, digits and dashes", o.Region)
	case !nodeName.MatchString(string(o.ID)):
		return usagef("--node %q: a node name has letters, digits, dots, dashes and underscores", o.ID)
	}
	switch {
	case o.tlsMin != "1.2" && o.tlsMin != "1.3":
		return usagef("--tls-min %q: choose 1.2 or 1.3", o.tlsMin)
	case (o.TLSCert == "") != (o.TLSKey == ""):
		return usagef("--tls-cert and --tls-key belong together: give both, or none")
	case o.tlsMin == "1.2":
		o.ClientTLSMin = tls.VersionTLS12
	}
	for _, a := range o.Join {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return usagef("--join %q: write HOST:PORT, such as 127.0.0.1:7400", a)
		}
	}
	if o.Role == api.RoleServer {
		switch {
		case !o.Bootstrap && len(o.Join) == 0:
			return usagef("server: give --join HOST:PORT of a running node, or --bootstrap to create a new cluster")
		case o.Groups < 1 || o.Groups > cluster.MaxGroupsPerRegion:
			return usagef("--groups %d: choose 1 to %d", o.Groups, cluster.MaxGroupsPerRegion)
		case o.Voters != 3 && o.Voters != 5:
			return usagef("--voters %d: choose 3 or 5", o.Voters)
		}
	}
	return cmp.Or(o.checkJoin(), checkCORSOrigins(o.CORSOrigins), checkFronts(&o.Config), checkOTLP(o.OTLP, o.TraceRatio), checkRaftLog(string(o.Log)), checkLeaseTerm(o.LeaseTerm))
}

// nodeArgs accepts no argument. It refuses the settings of clients on the command line, since they have no meaning for a node.
func nodeArgs(cmd *cobra.Command, args []string) error {
	for _, name := range []string{"addr", "token", "token-file", "ca", "timeout", "format"} {
		if f := cmd.InheritedFlags().Lookup(name); f != nil && f.Changed {
			return usagef("%s: --%s is for the commands that talk to a node; see %s --help", cmd.CommandPath(), name, cmd.CommandPath())
		}
	}
	return wantArgs()(cmd, args)
}

// delay returns a function that slows a connection to a region down as the --wan file says, or nil if there is no file.
func (o *nodeOptions) delay() (func(net.Conn, api.RegionID) net.Conn, error) {
	if o.wan == "" {
		return nil, nil
	}
	slow, err := local.Delay(o.wan, o.Region)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return slow, nil
}
