package cluster

import (
	"cmp"
	"context"
	"net"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
	"github.com/edgehold/edgehold/cluster/traces"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Config describes a node. ID, Region, Role and, for a server, Listener are required, and one of Static, Bootstrap and Join; everything
// else has a working zero value.
type Config struct {
	// ID names the node for life: a node that comes back with the same Dir must have the same ID.
	ID     api.NodeID
	Region api.RegionID
	Role   api.Role
	// Listener is the node's one port. The node closes it. nil is an edge without a port, which serves its own process alone: other
	// nodes and clients cannot reach it, and it advertises no address.
	Listener net.Listener
	// Advertise is the HOST:PORT at which others reach this node; "" is the listener's address.
	Advertise string
	// Dir holds a server's log and state, and what a node remembers of the placement map; "" keeps nothing (edges only,
	// or with Stores).
	Dir string

	// AdminSocket is the path of the node's admin socket, at which a user that may open it administers the server, or operates the edge.
	// "" is admin.sock in Dir, if the node keeps its state there, has a port, and that path is not too long for a socket.
	AdminSocket string

	// Identity is what the node proves itself with, if Dir has nothing for that; it is kept there. nil is what Dir has.
	Identity *join.Identity
	// TLSCert and TLSKey are files (PEM) of a certificate to show to clients instead of the node's own. They are read again every 10 s
	// and by [Node.Reload]; while they cannot be used, the pair before stays. "" shows the node's own.
	TLSCert, TLSKey string
	// ClientTLSMin is the oldest version of TLS for clients, as crypto/tls numbers them; 0 is TLS 1.3. Nodes speak no older one.
	ClientTLSMin uint16
	// OnRefused, if set, is called when a server of the cluster that has proved its identity refuses this node, each time. It must not block.
	OnRefused func(Standing)
	// AccessMaxAge, if set, is how old the node's tokens and policies may be before it refuses clients, instead of the cluster's
	// setting access-max-age; 0 is any age.
	AccessMaxAge *time.Duration
	// Audit is the file of the audit log, to which lines are appended; "-" is standard output, "" none.
	Audit string

	// Static is the whole planet, known before: every group bootstraps at once with these voters (dev, tests).
	Static *placement.Map
	// Bootstrap makes this server the first of a new cluster, unless Dir holds one already.
	Bootstrap bool
	// Secure has a server that founds a cluster found it with TLS.
	Secure bool
	// Init is the folder "bootstrap" of [InitFolder], with whose CA and join tokens the server founds the cluster; "" makes a CA.
	Init string
	// Join are addresses of nodes of the cluster to join; any one will do.
	Join []string
	// JoinToken returns the text of the join token by which the node joins a cluster with TLS. It is called if the node has nothing yet
	// to prove itself with; it may wait until ctx ends. nil: the cluster is plain, or the node has joined before.
	JoinToken func(ctx context.Context) (string, error)
	// Ephemeral has an edge removed from the cluster when it closes, or when no server has heard it for an hour: its name is never
	// used again.
	Ephemeral bool
	// JoinTimeout is how long the node tries to join; 0 is for ever. After it, and if the cluster refuses the node for good, OnFailed
	// is called.
	JoinTimeout time.Duration
	// Names are further host names and addresses at which HTTPS clients reach the node. Its certificate has them.
	Names []string
	// Groups is how many groups a region runs, decided at bootstrap; 0 is 1.
	Groups int
	// Voters of a group, decided at bootstrap: 3 or 5; 0 is 3.
	Voters int

	// LeaseTerm is T; 0 is words.DefaultLeaseTerm. KeepAlive is H; 0 is a quarter of T.
	LeaseTerm time.Duration
	KeepAlive time.Duration
	// CacheBytes bounds the leased cache; 0 is 256 MiB.
	CacheBytes int64
	// Memory keeps the groups' state in memory instead of Dir: every start builds it again from snapshots and logs. It is
	// for planets that are thrown away. With Stores it is always so.
	Memory bool
	// Log is how a server keeps the logs of its groups in Dir; "" keeps each as it is, and is logstore.Default for new ones.
	// A log of another kind is made one of that kind when its group is opened.
	Log LogKind
	// StateCacheBytes bounds the memory for what is read again of the state on disk; 0 is 64 MiB.
	StateCacheBytes int64
	// Limits of the groups' queues, logs and snapshots; a zero field is the replica's own default.
	Limits replica.Limits
	// RegionTiming and WideTiming of Raft inside a region and of the meta group; zero values are the replica's own.
	RegionTiming replica.Timing
	WideTiming   replica.Timing

	// Dial connects to an address; nil is TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Delay, if set, wraps every connection to a node of another region or of this one: the simulated wide area.
	Delay func(conn net.Conn, to api.RegionID) net.Conn
	// Clock judges leases; nil is the machine's.
	Clock words.Clock
	// Busy reports whether the processors cannot keep up, and requests are refused for it. It must not block. nil judges by how long
	// goroutines of this process wait for a processor, which is the time of the machine also if all other time is virtual.
	Busy func() bool
	// Stores gives the durable state of a replica; nil is files below Dir.
	Stores func(api.GroupID) (logstore.Stores, error)
	// MaxHTTPConns bounds the open connections of HTTP, streams aside; see [httpd.ServerConfig]. 0 is 4096.
	MaxHTTPConns int
	// CORSOrigins are the web origins, such as https://app.example, whose pages may use the API on keys; "*" is every origin. See
	// [httpd.Config].
	CORSOrigins []string
	// Fronts names the protocols that the node speaks beside its own API: some of [Fronts]. nil is none.
	Fronts []string
	// Dev chooses the faults of the planet of which this node is one; nil: the node has no such routes. Only package local sets it.
	Dev api.Dev
	// RESPSocket is the path of a socket at which the front "resp" answers too; "" is none.
	RESPSocket string
	// ConsulListener is where the node answers clients of Consul's KV API; nil: nowhere. The node closes it.
	ConsulListener net.Listener
	// OTLP is the URL of a collector of traces, such as http://127.0.0.1:4318; "" traces nothing. TraceRatio is the part of the requests
	// that do not say whether they are traced, of which the node begins a trace: from 0 to 1.
	OTLP       string
	TraceRatio float64
	// OnFailed is called if a group at this node has no state to go on with: what is on its disk is damaged, or cannot be written. It
	// must end the process; the node is never ready again. It is called by the goroutine that meets the failure. nil panics.
	OnFailed func(err error)
	// OnRemoved is called once if the node was removed from the cluster, with what to do next. It may end the process. nil: the node
	// goes on, is never ready again, and every other node refuses it.
	OnRemoved func(err error)
	// Version is that of the program, for debug bundles; "" is not known.
	Version string
	// Logger is the node's log; nil is none.
	Logger hclog.Logger
	// Watch, if set, sees every entry that the machine of a group has applied at this node (tests). It must not block.
	Watch func(Applied)

	// noRenewal keeps the node's key and certificate as they are (tests).
	noRenewal bool
	// level and mapLevel stand for those of an older program (tests); 0 is the newest.
	level    fsm.Level
	mapLevel placement.Level
}

// LogKind is how a log is kept on disk: "bolt", "wal", or "" for what is there.
type LogKind = logstore.Kind

func (c *Config) check() error {
	if err := cmp.Or(c.Log.Check(), CheckFronts(c.Fronts), traces.Check(c.OTLP, c.TraceRatio)); err != nil {
		return err
	}
	switch {
	case c.RESPSocket != "" && !slices.Contains(c.Fronts, "resp"):
		return api.Errorf(api.CodeInvalid, "--resp-socket needs --front resp")
	case c.ID == "" || len(c.ID) > placement.MaxNameBytes:
		return api.Errorf(api.CodeInvalid, "a node needs an id of 1 to %d bytes (--node)", placement.MaxNameBytes)
	case c.Region == "" || len(c.Region) > placement.MaxNameBytes:
		return api.Errorf(api.CodeInvalid, "a node needs a region of 1 to %d bytes (--region)", placement.MaxNameBytes)
	case c.Role != api.RoleServer && c.Role != api.RoleEdge:
		return api.Errorf(api.CodeInvalid, "a node is a server or an edge, not %q", c.Role)
	case c.Listener == nil && c.Role == api.RoleServer:
		return api.Errorf(api.CodeInvalid, "a node needs an address to listen on (--listen)")
	case c.Role == api.RoleServer && c.Dir == "" && c.Stores == nil:
		return api.Errorf(api.CodeInvalid, "a server needs a folder for its log (--data)")
	case c.Role == api.RoleEdge && c.Bootstrap:
		return api.Errorf(api.CodeInvalid, "an edge cannot bootstrap a cluster; start a server with --bootstrap first")
	case c.Static == nil && !c.Bootstrap && len(c.Join) == 0:
		return api.Errorf(api.CodeInvalid, "name a node of the cluster to join (--join), or start a new cluster (--bootstrap)")
	case c.LeaseTerm < 0 || c.LeaseTerm > words.MaxLeaseTerm:
		return api.Errorf(api.CodeInvalid, "a lease term is at most %v (--lease-term)", words.MaxLeaseTerm)
	}
	return nil
}

// self is this node as the map should have it.
func (c *Config) self() placement.Node {
	return placement.Node{ID: c.ID, Region: c.Region, Role: c.Role, Address: c.Advertise, URL: urlOf("http", c.Advertise)}
}

// urlOf is the URL of what clients are served at the address; "" if there is none.
func urlOf(scheme, address string) string {
	if address == "" {
		return ""
	}
	return scheme + "://" + address
}

// setDefaults fills in what check left open.
func (c *Config) setDefaults() {
	if c.Listener == nil {
		c.Listener, c.Advertise = newNoPort(), ""
	}
	c.Advertise = cmp.Or(c.Advertise, c.Listener.Addr().String())
	c.Groups = cmp.Or(c.Groups, 1)
	c.Voters = cmp.Or(c.Voters, 3)
	c.LeaseTerm = cmp.Or(c.LeaseTerm, words.DefaultLeaseTerm)
	c.KeepAlive = cmp.Or(c.KeepAlive, c.LeaseTerm/4)
	c.CacheBytes = cmp.Or(c.CacheBytes, defaultCacheBytes)
	c.StateCacheBytes = cmp.Or(c.StateCacheBytes, 64<<20)
	c.level = cmp.Or(c.level, fsm.NewestLevel)
	c.mapLevel = cmp.Or(c.mapLevel, placement.NewestLevel)
	if c.Dial == nil {
		var d net.Dialer
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
	}
	c.Clock = cmp.Or[words.Clock](c.Clock, clock.System())
	if c.Busy == nil {
		c.Busy = newSchedLatency().Busy
	}
	if c.OnFailed == nil {
		c.OnFailed = func(err error) { panic(endedError{err}) }
	}
	c.Logger = cmp.Or[hclog.Logger](c.Logger, hclog.NewNullLogger())
}

// DefaultTraceRatio is the usual Config.TraceRatio of a node that has a collector.
const DefaultTraceRatio = traces.DefaultRatio

// CheckOTLP returns CodeInvalid if there can be no collector of traces at the URL, or the ratio is not from 0 to 1. "" is no collector.
func CheckOTLP(collector string, ratio float64) error { return traces.Check(collector, ratio) }
