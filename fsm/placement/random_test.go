package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// anyCommand draws a command of any kind. Names, ids and versions come from small sets, so that commands meet what others have made;
// now is the map before it, nil if there is none.
func anyCommand(rng *rand.Rand, now *Map) Command {
	kinds := []func(*rand.Rand, *Map) Command{
		anyInit, anyJoin, anyJoin, anyJoin, anySetRange, anySetRange, anySetLevel, anyRetire, anySetState, anyPlace, anyPlace, anySet, anyTouch,
		anySecure, anyAdmit, anyAdmit, anyRekey, anyPutJoinToken, anyDropJoinToken, anyPutPolicy, anyPutPolicy, anyDropPolicy,
		anyPutToken, anyPutToken, anyDropToken, anyDropRegion, anyTermStart,
	}
	return kinds[rng.IntN(len(kinds))](rng, now)
}

func anyRegion(rng *rand.Rand) string { return string(rune('a' + rng.IntN(4))) }

func anyNode(rng *rand.Rand) Node {
	region := anyRegion(rng)
	n := server(fmt.Sprint(region, rng.IntN(4)), region)
	if rng.IntN(3) == 0 {
		n = edge(fmt.Sprint(region, "e", rng.IntN(3)), region)
	}
	n.Address = fmt.Sprint("h:", rng.IntN(3))
	return n
}

func anyBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	b[0] = byte(rng.IntN(4))
	return b
}

func anyTokenID(rng *rand.Rand) TokenID { return TokenID{byte(rng.IntN(6))} }

func anyName(rng *rand.Rand) string { return fmt.Sprint("n", rng.IntN(5)) }

func anyNames(rng *rand.Rand) (names []string) {
	for range rng.IntN(3) {
		names = append(names, []string{"x.example.com", "y.example.com", "10.0.0.1", "UPPER", "y.org"}[rng.IntN(5)])
	}
	return names
}

func anyInit(rng *rand.Rand, _ *Map) Command {
	m, err := static([]Level{Level0, NewestLevel}[rng.IntN(2)], "c", []Node{server("a0", "a")}, 1+rng.IntN(3), 3)
	if err != nil {
		panic(err)
	}
	c := Init{Map: m}
	if rng.IntN(2) == 0 {
		c.Vault = &Vault{CAKey: []byte("key")}
	}
	return c
}

func anyJoin(rng *rand.Rand, _ *Map) Command {
	n := anyNode(rng)
	if rng.IntN(4) == 0 {
		n.Host, n.Nonce = "host", ident.Nonce{byte(rng.IntN(3))}
	}
	return Join{n}
}

func anySetRange(rng *rand.Rand, _ *Map) Command {
	r := api.Range{Start: randomKey(rng), End: randomKey(rng)}
	if rng.IntN(3) == 0 {
		r = api.PrefixRange(r.Start)
	}
	var groups []api.GroupID
	region := api.RegionID(anyRegion(rng))
	for i := range 1 + rng.IntN(3) {
		groups = append(groups, GroupName(region, i))
	}
	return SetRange{r, 1 + rng.Uint64N(30), region, groups}
}

func anySetLevel(rng *rand.Rand, _ *Map) Command {
	return SetLevel{Level(rng.IntN(int(NewestLevel) + 1))}
}

func anyRetire(rng *rand.Rand, _ *Map) Command { return Retire{Node: anyNode(rng).ID} }

func anySetState(rng *rand.Rand, _ *Map) Command {
	return SetState{anyNode(rng).ID, []State{Active, Draining, Leaving, "king"}[rng.IntN(4)], int64(rng.IntN(2) * 1000)}
}

func anyPlace(rng *rand.Rand, now *Map) Command {
	c := Place{Group: ident.MetaGroup}
	if now != nil && len(now.Groups) > 0 {
		g := now.Groups[rng.IntN(len(now.Groups))]
		c.Group, c.Was = g.ID, g.Voters
	}
	for range 1 + rng.IntN(4) {
		c.Voters = append(c.Voters, anyNode(rng).ID)
	}
	if rng.IntN(5) == 0 {
		c.Was = c.Voters[1:]
	}
	return c
}

func anySet(rng *rand.Rand, _ *Map) Command {
	s := Settings[rng.IntN(len(Settings))]
	return Set{s.Name, []string{"", s.Default, "5m", "4s", "1", "on", "5"}[rng.IntN(7)]}
}

func anyTouch(rng *rand.Rand, _ *Map) Command {
	n := anyNode(rng)
	return Touch{n.ID, n.Address, n.URL, ident.Nonce{byte(rng.IntN(3))}, "host", anyNames(rng)}
}

func anySecure(rng *rand.Rand, _ *Map) Command {
	return Secure{[]Security{Plain, Both, TLS}[rng.IntN(3)], anyBytes(rng, 8), anyBytes(rng, 9), rng.IntN(3) == 0}
}

func anyAdmit(rng *rand.Rand, _ *Map) Command {
	n := anyNode(rng)
	n.Pins, n.Names = [][]byte{anyBytes(rng, pinBytes)}, anyNames(rng)
	n.Pins[0][1] = byte(rng.IntN(200)) // mostly a pin that no other node has
	return Admit{Token: anyTokenID(rng), Hash: anyBytes(rng, tokenHashBytes), Node: n, Level: NewestLevel}
}

func anyRekey(rng *rand.Rand, _ *Map) Command {
	return Rekey{Node: anyNode(rng).ID, Pin: anyBytes(rng, pinBytes), Names: anyNames(rng)}
}

func anyPutJoinToken(rng *rand.Rand, _ *Map) Command {
	t := JoinToken{
		ID: anyTokenID(rng), Hash: anyBytes(rng, tokenHashBytes), Role: []api.Role{api.RoleServer, api.RoleEdge}[rng.IntN(2)],
		Uses: int64(rng.IntN(4)) - 1, Ends: int64(rng.IntN(2)) * 1000,
	}
	if t.Role == api.RoleEdge {
		t.Names, t.Scope, t.Ephemeral = []string{"*.example.com"}, []api.Key{"shop/"}[:rng.IntN(2)], rng.IntN(2) == 0
	}
	if rng.IntN(3) == 0 {
		t.For, t.Role = anyNode(rng).ID, api.RoleServer
		t.Names, t.Scope, t.Ephemeral = nil, nil, false
	}
	return PutJoinToken{t}
}

func anyDropJoinToken(rng *rand.Rand, _ *Map) Command { return DropJoinToken{anyTokenID(rng)} }

func anyPutPolicy(rng *rand.Rand, _ *Map) Command {
	p := Policy{Name: anyName(rng), Admin: rng.IntN(4) == 0, Audit: rng.IntN(4) == 0}
	for range rng.IntN(4) {
		p.Rules = append(p.Rules, Rule{Prefix: randomKey(rng), Read: true, Write: rng.IntN(2) == 0})
	}
	return PutPolicy{p}
}

func anyDropPolicy(rng *rand.Rand, _ *Map) Command {
	return DropPolicy{Name: anyName(rng), Force: rng.IntN(2) == 0}
}

func anyPutToken(rng *rand.Rand, _ *Map) Command {
	t := AccessToken{ID: anyTokenID(rng), Name: anyName(rng), Hashes: [][]byte{anyBytes(rng, tokenHashBytes)}}
	for range rng.IntN(3) {
		t.Policies = append(t.Policies, anyName(rng))
	}
	c := PutToken{Token: t}
	if rng.IntN(2) == 0 {
		c.Replaces = anyBytes(rng, tokenHashBytes)
	}
	return c
}

func anyDropToken(rng *rand.Rand, _ *Map) Command {
	c := DropToken{ID: anyTokenID(rng)}
	if rng.IntN(2) == 0 {
		c.Hash = anyBytes(rng, tokenHashBytes)
	}
	return c
}

func anyDropRegion(rng *rand.Rand, _ *Map) Command { return DropRegion{api.RegionID(anyRegion(rng))} }

func anyTermStart(*rand.Rand, *Map) Command { return TermStart{} }

// someOfEach are commands of every kind, as seeds for fuzzing. It fails the test if the table has a kind that anyCommand does not
// draw.
func someOfEach(t testing.TB) (all [][]byte) {
	rng := rand.New(rand.NewPCG(9, 9))
	now := planet2(t)
	seen := map[byte]int{}
	for range 2000 {
		c := anyCommand(rng, now)
		if seen[c.kind()]++; seen[c.kind()] <= 3 {
			all = append(all, Encode(c))
		}
	}
	for kind := range commands {
		if known(byte(kind)) && seen[byte(kind)] == 0 {
			t.Errorf("no command %q is drawn", commands[kind].name)
		}
	}
	return all
}

func planet2(t testing.TB) *Map {
	m, err := Static("c", []Node{server("a0", "a"), server("a1", "a"), server("b0", "b"), edge("ae0", "a")}, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRandomCovers: random commands of each kind are carried out at times, and refused at others, so that the random tests mean
// something.
func TestRandomCovers(t *testing.T) {
	done, refused := map[byte]int{}, map[byte]int{}
	for seed := range uint64(60) {
		rng, m := rand.New(rand.NewPCG(seed, 6)), New()
		apply(t, m, Init{Map: planet2(t)})
		for range 300 {
			c := anyCommand(rng, m.Map())
			before := m.Hash()
			if r := apply(t, m, c); r.Err != nil {
				refused[c.kind()]++
			} else if before != m.Hash() {
				done[c.kind()]++
			}
		}
	}
	for kind := range commands {
		if k := byte(kind); known(k) && !slices.Contains([]byte{kindInit, kindTermStart}, k) && done[k] == 0 {
			t.Errorf("%q was never carried out, and refused %d times", commands[kind].name, refused[k])
		}
	}
	t.Logf("carried out %v, refused %v", done, refused)
}
