package local

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/transport/wan"
)

// TB is what [Dev] needs of a test: a *testing.T, *testing.B or *testing.F has it.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(f func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// DevOption changes the planet that [Dev] starts.
type DevOption func(*Config)

// WithRegions names the regions; the first owns every key that does not begin with the name of a region and a slash.
func WithRegions(regions ...api.RegionID) DevOption {
	return func(c *Config) { c.Regions = regions }
}

// WithServers sets how many servers a region has. Without it a region has one.
func WithServers(n int) DevOption { return func(c *Config) { c.Replicas = n } }

// WithEdges sets how many edges a region has; 0 is none. Without it a region has one.
func WithEdges(n int) DevOption {
	return func(c *Config) {
		if c.Edges = n; n == 0 {
			c.Edges = -1
		}
	}
}

// WithRoundTrip sets how long a message to another region and its answer take. Without it, and without [WithWAN], nodes of different
// regions are as near as the sockets of this machine are.
func WithRoundTrip(d time.Duration) DevOption { return func(c *Config) { c.table = wan.Uniform(d) } }

// WithWAN sets how far regions are from each other, as [Config].WAN does: "real", "off", or a WAN file.
func WithWAN(spec string) DevOption { return func(c *Config) { c.WAN, c.table = spec, nil } }

// WithTLS has the nodes speak TLS. The clients of the planet have a token that allows everything.
func WithTLS() DevOption { return func(c *Config) { c.Secure = true } }

// WithFaults has the nodes offer to cut regions off from each other, and to stop nodes: see [Config].Faults.
func WithFaults() DevOption { return func(c *Config) { c.Faults = true } }

// WithFronts has the nodes speak further protocols, such as "kvconnect": see [Config].Fronts.
func WithFronts(names ...string) DevOption { return func(c *Config) { c.Fronts = names } }

// WithConsul has the nodes answer clients of Consul's KV API, each at a port of its own: see [NodeInfo].
func WithConsul() DevOption { return func(c *Config) { c.ConsulPort = -1 } }

// DevPlanet is a planet of one test. Its methods are safe for concurrent use.
type DevPlanet struct {
	*Planet

	t      TB
	secure bool

	mu      sync.Mutex
	token   string                          // "" before it is needed
	clients map[api.RegionID]*client.Client // guarded by mu
	edges   []*cluster.Edge                 // guarded by mu
}

// devTimeout bounds the start of a planet, and of one embedded edge.
const devTimeout = time.Minute

// Dev starts a planet for a test, on ports of loopback that the system chooses, and ends it with the test. Without options it has the
// regions us-east, eu-west and ap-south, each with one server and one edge, without delays between them, and keeps nothing on disk that
// outlives the test. The test fails at once if the planet cannot be started within a minute.
//
//	p := local.Dev(t, local.WithRoundTrip(100*time.Millisecond))
//	c := p.Client("ap-south")
func Dev(t TB, options ...DevOption) *DevPlanet {
	t.Helper()
	cfg := Config{Replicas: 1, Port: -1, WAN: "off"}
	for _, o := range options {
		o(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), devTimeout)
	defer cancel()
	p, err := Start(ctx, cfg)
	if err != nil {
		t.Fatalf("the planet was not started: %v", err)
		return nil
	}
	d := &DevPlanet{Planet: p, t: t, secure: cfg.Secure, clients: map[api.RegionID]*client.Client{}}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Errorf("the planet did not end well: %v", err)
		}
	})
	return d
}

// Client returns the SDK's client of a region: its nodes are the endpoints, the edges first. It is the same one at each call, and ends
// with the test. The test fails if the planet has no such region.
func (d *DevPlanet) Client(region api.RegionID) *client.Client {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.clients[region]; c != nil {
		return c
	}
	c, err := d.open(region)
	if err != nil {
		d.t.Fatalf("no client of %s: %v", region, err)
		return nil
	}
	d.clients[region] = c
	return c
}

// open opens a client. The caller holds mu.
func (d *DevPlanet) open(region api.RegionID) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), devTimeout)
	defer cancel()
	if d.secure && d.token == "" {
		text, err := d.NewToken(ctx, "test", "all")
		if err != nil {
			return nil, err
		}
		d.token = text
	}
	urls := d.urls(region, api.RoleEdge)
	return client.Open(ctx, client.Config{
		Endpoints: append(urls, d.urls(region, api.RoleServer)...), Token: api.Secret(d.token), CA: d.Root(),
	})
}

// urls returns the URLs of the region's nodes of that role.
func (d *DevPlanet) urls(region api.RegionID, role api.Role) (urls []string) {
	for _, n := range d.Nodes() {
		if n.Region == region && n.Role == role {
			urls = append(urls, n.URL)
		}
	}
	return urls
}

// Edge opens one more edge in the region, which need not have other nodes, in this process and without a port: see [cluster.OpenEdge]. It
// ends with the test. The test fails if the planet has TLS: no node can join it, as the key of its CA is not kept.
func (d *DevPlanet) Edge(region api.RegionID) *cluster.Edge {
	d.t.Helper()
	if d.secure {
		d.t.Fatalf("no edge can join a planet with TLS whose nodes were all known beforehand")
		return nil
	}
	var join []string
	for _, n := range d.Nodes() {
		if n.Role == api.RoleServer {
			join = append(join, strings.TrimPrefix(n.URL, "http://"))
		}
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), devTimeout)
	defer cancel()
	e, err := cluster.OpenEdge(ctx, cluster.EdgeConfig{
		Join: join, Region: region,
		Delay: func(c net.Conn, to api.RegionID) net.Conn { return d.link(c, region, to) },
	})
	if err != nil {
		d.t.Fatalf("no edge in %s: %v", region, err)
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.edges = append(d.edges, e)
	return e
}

// close ends the clients, the edges and the planet.
func (d *DevPlanet) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, c := range d.clients {
		errs = append(errs, c.Close())
	}
	for _, e := range d.edges {
		errs = append(errs, e.Close())
	}
	return errors.Join(append(errs, d.Planet.Close())...)
}
