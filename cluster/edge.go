package cluster

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster/join"
)

// EdgeConfig describes an edge in the calling process. Join and Region are required.
type EdgeConfig struct {
	// Join are the addresses (HOST:PORT) of servers of the cluster; any one that answers will do. With TLS it must be a server's.
	Join []string
	// Region is where this process runs. It need not be a region with servers.
	Region api.RegionID
	// Token is a join token of the role edge, for a cluster with TLS: "edgehold cluster token create --role edge --uses unlimited". It
	// is "" for a plain cluster, and not needed if Data holds the edge's key already.
	Token api.Secret
	// Data is a folder that keeps the edge's name, key and addresses, mode 0700; one process at a time uses it. If it is "", the edge is
	// new at each start, and its Close removes it from the cluster. Programs that restart often, or that may be killed, give a Data.
	Data string
	// Name is how the name of the edge begins, which ends with letters that are drawn; "" is "embedded". With Data they are drawn once.
	Name string
	// CacheBytes bounds the memory for what is read under leases; 0 is 256 MiB.
	CacheBytes int64
	// LeaseTerm is that of the cluster; 0 is its default.
	LeaseTerm time.Duration
	// Dial connects to an address of a server; nil is TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Delay, if set, wraps every connection to a node of a region: the simulated wide area of tests.
	Delay func(conn net.Conn, to api.RegionID) net.Conn
	// Logger is the edge's log; nil is none. Tokens and values do not appear in it.
	Logger hclog.Logger
}

// Edge is an edge of a cluster in this process, with all methods of [client.Client]. Reads under leases that it holds take less than a
// microsecond and no system call. It has no port: it dials servers, and nothing dials it. It is safe for concurrent use.
//
// A program that has opened an Edge is trusted as a node of the cluster is: no token and no policy limits what it reads and writes.
// Administration is refused, as at every edge. The methods of the Client return [api.CodeUnavailable] once the edge has ended.
type Edge struct {
	*client.Client

	node    *Node
	once    sync.Once      // of end
	err     error          // set before done is closed
	done    chan struct{}  // closed by end
	closing sync.WaitGroup // closes the node once done is closed
}

// OpenEdge opens an edge in this process and returns it when it serves. ctx bounds the opening alone: a cluster that cannot be reached
// is tried until ctx ends, which is CodeUnavailable with what is missing. A token or an edge that the cluster does not take is refused
// with the reason, CodeInvalid is a configuration that is not valid, and CodeConflict a Data of another edge. Close the Edge when it is
// no longer needed.
func OpenEdge(ctx context.Context, cfg EdgeConfig) (*Edge, error) {
	c, err := cfg.node()
	if err != nil {
		return nil, err
	}
	return openEdge(ctx, c)
}

// node returns the configuration of the node.
func (cfg *EdgeConfig) node() (Config, error) {
	base := cmp.Or(cfg.Name, "embedded")
	if len(base) > MaxNameBytes-1-drawnLetters {
		return Config{}, api.Errorf(api.CodeInvalid, "the name of an embedded edge begins with at most %d bytes", MaxNameBytes-1-drawnLetters)
	}
	id, err := drawName(cfg.Data, base, drawnLetters)
	if err != nil {
		return Config{}, err
	}
	c := Config{
		ID: id, Region: cfg.Region, Role: api.RoleEdge, Join: cfg.Join, Dir: cfg.Data, Ephemeral: cfg.Data == "",
		CacheBytes: cfg.CacheBytes, LeaseTerm: cfg.LeaseTerm, Dial: cfg.Dial, Delay: cfg.Delay, Logger: cfg.Logger,
	}
	if cfg.Token != "" {
		c.JoinToken = func(context.Context) (string, error) { return cfg.Token.Reveal(), nil }
	}
	return c, nil
}

// drawnLetters is how many letters the name of an embedded edge ends with: as many edges as may come and go draw different ones.
const drawnLetters = 8

func openEdge(ctx context.Context, c Config) (*Edge, error) {
	e := &Edge{done: make(chan struct{})}
	c.OnFailed, c.OnRemoved = e.end, e.end
	c.OnRefused = func(s Standing) {
		if s.Why == string(join.WhyRemoved) || s.Why == string(join.WhyKey) {
			e.end(api.Errorf(api.CodeDenied, "the cluster refuses the edge %s: %s", c.ID, s.Text))
		}
	}
	n, err := Open(ctx, c)
	if err != nil {
		return nil, err
	}
	e.node = n
	e.Client = n.Client()
	e.closing.Go(func() {
		<-e.done
		n.ended.Store(true)
		_ = n.Close() // Close returns its error
	})
	if err := e.ready(ctx); err != nil {
		_ = e.Close() // the first error is the one to return
		return nil, err
	}
	return e, nil
}

// edgeReadyEvery is how often an edge that opens looks whether it serves.
const edgeReadyEvery = 20 * time.Millisecond

// ready waits until the edge serves.
func (e *Edge) ready(ctx context.Context) error {
	t := time.NewTicker(edgeReadyEvery)
	defer t.Stop()
	for {
		err := e.node.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-e.done:
			return e.err
		case <-ctx.Done():
			return &api.Error{Code: api.CodeUnavailable, Op: "open edge", Hint: api.AsError(err).Hint, Err: ctx.Err()}
		case <-t.C:
		}
	}
}

// ID returns the name of the edge in the cluster.
func (e *Edge) ID() api.NodeID { return e.node.ID() }

// Done returns a channel that is closed when the edge has ended: by Close, because the cluster has removed it, or because another process
// runs with its Data.
func (e *Edge) Done() <-chan struct{} { return e.done }

// Err returns why the edge has ended by itself, and nil if it has not.
func (e *Edge) Err() error {
	select {
	case <-e.done:
		return e.err
	default:
		return nil
	}
}

// end ends the edge. err is nil if that is what the program wants.
func (e *Edge) end(err error) {
	e.once.Do(func() {
		e.err = err
		close(e.done)
	})
}

// Close ends the renewals of locks, which are lost then, gives the leases back, removes the edge from the cluster if it has no Data, and
// waits for everything that the edge has started. No method but Done and Err may be called after Close.
func (e *Edge) Close() error {
	err := e.Client.Close()
	e.end(nil)
	e.closing.Wait()
	return errors.Join(err, e.node.Close())
}

// Client returns a client of the SDK that works on this node, without a socket and without the rights, rates and limits of its fronts: for
// programs that have opened the node themselves. Its Close does not close the node.
func (n *Node) Client() *client.Client { return client.New(nodeStore{n}) }

// nodeStore is what such a client works on: the leased cache and the watches of the node.
type nodeStore struct{ n *Node }

var (
	_ api.Store   = nodeStore{}
	_ api.Lister  = nodeStore{}
	_ api.Watcher = nodeStore{}
	_ api.Admin   = nodeStore{}
)

// over returns an error if the node is an embedded edge that has ended.
func (s nodeStore) over() error {
	if s.n.ended.Load() {
		return api.Errorf(api.CodeUnavailable, "the embedded edge %s has ended", s.n.cfg.ID)
	}
	return nil
}

// ID is the node in answers of the client.
func (s nodeStore) ID() api.NodeID { return s.n.cfg.ID }

// Read implements api.Store.
func (s nodeStore) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	if err := s.over(); err != nil {
		return err
	}
	return s.n.cache.Read(ctx, r, out)
}

// ReadLeased lets the Client answer reads under leases at once: see [client.New].
func (s nodeStore) ReadLeased(k api.Key) (e api.Entry, owner api.GroupID, ok bool) {
	if s.n.ended.Load() {
		return e, "", false
	}
	return s.n.cache.ReadLeased(k)
}

// Do implements api.Store.
func (s nodeStore) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	if err := s.over(); err != nil {
		return nil, err
	}
	return s.n.cache.Do(ctx, t)
}

// List implements api.Lister.
func (s nodeStore) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	if err := s.over(); err != nil {
		return nil, err
	}
	return s.n.cache.List(ctx, r)
}

// Watch implements api.Watcher.
func (s nodeStore) Watch(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error) {
	if err := s.over(); err != nil {
		return nil, err
	}
	return s.n.watches.Watch(ctx, r)
}

// Status implements api.Admin.
func (s nodeStore) Status(ctx context.Context) (*api.Status, error) { return s.n.Status(ctx) }

// SetPlacement implements api.Admin.
func (s nodeStore) SetPlacement(ctx context.Context, prefix api.Key, region api.RegionID) error {
	return s.n.SetPlacement(ctx, prefix, region)
}

// SetPlacementGroup implements api.Admin.
func (s nodeStore) SetPlacementGroup(ctx context.Context, prefix api.Key, group api.GroupID) error {
	return s.n.SetPlacementGroup(ctx, prefix, group)
}

// Ready implements api.Admin.
func (s nodeStore) Ready(ctx context.Context) error { return s.n.Ready(ctx) }
