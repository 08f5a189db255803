// Package cluster is a node of Edgehold: it opens the rooms in order, joins them, and closes them in reverse. It is the one
// place that knows every room.
package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/lock"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/api/wire"
	"github.com/edgehold/edgehold/cluster/access"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/leasecache"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/notice"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/cluster/router"
	"github.com/edgehold/edgehold/cluster/traces"
	"github.com/edgehold/edgehold/cluster/txn"
	"github.com/edgehold/edgehold/cluster/watch"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/transport"
)

// closeGrace is how long requests may go on after Close began.
const closeGrace = 2 * time.Second

// Node is one running node. Its methods are safe for concurrent use.
type Node struct {
	cfg       Config
	log       hclog.Logger
	metrics   metrics
	nonce     ident.Nonce       // of this process
	faults    *fault.Catcher    // catches the panics of requests
	workers   *wire.Workers     // carry out the calls of clients and of nodes
	lines     logLines          // the newest of the log
	debugging atomic.Bool       // a debug bundle is being made
	said      notice.Book       // which lines the log has about other nodes, and about what this node waits for
	epochs    words.DedupEpochs // of all groups, as their leaders report them
	members   members           // the replicas that are open
	told      toldReports       // of edges without a port
	steward   *steward          // proposes what is due, while this node leads the meta group
	refresher refresher         // fetches the map for callers that it does not name

	membership *membership
	port       *transport.Port
	peers      *peer.Server
	pool       *peer.Pool
	leases     *remote.Leases
	mirror     *meta.Mirror
	router     *router.Router
	replicas   *replicas
	changes    *meta.Client[*fsm.Receipt]
	warden     *access.Warden
	suspends   *suspends // of this machine
	txn        *txn.Coordinator
	watches    *watch.Hub
	cache      *leasecache.Cache
	registrar  *registrar
	joins      bucket         // requests to join
	slow       *slowRequests  // of the clients of this node
	tracer     *trace.Tracer  // without a collector it passes on the traces of others
	backend    *front.Backend // what fronts get
	api        http.Handler   // the HTTP API
	live       *live          // what the cluster does, for the page and edgehold top

	lanes     sync.WaitGroup // being served
	leaving   atomic.Bool    // Close has begun
	together  atomic.Bool    // the whole cluster ends: no other voter could lead afterwards
	opened    atomic.Bool    // the rooms up to HTTP are open
	ended     atomic.Bool    // an embedded edge that has ended: its clients are refused
	drainedAt atomic.Bool    // the node leads nothing and holds no lease, as it was ordered
	started   time.Time

	closing sync.Mutex
	closers []func() error // guarded by closing; one for each of the rooms that are open, in their order: nil if there is nothing to end
	errs    []error        // guarded by closing; of the rooms that have ended
}

var _ api.Admin = (*Node)(nil)

// rooms is everything that a node is made of, in the order in which it is opened: each room needs those before it alone. open
// makes a room and starts it, and returns what ends it and waits for what it has started; nil if there is nothing to end. Close
// goes the other way.
var rooms = []struct {
	name string
	open func(n *Node) (end func() error, err error)
}{
	{"workers", (*Node).openWorkers},
	{"membership", (*Node).openMembership},
	{"security", (*Node).openSecurity},
	{"figures", (*Node).openFigures},
	{"traces", (*Node).openTraces},
	{"port", (*Node).openPort},
	{"access", (*Node).openAccess},
	{"peers", (*Node).openPeers},
	{"methods", (*Node).openMethods},
	{"map", (*Node).openMap},
	{"router", (*Node).openRouter},
	{"replicas", (*Node).openReplicas},
	{"lanes", (*Node).openLanes},
	{"joining", (*Node).openJoining},
	{"steward", (*Node).openSteward},
	{"expiry of tokens", (*Node).openExpiry},
	{"renewal", (*Node).openRenewing},
	{"transactions", (*Node).openTxn},
	{"watches", (*Node).openWatches},
	{"leased cache", (*Node).openCache},
	{"standing", (*Node).openStanding},
	{"telling", (*Node).openTelling},
	{"live", (*Node).openLive},
	{"http", (*Node).openHTTP},
	{"fronts", (*Node).openFronts},
	{"admin socket", (*Node).openSocket},
	{"leads", (*Node).openLeads},
}

// Open starts a node and returns once it answers on its port; [Node.Ready] reports when it serves. ctx bounds the opening
// alone. A node that joins goes on trying to reach the cluster after Open has returned.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	n := &Node{cfg: cfg, started: time.Now(), metrics: newMetrics()}
	n.log = keepLines(cfg.Logger, &n.lines).Named(string(cfg.ID))
	n.faults = fault.NewCatcher(n.metrics, n.log.Error)
	n.suspends = &suspends{clock: cfg.Clock}
	n.slow = newSlowRequests(cfg.ID)
	if _, err := rand.Read(n.nonce[:]); err != nil {
		return nil, err
	}
	for _, r := range rooms {
		end, err := r.open(n)
		n.closers = append(n.closers, end)
		if err = cmp.Or(err, ctx.Err()); err != nil {
			n.log.Debug("the node could not be opened", "at", r.name, "error", err)
			_ = n.Close()
			_ = cfg.Listener.Close()
			if cfg.ConsulListener != nil {
				_ = cfg.ConsulListener.Close()
			}
			return nil, err
		}
	}
	return n, nil
}

func (n *Node) openWorkers() (func() error, error) {
	n.workers = wire.NewWorkers(idleWorkers)
	return ending(n.workers.Close), nil
}

func (n *Node) openMembership() (end func() error, err error) {
	n.membership, err = openMembership(&n.cfg, n.log, &n.said, n.nonce)
	return nil, err
}

func (n *Node) openTraces() (func() error, error) {
	if n.cfg.OTLP == "" {
		n.tracer = trace.Forward()
		return nil, nil
	}
	t, err := traces.Open(traces.Config{
		URL: n.cfg.OTLP, Ratio: n.cfg.TraceRatio, Node: n.cfg.ID, Region: n.cfg.Region, Metrics: n.metrics, Log: n.log.Named("traces").Warn,
	})
	if err != nil {
		return nil, err
	}
	n.tracer = t.Tracer
	return t.Close, nil
}

func (n *Node) openPort() (end func() error, err error) {
	if n.port, err = n.membership.openPort(); err != nil {
		return nil, err
	}
	return n.port.Close, nil
}

// openPeers makes both sides of what nodes ask of each other. Rooms register their methods until openLanes; then others are answered.
func (n *Node) openPeers() (end func() error, err error) {
	n.peers, err = peer.NewServer(peer.ServerConfig{
		Self: n.cfg.ID, Role: n.cfg.Role, Logger: n.log.Named("peer"),
		Identify: peerOf, Own: n.membership.own(), Learn: n.refresher.learn, Tracer: n.tracer,
		Workers: n.workers, Faults: n.faults,
		Room: admission.New(admission.Config{Metrics: n.metrics.with("room", "peer"), Busy: n.cfg.Busy, Calm: calmOfNodes}),
	})
	if err != nil {
		return nil, err
	}
	dialer := n.membership.dialer
	n.pool, err = peer.NewPool(peer.PoolConfig{
		Server: n.peers, Logger: n.log.Named("peer"),
		Way:  n.membership.security.way,
		Dial: n.membership.dialNode(dialer.DialPeer), DialCalls: n.membership.dialNode(dialer.DialCalls),
		DialAddress: func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialPeer(ctx, address, "") // to any node: its id is not known yet
		},
	})
	if err != nil {
		return nil, err
	}
	return ending(func() {
		n.peers.Close()
		n.pool.Close()
		_ = n.port.Calls().Close() // it is a lane: the port closes the listener
		n.lanes.Wait()
	}), nil
}

// openMethods has this node answer what other nodes ask: a line for each room that brings methods.
func (n *Node) openMethods() (func() error, error) {
	remote.Register(n.peers, n.members.authority)
	registerConfirm(n.peers, &n.members)
	registerIndex(n.peers, &n.members)
	n.steward = n.newSteward()
	n.registerReport(n.peers)
	n.slow.register(n.peers)
	n.registerTell(n.peers)
	n.registerHealth(n.peers)
	n.registerTransfer(n.peers)
	n.registerDepart(n.peers)
	registerSeen(n.peers, n.warden)
	pace := &touches{}
	mapServer{self: n.cfg.ID, view: n.membership.view, meta: n.members.metaGroup, suspends: n.suspends, pace: pace}.register(n.peers)
	n.registrar = &registrar{membership: n.membership, meta: n.members.vaultGroup, pace: pace, clocks: n.voterClocks, now: time.Now}
	n.registrar.register(n.peers)
	methodIntroduce.Handle(n.peers, n.membership.introduce)
	n.leases = remote.NewLeases(n.peers, remote.LeasesConfig{
		Groups: n.members.authority, Metrics: n.metrics, Faults: n.faults, RenewTimeout: n.cfg.LeaseTerm,
	})
	return ending(n.leases.Close), nil
}

func (n *Node) openMap() (end func() error, err error) {
	n.mirror, err = meta.NewMirror(meta.MirrorConfig{
		View: n.membership.view, Source: mapsAt{n.pool}, Seeds: n.membership.seeds(), Logger: n.log.Named("map"),
	})
	if err != nil {
		return nil, err
	}
	n.refresher.refresh = n.mirror.Refresh
	if founding, _, _ := n.membership.found.state(); !founding && !n.membership.enters() {
		n.mirror.Start() // else joining does, when the founding has ended, or a server has proved itself and admitted this node
	}
	return ending(n.mirror.Close), nil
}

func (n *Node) openRouter() (end func() error, err error) {
	keepAlive := max(n.cfg.KeepAlive, words.DefaultKeepAlive)
	n.router, err = router.New(router.Config{
		Self: n.cfg.ID, Region: n.cfg.Region, Map: n.mirror.Map, Refresh: n.mirror.Refresh, Metrics: n.metrics,
		Remote: func(id api.NodeID) router.Target { return remote.Node{Remote: n.pool.Remote(id)} }, DedupEpoch: n.epochs.Of,
		WriteTimeout: 2 * n.cfg.LeaseTerm, WellWithin: 5 * keepAlive / 2, LostAfter: 5 * keepAlive, Faults: n.faults,
	})
	return nil, err
}

func (n *Node) openReplicas() (func() error, error) {
	n.replicas = &replicas{
		membership: n.membership, background: newBackground(), open: &n.members, metrics: n.metrics, port: n.port,
		leases: n.leases, pool: n.pool, router: n.router, cache: n.cfg.openStateCache(),
	}
	return n.replicas.close, n.replicas.start()
}

// openLanes begins to answer other nodes. The lanes end with the peers, after the replicas: callers get an answer until then.
func (n *Node) openLanes() (func() error, error) {
	n.lanes.Go(func() {
		if err := n.peers.Serve(n.port.Peer()); err != nil {
			n.log.Error("the peer lane has ended", "error", err)
		}
	})
	n.lanes.Go(func() {
		if err := n.peers.ServeCalls(n.port.Calls(), remote.Calls{Store: remote.Store{Groups: n.members.authority}}); err != nil {
			n.log.Error("the lane of calls has ended", "error", err)
		}
	})
	return nil, nil
}

func (n *Node) openJoining() (func() error, error) {
	n.changes = newChanges(n.router, n.pool, n.membership.view)
	j := &joining{membership: n.membership, background: newBackground(), pool: n.pool, mirror: n.mirror, changes: n.changes}
	j.Go(j.run)
	return ending(j.background.close), nil
}

func (n *Node) openRenewing() (func() error, error) {
	if n.cfg.noRenewal {
		return nil, nil
	}
	r := newRenewing(n)
	r.Go(r.run)
	return ending(r.background.close), nil
}

func (n *Node) openTxn() (end func() error, err error) {
	n.txn, err = txn.New(txn.Config{
		Num:   n.membership.num,
		Store: n.router, Groups: n.router, Map: n.mirror.Map, Refresh: n.mirror.Refresh, Region: n.cfg.Region,
		Well: n.router.Well, Lost: n.router.Lost, DedupEpoch: n.epochs.Of,
		Metrics: n.metrics, Logger: n.log.Named("txn"), Faults: n.faults,
	})
	if err != nil {
		return nil, err
	}
	return ending(n.txn.Close), nil
}

func (n *Node) openWatches() (end func() error, err error) {
	n.watches, err = watch.New(watch.Config{
		Feeder: n.router, Lister: n.router, Map: n.mirror.Map, Refresh: n.mirror.Refresh, Metrics: n.metrics, Faults: n.faults,
	})
	if err != nil {
		return nil, err
	}
	return ending(n.watches.Close), nil
}

func (n *Node) openCache() (end func() error, err error) {
	n.cache, err = leasecache.New(leasecache.Config{
		Store: n.txn, Lister: n.watches, Lessor: n.router, Locate: n.router.Locate, Full: n.router.Full,
		Peers: n.voters,
		Open: func(ctx context.Context, node api.NodeID) (words.LeaseStream, error) {
			return remote.Node{Remote: n.pool.Remote(node)}.OpenLeases(ctx, remote.Hello{Node: n.cfg.ID, Nonce: n.nonce})
		},
		OnLeads: n.router.Leads, OnHeard: n.router.Heard, OnEpoch: n.epochs.Heard,
		Node: n.cfg.ID, Nonce: n.nonce, Clock: n.cfg.Clock, Metrics: n.metrics, Faults: n.faults, Tracer: n.tracer,
		Term: n.cfg.LeaseTerm, KeepAlive: n.cfg.KeepAlive, Pause: clock.PauseAllowance(clock.Source),
		MaxBytes: n.cfg.CacheBytes, MaxEntries: int(min(n.cfg.CacheBytes/bytesPerEntry, maxCacheEntries)),
	})
	if err != nil {
		return nil, err
	}
	n.cache.Start()
	return n.cache.Close, nil
}

// voters are the servers with the groups, the meta group aside, that have a voter there.
func (n *Node) voters() []leasecache.PeerGroups {
	m := n.mirror.Map()
	if m == nil {
		return nil
	}
	var all []leasecache.PeerGroups
	for _, o := range m.Nodes {
		groups := slices.DeleteFunc(m.VotersAt(o.ID), func(g api.GroupID) bool { return g == ident.MetaGroup })
		if len(groups) > 0 {
			all = append(all, leasecache.PeerGroups{Node: o.ID, Groups: groups})
		}
	}
	return all
}

func (n *Node) openHTTP() (func() error, error) {
	log := func(msg string, args ...any) { n.log.Named("http").Warn(msg, args...) }
	config := front.Config{
		Store: n.cache, Lister: n.cache, Watcher: n.watches, Admin: n, Observer: n.live, Members: n, Access: n.warden, Tokens: n, JoinTokens: n, Elsewhere: n.elsewhere, Node: n.cfg.ID, URL: n.URL(), Metrics: n.metrics, Log: log, Faults: n.faults,
		Settings: n, Dev: n.cfg.Dev, Debugger: n,
		SlowLog: n.slow.log, HotKeys: n.slow.hot, SlowRequests: n, Tracer: n.tracer,
		Room:     admission.New(admission.Config{Metrics: n.metrics.with("room", "front"), Busy: n.cfg.Busy, Shares: admission.Shares{admission.Waiting: maxStreams}}),
		Classify: n.cache.Classify,
	}
	if n.cfg.Role == api.RoleServer {
		config.Joiner = n // no edge may collect join tokens
	}
	locks := lock.New(lock.Config{Store: n.cache, Watcher: config.Watcher})
	config.Locks = locks
	n.backend = front.New(config)
	n.api = httpd.New(n.backend, httpd.Config{Metrics: n.metrics.handler(), Workers: n.workers, CORSOrigins: n.cfg.CORSOrigins})
	s := httpd.Serve(n.port.HTTP(), httpd.ServerConfig{Log: log, MaxConns: n.cfg.MaxHTTPConns, Handler: fronts.handler(n.cfg.Fronts, n.backend, n.api)})
	return ending(func() {
		n.watches.Close() // their clients continue at other nodes
		if err := s.Close(closeGrace); err != nil {
			n.log.Warn("requests were cut off", "error", err)
		}
		_ = locks.Close() // it has no error to close with
	}), nil
}

// openFronts opens what does not share the HTTP lane.
func (n *Node) openFronts() (func() error, error) {
	n.opened.Store(true)
	return fronts.open(n, n.cfg.Fronts, n.backend)
}

// openLeads is the last room: a node that closes first hands over the groups that it leads, while it still answers.
func (n *Node) openLeads() (func() error, error) {
	return ending(func() {
		n.leaving.Store(true)
		if !n.together.Load() {
			n.replicas.handOver()
		}
		n.depart()
	}), nil
}

// Store reads and writes every key: the node's leased cache, in front of the owners.
func (n *Node) Store() *leasecache.Cache { return n.cache }

// Watcher reports what changes in any range of keys.
func (n *Node) Watcher() *watch.Hub { return n.watches }

// ID is the node's name.
func (n *Node) ID() api.NodeID { return n.cfg.ID }

// URL is the base URL for clients.
func (n *Node) URL() string { return n.membership.self().URL }
