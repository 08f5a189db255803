package integration

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/leasecache"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport/wan"
)

var regions = []string{"us-east", "eu-west", "ap-south"}

// planet is three regions of three servers and one edge each, over a fabric. It runs in a synctest bubble: its time is
// virtual, and it uses no socket and no disk.
type planet struct {
	t      *testing.T
	fabric *wan.Fabric
	plan   *placement.Map
	hosts  []*host
	byName map[string]*host
	tune   []func(*host, *cluster.Config) // changes the Config of every node that starts
	ids    cluster.Identities             // nil: the nodes speak plain TCP
	// observing is a token for the metrics of a planet on TLS; "" before it was needed.
	observing api.Secret
	token     api.Secret // of clients of fronts; "": none is needed
	// auditing: after every apply, no edge may hold an older version of what was written (NoStale).
	audits atomic.Int64
	stale  atomic.Pointer[string]
	// changes are what became visible.
	changes *changes
}

// host is a machine: what is durable, its clock, and the node that runs on it, if one does.
type host struct {
	planet *planet
	name   string
	region string
	role   api.Role
	clock  *clock.Simulated
	stores map[api.GroupID]*logstore.Memory
	dead   atomic.Bool // it has crashed: what is left of its process counts no more

	mu   sync.Mutex
	node *cluster.Node // nil while the host is down
}

// diskSync is how long a durable write takes.
const diskSync = 2 * time.Millisecond

// newPlanet starts all nodes and waits until they are ready.
func newPlanet(t *testing.T, seed uint64, groups int, tune ...func(*host, *cluster.Config)) *planet {
	return newPlanetOf(t, seed, groups, false, tune...)
}

// barePlanet is a planet without nodes.
func barePlanet(t *testing.T, seed uint64, tune ...func(*host, *cluster.Config)) *planet {
	p := &planet{t: t, fabric: wan.NewFabric(seed, wan.Real()), byName: map[string]*host{}, tune: tune}
	p.changes = &changes{groups: map[api.GroupID]*groupChanges{}}
	return p
}

// newPlanetOf is newPlanet; the nodes speak TLS if secure is set.
func newPlanetOf(t *testing.T, seed uint64, groups int, secure bool, tune ...func(*host, *cluster.Config)) *planet {
	p := plannedPlanet(t, seed, groups, secure, tune...)
	p.launch()
	return p
}

// host adds a host. No node runs yet: what runs reads the hosts without a lock.
func (p *planet) host(name, region string, role api.Role) {
	h := &host{planet: p, name: name, region: region, role: role, clock: clock.NewSimulated(time.Now), stores: map[api.GroupID]*logstore.Memory{}}
	p.hosts = append(p.hosts, h)
	p.byName[name] = h
}

// plannedPlanet is newPlanetOf before any node runs.
func plannedPlanet(t *testing.T, seed uint64, groups int, secure bool, tune ...func(*host, *cluster.Config)) *planet {
	p := barePlanet(t, seed, tune...)
	plan := cluster.Planned{ClusterID: "test"}
	add := func(name, region string, role api.Role) {
		p.host(name, region, role)
		plan.Nodes = append(plan.Nodes, cluster.PlannedNode{ID: api.NodeID(name), Region: api.RegionID(region), Role: role, Address: name})
	}
	for _, r := range regions {
		for i := range 3 {
			add(fmt.Sprintf("%s-%d", r, i+1), r, api.RoleServer)
		}
		plan.Prefixes = append(plan.Prefixes, api.RegionID(r))
	}
	for _, r := range regions {
		add(r+"-edge-1", r, api.RoleEdge)
	}
	var err error
	if p.plan, err = cluster.Plan(plan, groups, 3); err != nil {
		t.Fatal(err)
	}
	if secure {
		if p.ids, err = cluster.SecurePlan(p.plan); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// launch starts a node on every host that the plan names, and waits until they are ready.
func (p *planet) launch() {
	for _, n := range p.plan.Nodes {
		p.byName[string(n.ID)].start()
	}
	p.ready(time.Minute)
}

// tinyCaches gives some nodes, drawn from the seed, a leased cache for eight keys, or for none.
func tinyCaches(seed uint64) func(*host, *cluster.Config) {
	return func(h *host, cfg *cluster.Config) {
		name := fnv.New64a()
		name.Write([]byte(h.name))
		if r := rand.New(rand.NewPCG(seed, name.Sum64())); r.IntN(2) == 0 {
			cfg.CacheBytes = 2100 + r.Int64N(800)
		}
	}
}

// start runs a node on the host, over what the host's disks hold.
func (h *host) start() { h.startAs(func(*cluster.Config) {}) }

// startAs is start with another Config. Faults start nodes too, beside the test, so an error does not end the test.
func (h *host) startAs(change func(*cluster.Config)) {
	p := h.planet
	h.dead.Store(false)
	l, err := p.fabric.Listen(h.name, h.region)
	if err != nil {
		p.t.Errorf("start %s: %v", h.name, err)
		return
	}
	cfg := cluster.Config{
		ID: api.NodeID(h.name), Region: api.RegionID(h.region), Role: h.role, Listener: l, Static: p.plan, Identity: p.ids[api.NodeID(h.name)],
		Clock: h.clock, Busy: func() bool { return false }, Stores: h.disk, Watch: p.audit, WideTiming: cluster.QuickWideTiming(),
		Dial: p.fabric.Dialer(h.name), // that of this process: it ends with a crash
	}
	for _, tune := range p.tune {
		tune(h, &cfg)
	}
	change(&cfg)
	n, err := cluster.Open(context.Background(), cfg)
	if err != nil {
		p.t.Errorf("start %s: %v", h.name, err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.node = n
}

func (h *host) disk(g api.GroupID) (logstore.Stores, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stores[g] == nil {
		h.stores[g] = logstore.NewMemory(diskSync)
	}
	return h.stores[g].Stores()
}

// running returns the node; nil while the host is down.
func (h *host) running() *cluster.Node {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.node
}

// crash ends the node as kill -9 does: nothing more leaves the host, and what is durable stays. What is left of the process
// is then closed, so that its goroutines end.
func (h *host) crash() {
	h.mu.Lock()
	n := h.node
	h.node = nil
	h.mu.Unlock()
	if n == nil {
		return
	}
	h.dead.Store(true)
	h.planet.fabric.Crash(h.name) // first: what it acknowledged before stands in the stores
	h.mu.Lock()
	for g, s := range h.stores {
		h.stores[g] = s.Clone()
	}
	h.mu.Unlock()
	_ = n.Close() // of a zombie: what it cannot say goodbye to is no failure
}

func (p *planet) close() {
	p.fabric.HealAll()
	var nodes []*cluster.Node
	for _, h := range p.hosts {
		if n := h.running(); n != nil {
			nodes = append(nodes, n)
		}
	}
	if err := cluster.CloseAll(nodes...); err != nil {
		p.t.Errorf("close the planet: %v", err)
	}
	if s := p.stale.Load(); s != nil {
		p.t.Error(*s)
	}
}

// ready waits until every node that runs is ready.
func (p *planet) ready(within time.Duration) {
	end := time.Now().Add(within)
	for _, h := range p.hosts {
		n := h.running()
		if n == nil {
			continue
		}
		for err := n.Ready(context.Background()); err != nil; err = n.Ready(context.Background()) {
			if time.Now().After(end) {
				p.t.Errorf("%s is not ready after %v: %v", h.name, within, err)
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// leader returns the host whose node leads the group, in the view of most nodes; nil if none does.
func (p *planet) leader(g api.GroupID) *host {
	var best api.GroupStatus
	for _, h := range p.hosts {
		n := h.running()
		if n == nil || h.role != api.RoleServer {
			continue
		}
		if s, ok := n.Group(g); ok && s.Term >= best.Term && s.Leader != "" {
			best = s
		}
	}
	return p.byName[string(best.Leader)]
}

func (p *planet) groups() []api.GroupID {
	var ids []api.GroupID
	for _, g := range p.plan.Groups {
		if g.ID != ident.MetaGroup {
			ids = append(ids, g.ID)
		}
	}
	return ids
}

// audit is the NoStale judge: it reads every node's cache at the instant at which a replica has applied a write. By then the
// machine has seen every lease on the key given up, or its session dead: no node may serve an older version.
func (p *planet) audit(a cluster.Applied) {
	if h := p.byName[string(a.Node)]; !h.dead.Load() {
		p.changes.note(a)
	}
	for i := range a.Results {
		txn := a.Results[i].Txn
		if txn == nil || txn.Version.IsZero() {
			continue
		}
		for _, e := range txn.Entries {
			if e.Version != txn.Version {
				continue
			}
			p.audits.Add(1)
			p.noneOlder(a, e)
		}
	}
}

func (p *planet) noneOlder(a cluster.Applied, written api.Entry) {
	for _, h := range p.hosts {
		n := h.running()
		if n == nil {
			continue
		}
		held, ok := n.Store().AuditKey(written.Key)
		if ok && held.Servable && held.Entry.Version.Compare(written.Version) < 0 && !laterThan(a, held, written) {
			p.found("NoStale: %s would serve %q at %v under lease %d of session %v, after %v had applied at %s in %s",
				h.name, written.Key, held.Entry.Version, held.Lease, held.Session, written.Version, a.Node, a.Group)
		}
	}
}

// laterThan reports whether the lease was given after what applied, which was no write then but a prepare, and was aborted:
// replicas that lag apply it when others know that already.
func laterThan(a cluster.Applied, held leasecache.Held, written api.Entry) bool {
	if uint64(held.Lease) < written.Version.Index {
		return false
	}
	now, _, err := a.Machine.Read([]api.Key{held.Entry.Key})
	return err != nil || now[0].Version.Compare(written.Version) < 0 // locked still, or as it was before
}

func (p *planet) found(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	p.stale.CompareAndSwap(nil, &s)
}

// gateways are the nodes through which clients work: every edge, and the first server of each region.
func (p *planet) gateways() []*host {
	var all []*host
	for _, h := range p.hosts {
		if h.role == api.RoleEdge || h.name == h.region+"-1" {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b *host) int { // edges first: they take most of the clients
		switch a.role {
		case b.role:
			return 0
		case api.RoleEdge:
			return -1
		}
		return 1
	})
	return all
}

func (h *host) store() *leasecache.Cache {
	if n := h.running(); n != nil {
		return n.Store()
	}
	return nil
}

func put(key api.Key, value string) *api.Txn {
	return &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: key, Value: []byte(value)}}}
}

func get(key api.Key) *api.ReadRequest { return &api.ReadRequest{Keys: []api.Key{key}} }

// within returns a context that ends after d of the bubble's time.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestPlanet runs a whole planet in a bubble: a write in one region, leases in the others, and a write that is seen
// everywhere at once.
func TestPlanet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlanet(t, 1, 1)
		defer p.close()
		ctx := within(t, time.Minute)
		us, ap := p.byName["us-east-edge-1"].store(), p.byName["ap-south-edge-1"].store()
		const key = "eu-west/greeting"
		if _, err := us.Do(ctx, put(key, "hello")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for i := range 10 {
			r, err := storetest.Read(ctx, ap, get(key))
			if err != nil {
				t.Fatal(err)
			}
			if r.ServedBy == api.ServedByLease {
				break
			}
			if i == 9 {
				t.Fatal("ten reads, and no lease")
			}
		}
		before := time.Now()
		r, err := storetest.Read(ctx, ap, get(key))
		if err != nil || r.ServedBy != api.ServedByLease || string(r.Entries[0].Value) != "hello" {
			t.Fatalf("leased read: %+v, %v", r, err)
		}
		if took := time.Since(before); took != 0 {
			t.Errorf("a leased read took %v on a network of its own", took)
		}
		if _, err := us.Do(ctx, put(key, "goodbye")); err != nil {
			t.Fatal(err)
		}
		if r, err = storetest.Read(ctx, ap, get(key)); err != nil || string(r.Entries[0].Value) != "goodbye" {
			t.Fatalf("after the write was acknowledged: %+v, %v", r, err)
		}
	})
}
