// Package local runs a whole planet in one process: servers and edges of several regions on real sockets of the loopback
// interface, with the delays of a wide area between them. `edgehold dev` starts it.
package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/transport/wan"
)

// Config describes a planet. The zero value is three regions of three servers and one edge each, on ports from 7400.
type Config struct {
	// Regions; nil is us-east, eu-west, ap-south. A key that begins with the name of a
	// region and a slash belongs to that region, every other key to the first one.
	Regions []api.RegionID
	// Replicas is how many servers a region has; 0 is 3.
	Replicas int
	// Edges is how many edges a region has; 0 is 1, negative is none.
	Edges int
	// Groups is how many groups a region runs; 0 is 1.
	Groups int
	// Port is the first port, node i listens on Port+i; 0 is 7400, negative lets the system choose each.
	Port int
	// Dir holds the nodes' folders; "" is a temporary one that Close removes, with the groups' state in memory.
	Dir string
	// Log is how the servers keep the logs of their groups: see [cluster.Config].
	Log cluster.LogKind
	// WAN is how far regions are from each other: "real" (or "") is [wan.Real], "off" is not at all, else a WAN file.
	WAN string
	// LeaseTerm is T; 0 is words.DefaultLeaseTerm.
	LeaseTerm time.Duration
	// Secure makes the nodes speak TLS, with certificates that are made for the planet; see [Planet.Root].
	Secure bool
	// CORSOrigins are the web origins whose pages may use the API on keys: see [cluster.Config].
	CORSOrigins []string
	// Fronts names the protocols that the nodes speak beside their own API: see [cluster.Config].
	Fronts []string
	// Faults has every node offer to cut regions off from each other, and to stop and start other nodes: see [api.Dev].
	Faults bool
	// ConsulPort is the first port of the front for clients of Consul, at which node i listens on ConsulPort+i; 0 is none, negative lets the
	// system choose each.
	ConsulPort int
	// OTLP is the URL of a collector of the nodes' traces, and TraceRatio how much they trace: see [cluster.Config].
	OTLP       string
	TraceRatio float64
	// Untraced are nodes that have no collector, whatever OTLP says.
	Untraced []api.NodeID
	// Logger is where the nodes log; nil is nowhere.
	Logger hclog.Logger
	// OnFailed is called if a node has no state to continue from: see [cluster.Config].
	OnFailed func(err error)

	table *wan.Table // instead of WAN
}

// NodeInfo is one node of the planet.
type NodeInfo struct {
	Node   api.NodeID   `json:"node"`
	Region api.RegionID `json:"region"`
	Role   api.Role     `json:"role"`
	URL    string       `json:"url"`
	// Consul is the HOST:PORT of the front for clients of Consul; "" if it is off.
	Consul string `json:"consul,omitempty"`
}

// Planet is a running planet. Its methods are safe for concurrent use.
type Planet struct {
	nodes     []NodeInfo
	addresses []string // of nodes
	regions   []api.RegionID
	temp      string
	table     *wan.Table
	root      []byte
	faults    bool // Config.Faults

	cuts    wan.Cuts
	ctx     context.Context // ends when Close begins
	cancel  context.CancelFunc
	changes sync.WaitGroup // nodes that are being stopped and started

	mu      sync.Mutex
	closing bool     // guarded by mu: no further node is stopped or started
	places  []*place // guarded by mu; one for each of nodes, in their order, once it was opened
}

// Start starts all nodes and returns when all are ready. ctx bounds the wait. CodeInvalid and CodeTooLarge: the
// configuration makes no planet. CodeUnavailable: a port is taken.
func Start(ctx context.Context, cfg Config) (*Planet, error) {
	cfg.setDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	p := &Planet{regions: cfg.Regions, faults: cfg.Faults}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (c *Config) setDefaults() {
	if c.Regions == nil {
		c.Regions = []api.RegionID{"us-east", "eu-west", "ap-south"}
	}
	if c.Replicas == 0 {
		c.Replicas = 3
	}
	if c.Edges == 0 {
		c.Edges = 1
	}
	if c.Groups == 0 {
		c.Groups = 1
	}
	if c.Port == 0 {
		c.Port = 7400
	}
}

// maxNodes bounds the nodes of one process.
const maxNodes = 100

func (c *Config) check() error {
	seen := map[api.RegionID]bool{}
	for _, r := range c.Regions {
		if r == "" || seen[r] {
			return api.Errorf(api.CodeInvalid, "--regions names %q twice, or has an empty name", r)
		}
		seen[r] = true
	}
	n := len(c.Regions) * (c.Replicas + max(0, c.Edges))
	switch {
	case len(c.Regions) == 0 || c.Replicas < 1:
		return api.Errorf(api.CodeInvalid, "a planet needs at least one region with one server (--regions, --replicas)")
	case n > maxNodes:
		return api.Errorf(api.CodeTooLarge, "%d nodes are over the limit of %d nodes in one process", n, maxNodes)
	case max(c.Port, c.ConsulPort)+n > 65536:
		return api.Errorf(api.CodeInvalid, "%d nodes from port %d need ports above 65535 (--port)", n, max(c.Port, c.ConsulPort))
	}
	return nil
}

func (p *Planet) start(ctx context.Context, cfg Config) error {
	if cfg.Dir == "" {
		dir, err := os.MkdirTemp("", "edgehold-dev-")
		if err != nil {
			return err
		}
		cfg.Dir, p.temp = dir, dir
	}
	listeners, err := p.listen(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { closeAll(listeners[len(p.places):]) }() // of nodes that were not started
	consul, err := p.listenForConsul(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { closeAll(consul[min(len(p.places), len(consul)):]) }()
	table := cfg.table
	if table == nil {
		if table, err = distances(cfg.WAN); err != nil {
			return err
		}
	}
	p.table = table
	plan, err := cluster.Plan(p.planned(cfg), cfg.Groups, voters(cfg.Replicas))
	if err != nil {
		return err
	}
	var identities cluster.Identities
	if cfg.Secure {
		if identities, err = cluster.SecurePlan(plan); err != nil {
			return err
		}
	}
	for i, info := range p.nodes {
		own := cluster.Config{
			ID: info.Node, Region: info.Region, Role: info.Role, Listener: listeners[i], Static: plan,
			Dir: filepath.Join(cfg.Dir, string(info.Node)), Log: cfg.Log, Memory: p.temp != "", LeaseTerm: cfg.LeaseTerm, Logger: cfg.Logger,
			WideTiming: cluster.QuickWideTiming(), OnFailed: cfg.OnFailed, Identity: identities[info.Node], CORSOrigins: cfg.CORSOrigins, Fronts: cfg.Fronts, OTLP: cfg.OTLP, TraceRatio: cfg.TraceRatio,
			Delay: func(c net.Conn, to api.RegionID) net.Conn { return p.link(c, info.Region, to) },
		}
		if slices.Contains(cfg.Untraced, info.Node) {
			own.OTLP = ""
		}
		if cfg.Faults {
			own.Dev = devAt{p, info.Node}
			own.Dial = func(ctx context.Context, address string) (net.Conn, error) { return p.dial(ctx, info.Region, address) }
		}
		if consul != nil {
			own.ConsulListener = consul[i]
		}
		n, err := cluster.Open(ctx, own)
		if err != nil {
			return fmt.Errorf("node %s: %w", info.Node, err)
		}
		p.opened(i, &place{own: own, node: n, state: api.DevUp})
	}
	return p.ready(ctx)
}

// opened notes a node that runs.
func (p *Planet) opened(i int, x *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places = append(p.places, x)
	p.nodes[i].URL, p.root = x.node.URL(), x.node.Root()
}

// listen names the nodes in the order of their ports, and opens the ports.
func (p *Planet) listen(ctx context.Context, cfg Config) (all []net.Listener, err error) {
	add := func(node string, region api.RegionID, role api.Role) {
		if err != nil {
			return
		}
		var l net.Listener
		if l, err = listenAt(ctx, cfg.Port, len(all)); err != nil {
			return
		}
		all, p.addresses = append(all, l), append(p.addresses, l.Addr().String())
		p.nodes = append(p.nodes, NodeInfo{Node: api.NodeID(node), Region: region, Role: role, URL: "http://" + l.Addr().String()})
	}
	for _, r := range cfg.Regions {
		for i := range cfg.Replicas {
			add(fmt.Sprintf("%s-%d", r, i+1), r, api.RoleServer)
		}
	}
	for _, r := range cfg.Regions {
		for i := range cfg.Edges {
			add(fmt.Sprintf("%s-edge-%d", r, i+1), r, api.RoleEdge)
		}
	}
	if err != nil {
		closeAll(all)
		return nil, err
	}
	return all, nil
}

// listenForConsul opens the ports of the front for clients of Consul, one for each node; none if it is off.
func (p *Planet) listenForConsul(ctx context.Context, cfg Config) (all []net.Listener, err error) {
	for i := range p.nodes {
		if cfg.ConsulPort == 0 {
			return nil, nil
		}
		l, err := listenAt(ctx, cfg.ConsulPort, i)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		all, p.nodes[i].Consul = append(all, l), l.Addr().String()
	}
	return all, nil
}

// listenAt opens the i-th port from first on; any port if first is negative.
func listenAt(ctx context.Context, first, i int) (net.Listener, error) {
	port := "0"
	if first > 0 {
		port = strconv.Itoa(first + i)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Op: "listen", Hint: "port " + port + " cannot be opened; choose other ports with --port", Err: err}
	}
	return l, nil
}

func closeAll(all []net.Listener) {
	for _, l := range all {
		_ = l.Close()
	}
}

func (p *Planet) planned(cfg Config) cluster.Planned {
	plan := cluster.Planned{ClusterID: "dev"}
	for _, info := range p.nodes {
		plan.Nodes = append(plan.Nodes, cluster.PlannedNode{ID: info.Node, Region: info.Region, Role: info.Role, Address: info.URL[len("http://"):]})
	}
	plan.Prefixes = cfg.Regions
	return plan
}

// Root is the certificate, in PEM, to which those of the nodes lead: what clients of a secure planet are to trust. nil of a planet that
// is not secure.
func (p *Planet) Root() []byte { return p.root }

// NewToken makes an access token with the policies, which holds at every node when it returns; see [api.Access]. A secure planet
// answers no client without one. The text is a secret.
func (p *Planet) NewToken(ctx context.Context, name string, policies ...string) (text string, err error) {
	n, err := p.server()
	if err != nil {
		return "", err
	}
	t, err := n.CreateAccessToken(ctx, api.AccessTokenSpec{Name: name, Policies: policies}, 10*time.Second)
	if err != nil {
		return "", err
	}
	return t.Token, nil
}

// ready waits until every node that runs is ready.
func (p *Planet) ready(ctx context.Context) error {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for _, n := range p.running() {
		for err := n.Ready(ctx); err != nil; err = n.Ready(ctx) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("node %s: %w", n.ID(), err)
			case <-t.C:
			}
		}
	}
	return nil
}

// Nodes returns the nodes of the planet in the order of their ports: each region's servers, then each region's edges.
func (p *Planet) Nodes() []NodeInfo { return p.nodes }

// Close closes all nodes, and waits for them.
func (p *Planet) Close() error {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	p.cancel()
	p.changes.Wait()
	p.cuts.HealAll() // else nodes could not give their leases back
	errs := []error{cluster.CloseAll(p.running()...)}
	if p.temp != "" {
		errs = append(errs, os.RemoveAll(p.temp))
	}
	return errors.Join(errs...)
}

func distances(spec string) (*wan.Table, error) {
	switch spec {
	case "", "real":
		return wan.Real(), nil
	case "off":
		return wan.Off(), nil
	}
	t, err := wan.Load(spec)
	if err != nil {
		return nil, &api.Error{Code: api.CodeInvalid, Op: "--wan", Hint: "choose real, off or a WAN file", Err: err}
	}
	return t, nil
}

// Delay returns a function that makes connections from a region as slow as the WAN file says. Nodes that are processes of
// their own use it.
func Delay(file string, from api.RegionID) (func(c net.Conn, to api.RegionID) net.Conn, error) {
	t, err := distances(file)
	if err != nil {
		return nil, err
	}
	return func(c net.Conn, to api.RegionID) net.Conn { return t.Delay(c, string(from), string(to)) }, nil
}

// voters returns how many of a region's servers vote: five of five or more, else up to three.
func voters(replicas int) int {
	if replicas >= 5 {
		return 5
	}
	return 3
}
