package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/fsm/placement"
)

// joined is a cluster that one server has founded with TLS, in a bubble.
type joined struct {
	*bubble
	first *Node
}

func newJoined(t *testing.T) *joined {
	t.Helper()
	b := newBubble(t)
	cfg := b.config("s1", api.RoleServer)
	cfg.Bootstrap, cfg.Secure = true, true
	j := &joined{b, b.open(cfg)}
	b.ready(j.first)
	return j
}

// token makes a join token.
func (j *joined) token(spec api.JoinTokenSpec) string {
	j.t.Helper()
	made, err := j.first.CreateJoinToken(j.t.Context(), spec)
	if err != nil {
		j.t.Fatal(err)
	}
	return made.Token
}

// joiner is a node that joins by the token, and the channel that gets its end.
func (j *joined) joiner(id api.NodeID, role api.Role, token string) (Config, chan error) {
	ended := make(chan error, 10)
	cfg := j.config(id, role)
	cfg.Join = []string{"s1"}
	cfg.JoinToken = func(context.Context) (string, error) { return token, nil }
	cfg.OnFailed = func(err error) { ended <- err }
	return cfg, ended
}

// refusal opens a node that is to be refused, and returns why.
func (j *joined) refusal(cfg Config, ended chan error) string {
	j.t.Helper()
	n := j.open(cfg)
	defer func() { _ = n.Close() }()
	select {
	case err := <-ended:
		return err.Error()
	case <-time.After(time.Minute):
		j.t.Errorf("%s was not refused within a minute", cfg.ID)
		return ""
	}
}

// TestJoinByToken: servers and an edge come in by a token; the servers catch up and vote by themselves. A spent, revoked or ended token
// and what a token does not allow are refused, in one line each. Attack 17. Attack 19. Attack 22.
func TestJoinByToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		servers := j.token(api.JoinTokenSpec{Role: api.RoleServer, Uses: 2, TTL: time.Hour})
		var second *Node
		for _, id := range []api.NodeID{"s2", "s3"} {
			cfg, _ := j.joiner(id, api.RoleServer, servers)
			second = j.open(cfg)
			j.ready(second)
		}
		edges := j.token(api.JoinTokenSpec{Role: api.RoleEdge, Uses: api.UnlimitedUses, Names: []string{"*.example.com"}})
		cfg, _ := j.joiner("e1", api.RoleEdge, edges)
		cfg.Names = []string{"api.example.com"}
		e1 := j.open(cfg)
		j.ready(e1)
		if _, err := e1.Store().Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k", Value: []byte("v")}}}); err != nil {
			t.Error(err)
		}
		g, _ := j.first.mirror.Map().Group("r.1")
		if m := j.first.mirror.Map(); len(g.Voters) != 3 || m.Security != placement.TLS || slices.ContainsFunc(m.Nodes, func(n placement.Node) bool { return len(n.Pins) != 1 || n.Num == 0 }) {
			t.Errorf("the map is %+v", m)
		}
		if leaf := e1.membership.credentials.identity().Leaf; !slices.Contains(leaf.DNSNames, "api.example.com") || leaf.DNSNames[0] != "localhost" {
			t.Errorf("the certificate has the names %v", leaf.DNSNames)
		}
		const notValid = `the join token is not valid any more: make one with "edgehold cluster token create"`
		revoked := j.token(api.JoinTokenSpec{Role: api.RoleServer, Uses: 5})
		id := tokenOf(t, revoked).ID.String()
		if err := j.first.RevokeJoinToken(t.Context(), id); err != nil {
			t.Error(err)
		}
		if err := j.first.RevokeJoinToken(t.Context(), id); api.CodeOf(err) != api.CodeNotFound {
			t.Errorf("revoked twice: %v", err)
		}
		short := j.token(api.JoinTokenSpec{Role: api.RoleServer, TTL: 10 * time.Second})
		wide := j.token(api.JoinTokenSpec{Role: api.RoleServer, Region: "elsewhere"})
		unlimited := j.token(api.JoinTokenSpec{Role: api.RoleServer, Uses: api.UnlimitedUses})
		time.Sleep(12 * time.Second)
		if err := second.Close(); err != nil { // a server under its name comes with a new disk
			t.Error(err)
		}
		for _, c := range []struct {
			name, token string
			node        api.NodeID
			role        api.Role
			names       []string
			says        string
		}{
			{"spent", servers, "s4", api.RoleServer, nil, notValid},
			{"revoked", revoked, "s4", api.RoleServer, nil, notValid},
			{"ended", short, "s4", api.RoleServer, nil, notValid},
			{"an edge's token", edges, "s4", api.RoleServer, nil, "the join token allows the role edge only, and this node is a server"},
			{"another region", wide, "s4", api.RoleServer, nil, "the join token allows region elsewhere only, and this node is in r"},
			{"a known id", unlimited, "s3", api.RoleServer, nil, "the cluster knows a node s3, but this data folder is new; start it with its old folder, or under a new id"},
			{"a name that is taken", unlimited, "s4", api.RoleServer, []string{"api.example.com"}, `the name api.example.com belongs to node "e1"`},
			{"a name that is not allowed", edges, "e2", api.RoleEdge, []string{"google.com"}, "the token does not allow the name google.com: make one with --names"},
			{"a damaged token", servers[:40] + servers[41:], "s4", api.RoleServer, nil, "84 characters instead of 85"},
		} {
			cfg, ended := j.joiner(c.node, c.role, c.token)
			cfg.Names = c.names
			if got := j.refusal(cfg, ended); !strings.Contains(got, c.says) || strings.Contains(got, "\n") || strings.Contains(got, c.token) {
				t.Errorf("%s: %q", c.name, got)
			}
			time.Sleep(2 * time.Second) // the bound of requests to join
		}
	})
}

func tokenOf(t *testing.T, text string) join.Token {
	t.Helper()
	k, err := join.ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// request is what a node says of itself, with a new key.
func request(t *testing.T, token string, id api.NodeID) (*api.JoinRequest, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := join.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := join.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	return &api.JoinRequest{Token: token, CSR: csr, Node: id, Region: "r", Role: api.RoleServer, Advertise: string(id) + ":1", Level: int(placement.NewestLevel), Fresh: true}, key
}

// TestJoinReplayed: a request that was captured and is sent again gives a certificate, for a key that its sender does not have, and no
// other secret; it takes no use. The same id with another key is refused. Attack 18.
func TestJoinReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		q, key := request(t, j.token(api.JoinTokenSpec{Role: api.RoleServer, Uses: 2}), "s2")
		first, err := j.first.Join(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		again, err := j.first.Join(t.Context(), q)
		if err != nil || again.Num != first.Num || len(j.first.mirror.Map().Nodes) != 2 {
			t.Fatalf("again: %+v, %v", again, err)
		}
		c, err := x509.ParseCertificate(again.Certificate)
		if err != nil || !key.PublicKey.Equal(c.PublicKey) || c.IsCA {
			t.Errorf("the certificate is for another key: %v", err)
		}
		vault := j.first.members.vaultGroup()
		v, err := vault.Vault(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		secret := string(v.CAKey)
		if strings.Contains(string(again.Map), secret) || strings.Contains(fmt.Sprint(again), secret) {
			t.Error("an answer has the CA's key")
		}
		if list, _ := j.first.JoinTokens(t.Context()); len(list) != 1 || list[0].Uses != 1 {
			t.Errorf("the tokens are %+v", list)
		}
		other, _ := request(t, q.Token, "s2")
		if _, err := j.first.Join(t.Context(), other); api.CodeOf(err) != api.CodeConflict {
			t.Errorf("the same id with another key: %v", err)
		}
	})
}

// TestJoinMalformed: requests for certificates that are none of a node's are refused before the cluster is asked. Attack 21.
func TestJoinMalformed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		token := j.token(api.JoinTokenSpec{Role: api.RoleServer, Uses: api.UnlimitedUses})
		good, key := request(t, token, "s2")
		names := make([]string, 10_000)
		for i := range names {
			names[i] = fmt.Sprint("n", i, ".example.com")
		}
		csr := func(key any, r x509.CertificateRequest) []byte {
			b, err := x509.CreateCertificateRequest(rand.Reader, &r, key)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		flipped := slices.Clone(good.CSR)
		flipped[len(flipped)-1] ^= 1
		counter := j.first.members.metaGroup().Status().Applied
		for name, c := range map[string]struct {
			csr  []byte
			code api.Code
		}{
			"nothing":       {nil, api.CodeInvalid},
			"garbage":       {[]byte("garbage"), api.CodeInvalid},
			"RSA":           {csr(rsaKey, x509.CertificateRequest{}), api.CodeInvalid},
			"P-384":         {csr(p384, x509.CertificateRequest{}), api.CodeInvalid},
			"bad signature": {flipped, api.CodeInvalid},
			"one name":      {csr(key, x509.CertificateRequest{DNSNames: names[:1]}), api.CodeInvalid},
			"10,000 names":  {csr(key, x509.CertificateRequest{DNSNames: names}), api.CodeTooLarge},
			"17 KiB":        {make([]byte, 17<<10), api.CodeTooLarge},
		} {
			q := *good
			q.CSR = c.csr
			if _, err := j.first.Join(t.Context(), &q); api.CodeOf(err) != c.code {
				t.Errorf("%s: %v", name, err)
			}
			time.Sleep(time.Second)
		}
		if after := j.first.members.metaGroup().Status().Applied; after != counter {
			t.Errorf("%d commands were applied", after-counter)
		}
	})
}

// TestJoinsAreBounded: a thousand random requests in a second are refused, all but ten of them at once, and none is written to the log.
// Attack 23.
func TestJoinsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		root := tokenOf(t, j.token(api.JoinTokenSpec{Role: api.RoleServer})).Fingerprint
		time.Sleep(time.Second)
		counter := j.first.members.metaGroup().Status().Applied
		limited := 0
		q, _ := request(t, "", "s2")
		for range 1000 {
			k, err := join.NewToken(root)
			if err != nil {
				t.Fatal(err)
			}
			q.Token = k.Reveal()
			switch _, err := j.first.Join(t.Context(), q); api.CodeOf(err) {
			case api.CodeLimited:
				limited++
			case api.CodeUnauthenticated:
			default:
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if limited < 970 {
			t.Errorf("%d were refused at once", limited)
		}
		if after := j.first.members.metaGroup().Status().Applied; after != counter {
			t.Errorf("%d commands were applied", after-counter)
		}
	})
}

// TestJoinWhateverTheClock: a leader whose wall clock is ten years off admits nodes, and no token ends by its clock while the other
// voters disagree; nodes connect whatever the dates of their certificates say. Attack 24.
func TestJoinWhateverTheClock(t *testing.T) {
	for _, off := range []time.Duration{10 * 365 * 24 * time.Hour, -10 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			j := newJoined(t)
			token := j.token(api.JoinTokenSpec{Role: api.RoleServer, Uses: api.UnlimitedUses, TTL: time.Hour})
			r := j.first.registrar
			r.now = func() time.Time { return time.Now().Add(off) }
			r.clocks = func(context.Context) []time.Time { return []time.Time{r.now(), time.Now(), time.Now()} }
			for _, id := range []api.NodeID{"s2", "s3"} {
				cfg, _ := j.joiner(id, api.RoleServer, token)
				n := j.open(cfg)
				j.ready(n)
				if d := time.Until(n.membership.credentials.identity().Leaf.NotBefore); d.Abs() < 365*24*time.Hour {
					t.Errorf("the certificate is dated %v from now", d)
				}
			}
			if off < 0 {
				return
			}
			r.clocks = func(context.Context) []time.Time { return []time.Time{r.now(), r.now(), time.Now()} }
			cfg, ended := j.joiner("s4", api.RoleServer, token)
			if got := j.refusal(cfg, ended); !strings.Contains(got, "not valid any more") {
				t.Errorf("a token that has ended by the clocks of most: %q", got)
			}
		})
	}
}

// TestRenewal: a node makes itself a new key before its certificate ends, for which the old one vouches, and ten minutes later drops the
// old one; it is so too if the certificate has ended long ago.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		cfg, _ := j.joiner("s2", api.RoleServer, j.token(api.JoinTokenSpec{Role: api.RoleServer}))
		n := j.open(cfg)
		j.ready(n)
		r := newRenewing(n)
		defer r.background.close()
		old := n.membership.credentials.identity()
		if err := r.step(); err != nil || n.membership.credentials.identity() != old {
			t.Errorf("renewed too early: %v", err)
		}
		r.share = -1e6 // as if the certificate had ended long ago
		if err := r.step(); err != nil {
			t.Fatal(err)
		}
		id := n.membership.credentials.identity()
		pin, before := id.Pin(), old.Pin()
		if x, _ := n.mirror.Map().Node("s2"); len(x.Pins) != 2 || !x.HasPin(pin[:]) || !x.HasPin(before[:]) || len(id.Vouchers) == 0 {
			t.Errorf("the node has the pins %x, %x before and %x now, with %d vouchers", x.Pins, before, pin, len(id.Vouchers))
		}
		if err := r.step(); err != nil || n.membership.credentials.identity() != id {
			t.Errorf("renewed again at once: %v", err)
		}
		time.Sleep(dropAfter + time.Second)
		if err := r.step(); err != nil {
			t.Fatal(err)
		}
		if x, _ := n.mirror.Map().Node("s2"); len(x.Pins) != 1 || !x.HasPin(pin[:]) {
			t.Errorf("the node is %+v", x)
		}
		if _, err := n.Store().Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k", Value: []byte("v")}}}); err != nil {
			t.Errorf("with the new key: %v", err)
		}
	})
}

// TestTwins: of two processes under one name, the one that was there first ends. Attack 15.
func TestTwins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		cfg, ended := j.joiner("e1", api.RoleEdge, j.token(api.JoinTokenSpec{Role: api.RoleEdge}))
		n := j.open(cfg)
		j.ready(n)
		time.Sleep(time.Second)
		twin := n.membership.self()
		twin.Nonce[0]++
		twin.Nonce[1]++
		if _, err := j.first.changes.Change(t.Context(), placement.Join{Node: twin}); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err.Error() != "another process runs as e1" {
				t.Errorf("it ends with %q", err)
			}
		case <-time.After(time.Minute):
			t.Error("the first process goes on")
		}
	})
}

// TestMigration: a plain cluster becomes one with TLS while it runs, without a write that fails: every node gets its certificate over the
// lanes that it has. While a node is not there it cannot become one; it goes back by force alone.
func TestMigration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		var nodes []*Node
		for _, id := range []api.NodeID{"s1", "s2", "s3", "e1"} {
			role := api.RoleServer
			if id == "e1" {
				role = api.RoleEdge
			}
			cfg := b.config(id, role)
			if cfg.Bootstrap = id == "s1"; !cfg.Bootstrap {
				cfg.Join = []string{"s1"}
			}
			nodes = append(nodes, b.open(cfg))
			b.ready(nodes[len(nodes)-1])
		}
		var writes atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 2)
		for _, n := range []*Node{nodes[1], nodes[3]} {
			go func() {
				for i := 0; ctx.Err() == nil; i++ {
					key := api.Key(fmt.Sprint(n.ID(), i%10))
					if _, err := n.Store().Do(context.Background(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: key, Value: []byte(fmt.Sprint(i))}}}); err != nil {
						done <- fmt.Errorf("write %d by %s: %w", i, n.ID(), err)
						return
					}
					var got api.ReadResult
					if err := n.Store().Read(context.Background(), &api.ReadRequest{Keys: []api.Key{key}}, &got); err != nil || string(got.Entries[0].Value) != fmt.Sprint(i) {
						done <- fmt.Errorf("read %d by %s: %v, %w", i, n.ID(), got.Entries, err)
						return
					}
					writes.Add(1)
					time.Sleep(20 * time.Millisecond)
				}
				done <- nil
			}()
		}
		set := func(value string, force bool) error {
			_, err := nodes[0].SetSetting(t.Context(), "security", value, force)
			return err
		}
		if err := set("tls", false); api.CodeOf(err) != api.CodeConflict {
			t.Errorf("tls at once: %v", err)
		}
		if err := set("both", false); err != nil {
			t.Fatal(err)
		}
		var err error
		for range 100 {
			if err = set("tls", false); err == nil {
				break
			}
			if api.CodeOf(err) != api.CodeConflict {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if err := set("both", false); api.CodeOf(err) != api.CodeConflict || !strings.Contains(err.Error(), "--force") {
			t.Errorf("back: %v", err)
		}
		stop()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if writes.Load() < 1000 {
			t.Errorf("%d writes", writes.Load())
		}
		for _, n := range nodes {
			if n.membership.security.kind() != placement.TLS || n.membership.credentials.identity() == nil || !strings.HasPrefix(n.URL(), "https://") {
				t.Errorf("%s is not on TLS: %s", n.ID(), n.URL())
			}
		}
	})
}
