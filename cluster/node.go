// Package cluster is a node of Edgehold: it opens the rooms in order, joins them, and closes them in reverse. It is the one
// place that knows every room.
package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/wire"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/leasecache"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/notice"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/router"
	"github.com/edgehold/edgehold/cluster/txn"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport"
	"github.com/edgehold/edgehold/transport/rpc"
)

// idleWorkers bounds the workers that wait for calls, of 32 KiB each, which a node keeps once it has needed them. It is as many
// as there are calls at once where a node is overloaded (httpd's MaxInFlight, peer's MaxRequests).
const idleWorkers = 2048

// closeGrace is how long requests may go on after Close began.
const closeGrace = 2 * time.Second

// Node is one running node. Its methods are safe for concurrent use.
type Node struct {
	cfg     Config
	log     hclog.Logger
	metrics metrics
	nonce   ident.Nonce
	dialer  transport.Dialer

	port    *transport.Port
	rpc     *rpc.Server
	peers   *peer.Server
	pool    *peer.Pool
	mirror  *meta.Mirror
	changes *meta.Client[*fsm.Receipt]
	router  *router.Router
	txn     *txn.Coordinator
	cache   *leasecache.Cache
	http    *httpd.Server
	sched   *schedLatency
	faults  *fault.Catcher // catches the panics of requests
	workers *wire.Workers  // carry out the calls of clients and of nodes
	members members
	found   founding
	said    notice.Book // what the log has said about others, and about what the node waits for

	cacheOnce   sync.Once
	stateMemory *engine.Cache // of the state on disk; nil before its first use

	// admitted: the map's word on what this server votes in may be carried out. identity belongs to Open, and then to the
	// task that joins.
	admitted atomic.Bool
	identity identity

	failed  atomic.Pointer[error] // why a group has no state to go on with
	leaving atomic.Bool           // Close has begun
	started time.Time
	ctx     context.Context // ends when Close begins
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	once    sync.Once
	closed  error
}

var _ api.Admin = (*Node)(nil)

// Open starts a node and returns once it answers on its port; [Node.Ready] tells when it serves. ctx bounds the opening
// alone. A node that joins goes on trying to reach the cluster after Open has returned.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	n := &Node{cfg: cfg, started: time.Now(), log: cfg.Logger.Named(string(cfg.ID)), metrics: newMetrics(), workers: wire.NewWorkers(idleWorkers), sched: newSchedLatency()}
	n.members.open = map[api.GroupID]*member{}
	n.faults = fault.NewCatcher(n.metrics, n.log.Error)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if _, err := rand.Read(n.nonce[:]); err != nil {
		return nil, err
	}
	n.dialer = transport.Dialer{Dial: n.dial, Answered: n.answered}
	if err := n.open(ctx); err != nil {
		_ = n.Close()
		_ = cfg.Listener.Close()
		return nil, err
	}
	return n, nil
}

// open makes the rooms, each when those that it needs are there, and only then starts them: what one room calls in
// another, in whatever order they wake up, is there.
func (n *Node) open(ctx context.Context) error {
	for _, step := range []func() error{n.makePeers, n.makeMirror, n.makeRouter, n.makeTxn, n.makeEdge, n.openPort, n.start} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// openPort takes the port. Connections wait until the rooms that serve them have started.
func (n *Node) openPort() (err error) {
	n.port, err = transport.Open(transport.Config{
		Listener: n.cfg.Listener, Answers: n.answersTo, Refusal: n.refusal, Logger: n.log.Named("port"),
	})
	return err
}

func (n *Node) start() error {
	if !n.found.asking() {
		n.mirror.Start() // else when that is done: it asks the same nodes
	}
	if err := n.openMembers(n.durable()...); err != nil {
		return err
	}
	n.tasks.Go(func() {
		if err := n.rpc.Serve(n.port.Peer()); err != nil {
			n.log.Error("the peer lane has ended", "error", err)
		}
	})
	n.tasks.Go(func() {
		if err := n.peers.ServeCalls(n.port.Calls()); err != nil {
			n.log.Error("the lane of calls has ended", "error", err)
		}
	})
	n.cache.Start()
	n.serveHTTP()
	n.tasks.Go(n.join)
	n.tasks.Go(n.reconcile)
	n.tasks.Go(n.keepInStep)
	n.tasks.Go(n.raise)
	return nil
}

func (n *Node) makePeers() (err error) {
	n.peers, err = peer.NewServer(peer.ServerConfig{
		Self: n.cfg.ID, Region: n.cfg.Region, Role: n.cfg.Role,
		Groups: n.members.authority, All: n.members.authorities, Term: n.members.term,
		Meta: n.members.metaGroup, Mirror: mirrorOf{n}, Introduce: n.introduce,
		Metrics: n.metrics, Logger: n.log.Named("peer"), RenewTimeout: n.cfg.LeaseTerm, Workers: n.workers, Busy: n.sched.Busy, Faults: n.faults, Level: n.cfg.level,
	})
	if err != nil {
		return err
	}
	n.pool, err = peer.NewPool(peer.PoolConfig{
		Self: n.cfg.ID, Server: n.peers, Logger: n.log.Named("peer"),
		Dial: n.dialNode(n.dialer.DialPeer), DialCalls: n.dialNode(n.dialer.DialCalls),
		DialAddress: func(ctx context.Context, address string) (net.Conn, error) {
			return n.dialer.DialPeer(ctx, address, "") // whoever that is: it is asked for the map alone
		},
	})
	if err != nil {
		return err
	}
	n.rpc = rpc.NewServer(rpc.ServerConfig{})
	n.peers.Register(n.rpc)
	return nil
}

func (n *Node) makeMirror() (err error) {
	cfg := meta.MirrorConfig{Source: peer.Source{Pool: n.pool}, Initial: n.cfg.Static, Seeds: n.seeds(), Logger: n.log.Named("map")}
	if n.cfg.Dir != "" {
		if n.identity, err = identify(n.cfg.Dir, n.self()); err != nil {
			return err
		}
		n.admitted.Store(n.identity.node != "")
		cfg.File = meta.OSFile(filepath.Join(n.cfg.Dir, "placement"))
	}
	if n.mirror, err = meta.NewMirror(cfg); err != nil {
		return err
	}
	if n.cfg.Static != nil {
		if err := n.identity.claim(n.self()); err != nil {
			return err
		}
		n.admitted.Store(true)
	}
	if err := n.begin(); err != nil {
		return err
	}
	n.changes = &meta.Client[*fsm.Receipt]{
		Get: n.newestMap, Propose: n.proposeToMeta, Mover: &peer.Mover{Pool: n.pool, OnLeader: n.onLeader},
		Update: func(m *placement.Map) { _ = n.mirror.Update(m) },
	}
	return nil
}

func (n *Node) makeRouter() (err error) {
	n.router, err = router.New(router.Config{
		Self: n.cfg.ID, Region: n.cfg.Region, Map: n.mirror.Map, Refresh: n.mirror.Refresh, Metrics: n.metrics,
		Remote:       func(id api.NodeID) router.Target { return n.pool.Remote(id) },
		DedupEpoch:   func(g api.GroupID) api.DedupEpoch { return n.cache.DedupEpoch(g) }, // by the time anybody asks, it is there
		WriteTimeout: 2 * n.cfg.LeaseTerm, WellWithin: 5 * max(n.cfg.KeepAlive, words.DefaultKeepAlive) / 2, LostAfter: 5 * max(n.cfg.KeepAlive, words.DefaultKeepAlive), Faults: n.faults,
	})
	return err
}

func (n *Node) makeTxn() (err error) {
	n.txn, err = txn.New(txn.Config{
		Store: n.router, Groups: n.router, Map: n.mirror.Map, Refresh: n.mirror.Refresh, Region: n.cfg.Region,
		Well: n.router.Well, Lost: n.router.Lost,
		DedupEpoch: func(g api.GroupID) api.DedupEpoch { return n.cache.DedupEpoch(g) }, // by the time anybody asks, it is there
		Metrics:    n.metrics, Logger: n.log.Named("txn"), Faults: n.faults,
	})
	return err
}

func (n *Node) makeEdge() (err error) {
	n.cache, err = leasecache.New(leasecache.Config{
		Store: n.txn, Lister: n.router, Lessor: n.router, Locate: n.router.Locate, Full: n.router.Full,
		Peers: n.voters,
		Open: func(ctx context.Context, node api.NodeID) (words.LeaseStream, error) {
			return n.pool.Remote(node).OpenLeases(ctx, peer.Hello{Node: n.cfg.ID, Nonce: n.nonce})
		},
		OnLeads: n.router.Leads, OnHeard: n.router.Heard,
		Node: n.cfg.ID, Nonce: n.nonce, Clock: n.cfg.Clock, Metrics: n.metrics, Faults: n.faults,
		Term: n.cfg.LeaseTerm, KeepAlive: n.cfg.KeepAlive, Pause: clock.PauseAllowance(clock.Source),
		MaxBytes: n.cfg.CacheBytes, MaxEntries: int(min(n.cfg.CacheBytes/256, 4<<20)),
	})
	return err
}

func (n *Node) serveHTTP() {
	log := func(msg string, args ...any) { n.log.Named("http").Warn(msg, args...) }
	n.http = httpd.Serve(n.port.HTTP(), httpd.ServerConfig{Log: log, Handler: httpd.New(httpd.Config{
		Store: n.cache, Lister: n.cache, Admin: n, Node: n.cfg.ID,
		Metrics: n.metrics.handler(), Registry: n.metrics, Log: log, Workers: n.workers, Busy: n.sched.Busy, Faults: n.faults,
		Full: n.cache.Full,
	})})
}

// Store is the node's own way to every key: its leased cache, and behind it the owners.
func (n *Node) Store() *leasecache.Cache { return n.cache }

// ID is the node's name.
func (n *Node) ID() api.NodeID { return n.cfg.ID }

// URL is where clients reach the node.
func (n *Node) URL() string { return "http://" + n.cfg.Advertise }

// Close ends the node: first its leads, which other voters take over, then the requests of clients, the leases it holds, its
// replicas, and the port. It waits for everything that the node has started.
func (n *Node) Close() error {
	n.once.Do(func() {
		var errs []error
		n.handOver()
		if n.http != nil {
			if err := n.http.Close(closeGrace); err != nil {
				n.log.Warn("requests were cut off", "error", err)
			}
		}
		if n.cache != nil {
			errs = append(errs, n.cache.Close())
		}
		if n.txn != nil {
			n.txn.Close()
		}
		n.cancel()
		errs = append(errs, n.members.close())
		if n.mirror != nil {
			n.mirror.Close()
		}
		if n.peers != nil {
			n.peers.Close()
		}
		if n.pool != nil {
			n.pool.Close()
		}
		if n.rpc != nil {
			n.rpc.Close()
		}
		if n.port != nil {
			errs = append(errs, n.port.Close())
		}
		n.workers.Close()
		n.tasks.Wait()
		n.closeStateCache()
		n.closed = errors.Join(errs...)
	})
	return n.closed
}
