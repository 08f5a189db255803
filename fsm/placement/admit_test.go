package placement

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
)

func pinOf(name string) []byte {
	s := sha256.Sum256([]byte(name))
	return s[:]
}

// codeOf is the code of a result; "" if the command was carried out.
func codeOf(r Result) api.Code {
	if r.Err == nil {
		return ""
	}
	return r.Err.Code
}

// withPin is the node with one pin.
func withPin(n Node, key string) Node {
	n.Pins = [][]byte{pinOf(key)}
	return n
}

// secured is a cluster of one server, a1, with TLS.
func secured(t *testing.T) *Machine {
	t.Helper()
	m := bootstrapped(t)
	for _, c := range []Command{
		Secure{Security: Both, Root: []byte("root"), Key: []byte("key")},
		Rekey{Node: "a1", Pin: pinOf("a1")},
		Secure{Security: TLS},
	} {
		if r := apply(t, m, c); r.Err != nil {
			t.Fatalf("%s: %v", Name(c), r.Err)
		}
	}
	return m
}

// addToken gives the cluster a join token with the secret, completed by change.
func addToken(t *testing.T, m *Machine, id byte, secret string, uses int64, change func(*JoinToken)) {
	t.Helper()
	k := JoinToken{ID: TokenID{id}, Hash: pinOf(secret), Role: api.RoleServer, Uses: uses}
	if change != nil {
		change(&k)
	}
	if r := apply(t, m, PutJoinToken{k}); r.Err != nil {
		t.Fatal(r.Err)
	}
}

func admitted(id byte, secret string, n Node) Admit {
	return Admit{Token: TokenID{id}, Hash: pinOf(secret), Node: n, Level: NewestLevel}
}

// TestAdmit: of two tokens, the id of one does not open with the secret of the other; a spent or revoked one opens nothing; a token
// allows its role and region alone; and a refusal changes nothing. Attack 17. Attack 19.
func TestAdmit(t *testing.T) {
	m := secured(t)
	addToken(t, m, 1, "one", 1, nil)
	addToken(t, m, 2, "two", Unlimited, func(k *JoinToken) { k.Role, k.Region = api.RoleEdge, "a" })
	addToken(t, m, 3, "three", 5, nil)
	apply(t, m, DropJoinToken{TokenID{3}})
	if r := apply(t, m, DropJoinToken{TokenID{3}}); r.Err != nil {
		t.Errorf("revoked again: %v", r.Err)
	}
	if r := apply(t, m, Join{server("a2", "a")}); codeOf(r) != api.CodeDenied {
		t.Errorf("a new node without a token: %v", r.Err)
	}
	addToken(t, m, 4, "four", 3, nil)
	apply(t, m, admitted(4, "four", withPin(server("a2", "a"), "a2")))
	refused := func(name string, c Admit, code api.Code, says string) {
		t.Helper()
		before := *m.state.Load()
		r := apply(t, m, c)
		after := *m.state.Load()
		if codeOf(r) != code || !strings.Contains(r.Err.Error(), says) {
			t.Errorf("%s: %v", name, r.Err)
		}
		if before.Map != after.Map || before.Vault != after.Vault {
			t.Errorf("%s: a refusal has changed something", name)
		}
	}
	const notValid = "is not valid any more"
	fresh := func(id api.NodeID) Node { return withPin(server(string(id), "a"), string(id)) }
	refused("unknown", admitted(9, "one", fresh("b1")), api.CodeUnauthenticated, notValid)
	refused("another's secret", admitted(1, "two", fresh("b1")), api.CodeUnauthenticated, notValid)
	refused("no secret", Admit{Token: TokenID{1}, Node: fresh("b1"), Level: NewestLevel}, api.CodeUnauthenticated, notValid)
	refused("revoked", admitted(3, "three", fresh("b1")), api.CodeUnauthenticated, notValid)
	refused("a server by an edge's token", admitted(2, "two", fresh("b1")), api.CodeDenied, "the join token allows the role edge only")
	refused("an edge by a server's token", admitted(4, "four", withPin(edge("e1", "a"), "e1")), api.CodeDenied, "the role server only")
	refused("another region", admitted(2, "two", withPin(edge("e1", "b"), "e1")), api.CodeDenied, "allows region a only")
	refused("without a pin", admitted(4, "four", server("b1", "a")), api.CodeInvalid, "one pin")
	refused("another node's key", admitted(4, "four", withPin(server("b1", "a"), "a1")), api.CodeConflict, "has this key already")
	refused("a known id", admitted(4, "four", withPin(server("a1", "a"), "new")), api.CodeConflict, "was used before")
	refused("an old program", Admit{Token: TokenID{4}, Hash: pinOf("four"), Node: fresh("b1")}, api.CodeConflict, "runs an older version")
	for _, id := range []api.NodeID{"../x", "a\r\nb", "a/b", api.NodeID(strings.Repeat("x", 64)), "", ".a", "ä"} {
		refused("id "+string(id), admitted(4, "four", fresh(id)), api.CodeInvalid, "node id")
	}
	if r := apply(t, m, admitted(1, "one", fresh("b1"))); r.Err != nil || r.Map.Nodes[2].Num != 3 || len(r.Map.Nodes) != 3 {
		t.Fatalf("admitted: %v", r.Err)
	}
	if n, _ := m.Map().Node("b1"); !slices.EqualFunc(n.Pins, [][]byte{pinOf("b1")}, bytes.Equal) {
		t.Errorf("the node is %+v", n)
	}
	refused("a spent token", admitted(1, "one", fresh("b2")), api.CodeUnauthenticated, notValid)
	before := m.Map()
	if r := apply(t, m, admitted(1, "one", fresh("b1"))); r.Err != nil || r.Map != before {
		t.Errorf("the same again: %v", r.Err)
	}
	refused("the same id with another key", admitted(4, "four", withPin(server("b1", "a"), "other")), api.CodeConflict, "was used before")
	if k, _ := m.Vault().Token(TokenID{4}); k.Uses != 2 {
		t.Errorf("refusals have taken uses: %d are left", k.Uses)
	}
	apply(t, m, Retire{Node: "a2"})
	refused("a removed server's id", admitted(4, "four", fresh("a2")), api.CodeConflict, "was used before")
	if x := restored(t, m); x.Hash() != m.Hash() {
		t.Error("a snapshot restores another state")
	}
}

// TestAdmitOnce: a token for one node, used by many, admits one. Attack 17.
func TestAdmitOnce(t *testing.T) {
	m := secured(t)
	addToken(t, m, 1, "one", 1, nil)
	var entry [][]byte
	for i := range 50 {
		id := api.NodeID("b" + string(rune('A'+i%26)) + string(rune('a'+i/26)))
		entry = append(entry, Encode(admitted(1, "one", withPin(server(string(id), "a"), string(id)))))
	}
	in := 0
	for _, r := range applied(t, m, 1, entry...) {
		if r.Err == nil {
			in++
		}
	}
	if in != 1 || len(m.Map().Nodes) != 2 {
		t.Errorf("%d got in", in)
	}
}

// TestAdmitAcrossLeaders: leaders of two terms have each checked a token that opens once, and so has one before it is revoked. Whatever
// they saw, the log decides: the first entry gets in, a node that asks again gets the same answer, and no other does. Attack 17.
func TestAdmitAcrossLeaders(t *testing.T) {
	m := secured(t)
	addToken(t, m, 1, "one", 1, nil)
	addToken(t, m, 2, "two", 5, nil)
	b := admitted(1, "one", withPin(server("b1", "a"), "b1"))
	term := m.Term()
	propose := func(term api.Term, c Command) Result { return applied(t, m, term, Encode(c))[0] }
	first := propose(term, b)
	if first.Err != nil {
		t.Fatal(first.Err)
	}
	if r := propose(term+1, admitted(1, "one", withPin(server("c1", "a"), "c1"))); codeOf(r) != api.CodeUnauthenticated {
		t.Errorf("the token is spent twice: %v", r.Err)
	}
	if r := propose(term+1, b); r.Err != nil || r.Map.Version != first.Map.Version {
		t.Errorf("the same node asks the next leader: version %d, %v", r.Map.Version, r.Err)
	}
	propose(term+1, DropJoinToken{TokenID{2}})
	if r := propose(term+2, admitted(2, "two", withPin(server("d1", "a"), "d1"))); codeOf(r) != api.CodeUnauthenticated {
		t.Errorf("a token that was revoked meanwhile opens: %v", r.Err)
	}
	if len(m.Map().Nodes) != 2 {
		t.Errorf("%d nodes are in", len(m.Map().Nodes))
	}
}

// TestAdmitNames: a name belongs to one node, and an edge has only those that its token allows, when it joins and later. Attack 22.
func TestAdmitNames(t *testing.T) {
	m := secured(t)
	addToken(t, m, 1, "edges", Unlimited, func(k *JoinToken) {
		k.Role, k.Names, k.Scope, k.Ephemeral = api.RoleEdge, []string{"*.example.com"}, []api.Key{"shop/"}, true
	})
	addToken(t, m, 2, "servers", Unlimited, nil)
	as := func(n Node, key string, names ...string) Node { n.Names = names; return withPin(n, key) }
	if r := apply(t, m, admitted(2, "servers", as(server("b1", "a"), "b1", "api.example.org"))); r.Err != nil {
		t.Fatal(r.Err)
	}
	if r := apply(t, m, admitted(1, "edges", as(edge("e1", "a"), "e1", "api.example.com", "10.0.0.1"))); r.Err != nil {
		t.Fatal(r.Err)
	}
	if n, _ := m.Map().Node("e1"); !slices.Equal(n.Scope, []api.Key{"shop/"}) || !n.Ephemeral || !slices.Equal(n.NamePatterns, []string{"*.example.com"}) {
		t.Errorf("the edge is %+v", n)
	}
	for _, c := range []struct {
		name string
		cmd  Command
		code api.Code
		says string
	}{
		{"another's", admitted(1, "edges", as(edge("e2", "a"), "e2", "api.example.com")), api.CodeConflict, `belongs to node "e1"`},
		{"a server's", admitted(2, "servers", as(server("b2", "a"), "b2", "api.example.org")), api.CodeConflict, `belongs to node "b1"`},
		{"star", admitted(1, "edges", as(edge("e2", "a"), "e2", "*")), api.CodeInvalid, "no host name"},
		{"google", admitted(1, "edges", as(edge("e2", "a"), "e2", "google.com")), api.CodeDenied, "the token does not allow the name google.com: make one with --names"},
		{"upper case", admitted(2, "servers", as(server("b2", "a"), "b2", "API.example.org")), api.CodeInvalid, "no host name"},
		{"google at a renewal", Rekey{Node: "e1", Pin: pinOf("e1"), Names: []string{"google.com"}}, api.CodeDenied, "does not allow"},
		{"another's at a renewal", Rekey{Node: "b1", Pin: pinOf("b1"), Names: []string{"api.example.com"}}, api.CodeConflict, "belongs to node"},
	} {
		if r := apply(t, m, c.cmd); codeOf(r) != c.code || !strings.Contains(r.Err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, r.Err)
		}
	}
	if r := apply(t, m, Rekey{Node: "e1", Pin: pinOf("e1"), Names: []string{"www.example.com"}}); r.Err != nil {
		t.Error(r.Err)
	}
}

// TestAdmitFor: a token for a known node replaces all its pins, for that node alone.
func TestAdmitFor(t *testing.T) {
	m := secured(t)
	addToken(t, m, 1, "for", 1, func(k *JoinToken) { k.For = "a1" })
	if r := apply(t, m, PutJoinToken{JoinToken{ID: TokenID{2}, Hash: pinOf("x"), Role: api.RoleServer, Uses: 1, For: "nobody"}}); codeOf(r) != api.CodeNotFound {
		t.Errorf("for an unknown node: %v", r.Err)
	}
	if r := apply(t, m, PutJoinToken{JoinToken{ID: TokenID{2}, Hash: pinOf("x"), Role: api.RoleEdge, Uses: 1, For: "a1"}}); codeOf(r) != api.CodeConflict {
		t.Errorf("for a node of another role: %v", r.Err)
	}
	if r := apply(t, m, admitted(1, "for", withPin(server("b1", "a"), "b1"))); codeOf(r) != api.CodeDenied {
		t.Errorf("another node: %v", r.Err)
	}
	apply(t, m, Rekey{Node: "a1", Pin: pinOf("stolen")})
	for range 2 {
		r := apply(t, m, admitted(1, "for", withPin(server("a1", "a"), "rescued")))
		if n, _ := m.Map().Node("a1"); r.Err != nil || len(n.Pins) != 1 || !n.HasPin(pinOf("rescued")) || n.Num != 1 {
			t.Errorf("the node is %+v, %v", n, r.Err)
		}
	}
	if r := apply(t, m, admitted(1, "for", withPin(server("a1", "a"), "again"))); codeOf(r) != api.CodeUnauthenticated {
		t.Errorf("a second time: %v", r.Err)
	}
}

// TestJoinTokenLimit: there are at most 1,024 join tokens, and none in a plain cluster.
func TestJoinTokenLimit(t *testing.T) {
	plain := bootstrapped(t)
	if r := apply(t, plain, PutJoinToken{JoinToken{Hash: pinOf("x"), Role: api.RoleServer, Uses: 1}}); codeOf(r) != api.CodeConflict {
		t.Errorf("in a plain cluster: %v", r.Err)
	}
	m := secured(t)
	for i := range MaxJoinTokens {
		addToken(t, m, 0, "x", 1, func(k *JoinToken) { k.ID = TokenID{byte(i >> 8), byte(i)} })
	}
	if r := apply(t, m, PutJoinToken{JoinToken{ID: TokenID{0xff}, Hash: pinOf("x"), Role: api.RoleServer, Uses: 1}}); codeOf(r) != api.CodeTooLarge {
		t.Errorf("one more: %v", r.Err)
	}
	before := m.Vault()
	if r := apply(t, m, PutJoinToken{JoinToken{ID: TokenID{0}, Hash: pinOf("y"), Role: api.RoleEdge, Uses: 7}}); r.Err != nil || m.Vault() != before {
		t.Errorf("one that is there: %v", r.Err)
	}
}

// TestSecure: a cluster becomes one with TLS step by step, when every node has a pin, keeps its root, and goes back by force alone.
func TestSecure(t *testing.T) {
	m := bootstrapped(t)
	e1 := edge("e1", "a")
	e1.URL = "http://" + e1.Address
	apply(t, m, Join{e1})
	for i, c := range []struct {
		cmd  Command
		code api.Code
		says string
	}{
		{Secure{Security: "open"}, api.CodeInvalid, "plain, both or tls"},
		{Secure{Security: TLS, Root: []byte("r"), Key: []byte("k")}, api.CodeConflict, "both"},
		{Secure{Security: Both}, api.CodeInvalid, "root certificate"},
		{Secure{Security: Both, Root: []byte("r"), Key: []byte("k")}, "", ""},
		{Secure{Security: Both, Root: []byte("r2"), Key: []byte("k2")}, "", ""},
		{Secure{Security: TLS}, api.CodeConflict, "a1, e1"},
		{Rekey{Node: "a1", Pin: pinOf("a1")}, "", ""},
		{Secure{Security: TLS}, api.CodeConflict, "shut out: e1"},
		{Rekey{Node: "e1", Pin: pinOf("a1")}, api.CodeConflict, "has this key already"},
		{Rekey{Node: "e1", Pin: pinOf("e1")}, "", ""},
		{Rekey{Node: "e1", Pin: []byte("short")}, api.CodeInvalid, "pins"},
		{Secure{Security: Plain}, api.CodeConflict, "--force"},
		{Secure{Security: TLS}, "", ""},
		{Secure{Security: TLS}, "", ""},
		{Secure{Security: Both}, api.CodeConflict, "--force"},
		{Secure{Security: Both, Force: true}, "", ""},
		{Secure{Security: Plain, Force: true}, "", ""},
		{Secure{Security: Both, Root: []byte("r3"), Key: []byte("k3")}, "", ""},
	} {
		r := apply(t, m, c.cmd)
		if codeOf(r) != c.code || r.Err != nil && !strings.Contains(r.Err.Error(), c.says) {
			t.Errorf("step %d, %+v: %v", i, c.cmd, r.Err)
		}
		for _, n := range m.Map().Nodes { // its URL says what its port speaks
			if scheme, _, ok := strings.Cut(n.URL, "://"); !ok || (scheme == "https") != (m.Map().Security == TLS) {
				t.Errorf("step %d: security %q, and %s has the URL %s", i, m.Map().Security, n.ID, n.URL)
			}
		}
	}
	if string(m.Map().Roots[0]) != "r" || string(m.Vault().CAKey) != "k" || m.Map().Check() != nil {
		t.Errorf("the root is %q", m.Map().Roots)
	}
}

// TestRekey: a node has its new pin beside the newest of the old ones, and then alone.
func TestRekey(t *testing.T) {
	m := secured(t)
	pins := func(want ...string) {
		t.Helper()
		n, _ := m.Map().Node("a1")
		var have [][]byte
		for _, w := range want {
			have = append(have, pinOf(w))
		}
		if !slices.EqualFunc(n.Pins, have, bytes.Equal) {
			t.Errorf("the node has %d pins, not %v", len(n.Pins), want)
		}
	}
	do := func(c Command, code api.Code) {
		t.Helper()
		if r := apply(t, m, c); codeOf(r) != code {
			t.Errorf("%+v: %v", c, r.Err)
		}
	}
	pins("a1")
	do(Rekey{Node: "a1", Pin: pinOf("two")}, "")
	pins("two", "a1")
	before := m.Map()
	do(Rekey{Node: "a1", Pin: pinOf("two")}, "")
	if m.Map() != before {
		t.Error("a repetition changes the map")
	}
	do(Rekey{Node: "a1", Pin: pinOf("three")}, "")
	pins("three", "two")
	do(Rekey{Node: "a1", Pin: pinOf("a1"), Drop: true}, api.CodeConflict)
	do(Rekey{Node: "a1", Pin: pinOf("three"), Drop: true}, "")
	pins("three")
	do(Rekey{Node: "nobody", Pin: pinOf("x")}, api.CodeNotFound)
}

// TestFoundSecured: a cluster that is founded with TLS has its root, the CA's key and its first join tokens at once.
func TestFoundSecured(t *testing.T) {
	first := bootstrapped(t).Map()
	found := *first
	found.Security, found.Roots = TLS, [][]byte{[]byte("root")}
	found.Nodes = []Node{withPin(first.Nodes[0], "a1")}
	m := New()
	k := JoinToken{ID: TokenID{1}, Hash: pinOf("x"), Role: api.RoleServer, Uses: Unlimited}
	if r := apply(t, m, Init{Map: &found, Vault: &Vault{CAKey: []byte("key"), Tokens: []JoinToken{k}}}); r.Err != nil || r.Map.Version != found.Version {
		t.Fatal(r.Err)
	}
	if r := apply(t, m, admitted(1, "x", withPin(server("a2", "a"), "a2"))); r.Err != nil {
		t.Error(r.Err)
	}
	broken := k
	broken.Hash = nil
	m = New()
	if r := apply(t, m, Init{Map: &found, Vault: &Vault{Tokens: []JoinToken{broken}}}); r.Err == nil || m.Map() != nil {
		t.Errorf("a broken vault is founded: %v", r.Err)
	}
}
