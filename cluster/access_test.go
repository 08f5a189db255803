package cluster

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/fsm/placement"
)

// world of tokens: nodes in memory of a cluster in which clients without a token may do nothing.
type guarded struct {
	*bubble
	nodes map[api.NodeID]*Node
}

// newGuarded opens the nodes. change completes their configuration.
func newGuarded(b *bubble, change func(*Config), ids ...api.NodeID) *guarded {
	b.t.Helper()
	g := &guarded{b, map[api.NodeID]*Node{}}
	plan := planned(b.t, ids...)
	for _, id := range ids {
		role := api.RoleServer
		if id[0] == 'e' {
			role = api.RoleEdge
		}
		cfg := b.config(id, role)
		cfg.Static = plan
		change(&cfg)
		g.nodes[id] = b.open(cfg)
	}
	for _, n := range g.nodes {
		b.ready(n)
	}
	g.everywhere(g.nodes[ids[0]].SetPolicy(asSocket(), api.Policy{Name: "anonymous"}, 10*time.Second))
	return g
}

// asSocket is the context of a request by the admin socket.
func asSocket() context.Context {
	return front.WithPrincipal(context.Background(), &front.Principal{Name: front.Socket})
}

// everywhere wants a change that all nodes know of.
func (b *bubble) everywhere(told *api.Told, err error) {
	b.t.Helper()
	if err != nil || len(told.NotTold) > 0 {
		b.t.Fatalf("%+v, %v", told, err)
	}
}

// token makes a token that all nodes know.
func (g *guarded) token(at api.NodeID, spec api.AccessTokenSpec) *api.NewAccessToken {
	g.t.Helper()
	made, err := g.nodes[at].CreateAccessToken(asSocket(), spec, 10*time.Second)
	if err != nil || len(made.NotTold) > 0 {
		g.t.Fatalf("%+v, %v", made, err)
	}
	return made
}

// get reads a key at a node with a token, as an HTTP request.
func (n *Node) get(token, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	n.api.ServeHTTP(w, r)
	return w
}

func (g *guarded) want(at api.NodeID, token, path string, status int, says string) {
	g.t.Helper()
	if w := g.nodes[at].get(token, path); w.Code != status || !strings.Contains(w.Body.String(), says) {
		g.t.Errorf("%s at %s: %d %s, want %d %s", path, at, w.Code, w.Body, status, says)
	}
}

// TestRevokeUnderLoad: 12 nodes are read with a token without pause while it is revoked. No request that begins after the
// revocation has returned succeeds, at any node.
//
// Attack 33.
func TestRevokeUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []api.NodeID{"s1", "s2", "s3", "e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9"}
		g := newGuarded(newBubble(t), func(*Config) {}, ids...)
		for _, id := range ids {
			g.want(id, "", "/v1/kv/k", 401, "a token is needed")
		}
		made := g.token("s2", api.AccessTokenSpec{Name: "app", Policies: []string{"read-all"}})
		var revoked atomic.Bool
		var served, refused atomic.Int64
		var load sync.WaitGroup
		for _, n := range g.nodes {
			for range 2 {
				load.Go(func() {
					for last := false; !last; {
						last = revoked.Load()
						switch w := n.get(made.Token, "/v1/kv/k"); {
						case w.Code == 401:
							refused.Add(1)
						case last:
							t.Errorf("%s answers %d to a request that began after the revocation", n.ID(), w.Code)
						case w.Code == 404:
							served.Add(1)
						}
						time.Sleep(time.Millisecond)
					}
				})
			}
		}
		time.Sleep(time.Second)
		g.everywhere(g.nodes["s3"].RevokeAccessToken(asSocket(), "app", 10*time.Second))
		revoked.Store(true)
		load.Wait()
		if served.Load() < 1000 || refused.Load() < 24 {
			t.Errorf("%d requests were served and %d refused", served.Load(), refused.Load())
		}
		g.everywhere(g.nodes["s1"].RevokeAccessToken(asSocket(), made.ID, time.Second)) // again, which waits for the nodes
	})
}

// TestCutOff: a node that is cut off is named by the revocation, goes on until its roll is too old, and then refuses clients; so does
// a node that hears only such a node. Their probes say so, and they serve again when they are reached.
//
// Attack 34.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 30 * time.Second
		g := newGuarded(newBubble(t), func(c *Config) {
			if d := bound; c.ID != "e3" {
				c.AccessMaxAge = &d
			} else {
				d = 0
				c.AccessMaxAge = &d
			}
		}, "s1", "s2", "s3", "e1", "e2", "e3")
		made := g.token("s1", api.AccessTokenSpec{Name: "app", Policies: []string{"read-all"}})
		g.want("e2", made.Token, "/v1/kv/k", 404, "")

		voter, other := "s3", "s2" // the one to cut off does not lead the group of the map
		if g.nodes["s1"].members.metaGroup().Status().Leader == "s3" {
			voter, other = other, voter
		}
		apart := func(node string, from ...string) {
			for _, o := range from {
				g.fabric.Cut(node, o)
				g.fabric.Cut(o, node)
			}
		}
		apart("e1", "s1", "s2", "s3", "e2", "e3") // cut off from all
		apart("e3", "s1", "s2", "s3", "e1", "e2") // too, with its bound lifted
		apart(voter, "s1", other, "e1", "e3")     // a voter that hears e2 alone
		apart("e2", "s1", other, "e1", "e3")      // an edge behind that voter
		time.Sleep(2 * time.Second)
		told, err := g.nodes["s1"].RevokeAccessToken(asSocket(), "app", 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var missing []string
		for _, m := range told.NotTold {
			missing = append(missing, string(m.Node)+": "+m.Why)
		}
		if got := strings.Join(missing, ", "); got != "e1: unreachable, e2: unreachable, e3: unreachable, "+voter+": unreachable" {
			t.Errorf("these do not know it: %s", got)
		}
		for _, id := range []api.NodeID{"e1", "e2", api.NodeID(voter), "e3"} {
			g.want(id, made.Token, "/v1/access/self", 200, "app") // within the bound
		}
		time.Sleep(bound + 5*time.Second)
		for _, id := range []api.NodeID{"e1", "e2", api.NodeID(voter)} {
			g.want(id, made.Token, "/v1/kv/k?consistency=stale", 503, "old: this node is cut off")
			g.want(id, "", "/v1/kv/k", 503, "old: this node is cut off")
			if err := g.nodes[id].Ready(context.Background()); err == nil {
				t.Errorf("%s says that it is ready", id)
			}
		}
		g.want("e3", made.Token, "/v1/access/self", 200, "app")
		g.want("s1", made.Token, "/v1/kv/k", 401, "the token is not known here")
		g.fabric.HealAll()
		time.Sleep(20 * time.Second) // connections are made again
		for _, id := range []api.NodeID{"e1", "e2", api.NodeID(voter), "e3"} {
			g.ready(g.nodes[id])
			g.want(id, made.Token, "/v1/kv/k", 401, "the token is not known here")
		}
	})
}

// TestTokenLife: a token is made, used where it is valid, rotated with the old secret kept for a while, and ends when its time has
// come; it is listed without its secret, and by the node that has seen it.
//
// Attack 35: an edge names the servers that administer; a token for another node is not known.
func TestTokenLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(newBubble(t), func(*Config) {}, "s1", "s2", "s3", "e1")
		s1, ctx := g.nodes["s1"], asSocket()
		root := g.token("s1", api.AccessTokenSpec{Name: "root", Policies: []string{"admin"}})
		g.want("s2", root.Token, "/v1/access/tokens", 200, `"name":"root"`)
		g.want("e1", root.Token, "/v1/access/tokens", 403, "ask http://s1, http://s2, http://s3")
		g.want("e1", root.Token, "/v1/access/self", 401, "the token is not known here")
		one := g.token("s2", api.AccessTokenSpec{Name: "one", Policies: []string{"all"}, At: []string{"e1"}, TTL: time.Minute, Ops: 2})
		g.want("e1", one.Token, "/v1/kv/k", 404, "")
		g.want("s1", one.Token, "/v1/kv/k", 401, "the token is not known here")
		g.want("e1", one.Token, "/v1/kv/k", 404, "")
		if w := g.nodes["e1"].get(one.Token, "/v1/kv/k"); w.Code != 429 || w.Header().Get("Retry-After") == "" {
			t.Errorf("over its rate: %d %v %s", w.Code, w.Header(), w.Body)
		}

		seen, err := s1.AccessTokens(ctx, "e1")
		if err != nil || len(seen) != 1 || seen[0].Name != "one" || seen[0].Seen.IsZero() || seen[0].By != front.Socket {
			t.Errorf("at e1 was seen %+v, %v", seen, err)
		}
		if _, err := s1.AccessTokens(ctx, "e9"); api.CodeOf(err) != api.CodeNotFound {
			t.Errorf("at a node that there is not: %v", err)
		}
		fresh, err := s1.RotateAccessToken(ctx, "one", 20*time.Second, 10*time.Second)
		if err != nil || len(fresh.NotTold) > 0 || fresh.ID != one.ID || fresh.Token == one.Token {
			t.Fatalf("%+v, %v", fresh, err)
		}
		time.Sleep(2 * time.Second)
		g.want("e1", one.Token, "/v1/access/self", 200, one.ID)
		g.want("e1", fresh.Token, "/v1/access/self", 200, one.ID)
		time.Sleep(30 * time.Second)
		g.want("e1", one.Token, "/v1/access/self", 401, "")
		g.want("e1", fresh.Token, "/v1/access/self", 200, one.ID)
		time.Sleep(35 * time.Second) // its minute is over
		g.want("e1", fresh.Token, "/v1/access/self", 401, "")
		list, err := s1.AccessTokens(ctx, "")
		if err != nil || len(list) != 1 || list[0].Name != "root" {
			t.Errorf("left are %+v, %v", list, err)
		}
		for _, err := range []error{
			second(s1.RevokeAccessToken(ctx, "one", 0)), second(s1.RotateAccessToken(ctx, "one", 0, 0)), second(s1.DeletePolicy(ctx, "none", false, 0)),
			second(s1.CreateAccessToken(ctx, api.AccessTokenSpec{Name: "x", Policies: []string{"none"}}, 0)),
			second(s1.CreateAccessToken(ctx, api.AccessTokenSpec{Name: "x", At: []string{"mars"}}, 0)),
		} {
			if api.CodeOf(err) != api.CodeNotFound {
				t.Errorf("what there is not: %v", err)
			}
		}
		if err := second(s1.CreateAccessToken(ctx, api.AccessTokenSpec{Name: "root"}, 0)); api.CodeOf(err) != api.CodeConflict {
			t.Errorf("a name that is taken: %v", err)
		}
	})
}

// TestRevokeAsksTheNodesOfTheChange: a revocation holds everywhere only if the nodes judge by it that had joined before it, also those
// of which the node that carries it out has not heard yet.
func TestRevokeAsksTheNodesOfTheChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(newBubble(t), func(*Config) {}, "s1", "s2", "s3")
		s1 := g.nodes["s1"]
		app := g.token("s1", api.AccessTokenSpec{Name: "app", Policies: []string{"all"}})
		propose := s1.changes.Propose
		s1.changes.Propose = func(ctx context.Context, c placement.Command) (meta.Applied, error) {
			done, err := propose(ctx, c)
			if err == nil {
				newer := *done.Map
				newer.Version++
				newer.Nodes = append(slices.Clone(newer.Nodes), placement.Node{ID: "s9", Region: newer.Nodes[0].Region, Role: api.RoleEdge, Address: "s9"})
				done.Map = &newer
			}
			return done, err
		}
		told, err := s1.RevokeAccessToken(asSocket(), app.ID, 2*time.Second)
		if err != nil || len(told.NotTold) != 1 || told.NotTold[0].Node != "s9" {
			t.Errorf("not told are %+v, %v; want s9", told, err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestPlainTokens: a cluster that speaks plain TCP outside loopback makes no tokens.
func TestPlainTokens(t *testing.T) {
	for address, want := range map[string]api.Code{
		"127.0.0.1:7400": "", "[::1]:7400": "", "localhost:7400": "", "10.0.0.1:7400": api.CodeConflict, "db.example.com:7400": api.CodeConflict, "[2001:db8::1]:7400": api.CodeConflict,
	} {
		n := knowing(t, &placement.Map{Nodes: []placement.Node{{ID: "s1", Address: address}}})
		if err := n.tokensAreSecret(); api.CodeOf(err) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	n := knowing(t, &placement.Map{Security: placement.TLS, Nodes: []placement.Node{{ID: "s1", Address: "10.0.0.1:7400"}}})
	if err := n.tokensAreSecret(); err != nil {
		t.Errorf("with TLS: %v", err)
	}
}

// TestClocksForExpiry: tokens end by a clock that is near the median of the voters'.
//
// Attack 24: no token ends while the leader's clock is off.
func TestClocksForExpiry(t *testing.T) {
	now := time.Now()
	at := func(offs ...time.Duration) (clocks []time.Time) {
		for _, d := range offs {
			clocks = append(clocks, now.Add(d))
		}
		return clocks
	}
	const h = time.Hour
	for _, c := range []struct {
		clocks []time.Time
		want   bool
	}{
		{at(0), true}, {at(0, time.Minute, -time.Minute), true}, {at(0, 0, 10*365*24*h), true}, {at(0, h, h), false}, {at(0, -h, -h), false},
		{at(0, h, -h), true}, {at(0, 6*time.Minute, 6*time.Minute), false}, {nil, false},
	} {
		if got := clockAgrees(c.clocks, now); got != c.want {
			t.Errorf("%v: %v", c.clocks, got)
		}
	}
	roll := &placement.Roll{Tokens: []placement.AccessToken{
		{ID: placement.TokenID{1}, Ends: 100}, {ID: placement.TokenID{2}}, {ID: placement.TokenID{3}, Ends: 102},
		{ID: placement.TokenID{4}, Keep: 100, Hashes: [][]byte{{1}, {2}}},
	}}
	due := dueTokens(roll, 100)
	if len(due) != 2 || due[0].ID[0] != 1 || due[0].Hash != nil || due[1].ID[0] != 4 || !bytes.Equal(due[1].Hash, []byte{2}) {
		t.Errorf("due are %+v", due)
	}
}

// knowing is a node of which only its map matters.
func knowing(t *testing.T, m *placement.Map) *Node {
	t.Helper()
	view, err := meta.OpenView(meta.Files{}, m)
	if err != nil {
		t.Fatal(err)
	}
	return &Node{membership: &membership{network: &network{view: view}}}
}

// TestFreshness: what was heard before a suspend, which the time of the process does not count, makes no roll fresh.
//
// Attack 34: a machine that slept for hours serves no client by what it heard before.
func TestFreshness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := clock.NewSimulated(time.Now)
		var ages []time.Duration
		f := &freshness{suspends: &suspends{clock: sim}, heard: func(_, age time.Duration) { ages = append(ages, age) }}
		f.look(50*time.Millisecond, true) // a voter that was asked at the start had heard its leader a moment before
		if len(ages) != 1 {
			t.Errorf("at the start was heard %v", ages)
		}
		ages = nil
		time.Sleep(time.Second)
		f.look(500*time.Millisecond, true)
		f.look(0, false)
		time.Sleep(time.Second)
		f.look(time.Second, true)
		if len(ages) != 2 {
			t.Fatalf("heard %v", ages)
		}
		sim.Jump(2 * time.Hour) // a suspend
		time.Sleep(time.Second)
		f.look(100*time.Millisecond, true) // by the time of the process alone
		time.Sleep(time.Second)
		f.look(1100*time.Millisecond, true)
		if len(ages) != 2 {
			t.Errorf("after a suspend was heard %v", ages)
		}
		f.look(500*time.Millisecond, true)
		if len(ages) != 3 {
			t.Errorf("what came after it is not heard: %v", ages)
		}
	})
}

// TestStartsWithoutAlarm: a node that starts with what its folder knows has not heard yet how old its tokens and policies are. It says
// nothing of that if it hears so soon, and once if it does not.
func TestStartsWithoutAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "e1")
		f.everywhere(f.nodes["s1"].SetPolicy(asSocket(), api.Policy{Name: "anonymous"}, 10*time.Second))
		f.kill("e1")
		again := func(reached bool) string {
			var log bytes.Buffer
			cfg := f.configs["e1"]
			cfg.Logger = hclog.New(&hclog.LoggerOptions{Output: &log, Mutex: new(sync.Mutex)})
			var err error
			if cfg.Listener, err = f.fabric.Listen("e1", "r"); err != nil {
				t.Fatal(err)
			}
			if reached {
				f.fabric.Rejoin("e1")
			}
			n := f.open(cfg)
			time.Sleep(time.Minute)
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			return log.String()
		}
		const alarm = "the tokens and policies of this node are old"
		if log := again(false); strings.Count(log, alarm) != 1 {
			t.Errorf("cut off, it has logged\n%s", log)
		}
		if log := again(true); strings.Contains(log, alarm) {
			t.Errorf("it has logged\n%s", log)
		}
	})
}
