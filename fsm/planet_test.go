package fsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestTxnPlanet lets coordinators that crash at any step move units between keys of three groups. Messages are lost, repeated and
// delivered in any order. Groups that meet an intent push it, watermarks rise, terms change, and an edge has leases. At every
// moment Decide1, Atomic and Once hold, and the edge sees no part of a transaction (NoHalf, NoStale). In the end each request has
// taken effect in all its groups or in none, and nothing is left locked.
func TestTxnPlanet(t *testing.T) {
	eachSeed(t, func(t *testing.T, r *rand.Rand) {
		p := newTxnPlanet(t, r)
		for n := range 3000 {
			if n%500 == 499 {
				p.calm()
				p.grantAll()
			}
			p.step()
			p.check()
			if t.Failed() {
				return
			}
		}
		p.quiesce()
		p.judge()
	})
}

const (
	planetGroups = 3
	unitsPerKey  = 100
	numberKeys   = 2 // a group
	listKeys     = 3
)

type txnPlanet struct {
	*testing.T
	rnd      *rand.Rand
	groups   []*rig
	bag      []*message // may be delivered any number of times
	requests []*txnRequest
	coords   []*coordinator
	clients  []uint64 // the seq of the newest request of each
	edge     map[api.Key]api.Entry
	sessions []ident.SessionID
	// What was seen, for all time.
	outcomes map[ident.TxnID]ident.TxnOutcome                 // as the decision groups said
	resolved map[ident.TxnID]map[api.GroupID]ident.TxnOutcome // as participants with intents did
	history  history
	coverage map[string]int
	mixed    bool // some groups were founded at level 1
}

// txnRequest is what a client wants: deltas on numbers whose sum is 0, and its token on a list of each group.
type txnRequest struct {
	id        api.RequestID
	txn       api.Txn
	groups    []int
	done      bool // its client has an answer, or has given up
	confirmed bool // the answer was: committed
}

type message struct {
	to   int
	cmd  Command
	from *coordinator
}

func groupName(i int) api.GroupID { return api.GroupID(fmt.Sprintf("g.%d", i+1)) }
func groupIndex(g api.GroupID) int {
	n, _ := strconv.Atoi(string(g[2:]))
	return n - 1
}
func numberKey(g, i int) api.Key { return api.Key(fmt.Sprintf("%d/n%d", g+1, i)) }
func listKey(g, i int) api.Key   { return api.Key(fmt.Sprintf("%d/list%d", g+1, i)) }

func newTxnPlanet(t *testing.T, r *rand.Rand) *txnPlanet {
	p := &txnPlanet{
		T: t, rnd: r, clients: make([]uint64, 3), edge: map[api.Key]api.Entry{}, outcomes: map[ident.TxnID]ident.TxnOutcome{},
		resolved: map[ident.TxnID]map[api.GroupID]ident.TxnOutcome{}, coverage: map[string]int{},
	}
	for i := range planetGroups {
		level := NewestLevel
		if p.odds(3) { // it rises by and by
			level, p.mixed = Level1, true
		}
		g := groupAt(t, level, groupName(i), Shard{api.PrefixRange(api.Key(fmt.Sprintf("%d/", i+1))), 1, 0, 1})
		for k := range numberKeys {
			g.put(numberKey(i, k), strconv.Itoa(unitsPerKey))
		}
		p.groups = append(p.groups, g)
		p.sessions = append(p.sessions, g.open("edge"))
	}
	return p
}

func (p *txnPlanet) odds(n int) bool { return p.rnd.IntN(n) == 0 }

func (p *txnPlanet) step() {
	switch n := p.rnd.IntN(100); {
	case n < 65 && len(p.bag) > 0:
		p.deliver()
	case n < 80 && len(p.coords) > 0:
		p.coords[p.rnd.IntN(len(p.coords))].send()
	case n < 83:
		p.begin()
	case n < 84 && len(p.coords) > 0:
		p.crash(p.rnd.IntN(len(p.coords)))
	case n < 87:
		p.grant()
	case n < 92:
		p.recover(p.rnd.IntN(planetGroups))
	case n < 93:
		p.giveUp()
	case n < 95:
		g := p.groups[p.rnd.IntN(planetGroups)]
		g.term++
		g.ok(TermStart{"n"})
	case n < 97:
		g := p.groups[p.rnd.IntN(planetGroups)]
		g.ok(TrimTombstones{g.term, g.m.Meta().Counter, 0})
		g.ok(ExpireDedup{g.term, 7})
	case n < 98:
		p.restart(p.rnd.IntN(planetGroups))
	case n < 99 && p.odds(5):
		g := p.groups[p.rnd.IntN(planetGroups)]
		g.ok(SetLevel{g.term, NewestLevel})
	}
}

// restart replaces a group's machine by one from its snapshot.
func (p *txnPlanet) restart(i int) {
	m := newMachine(p)
	if err := m.Restore(strings.NewReader(string(stream(p, p.groups[i].m)))); err != nil {
		p.Fatal(err)
	}
	p.groups[i].m = m
}

// begin makes a request and a coordinator for it; or another coordinator for one whose first is gone, or is not.
func (p *txnPlanet) begin() {
	if len(p.coords) >= 4 {
		return
	}
	if n := len(p.requests); n > 0 && p.odds(2) {
		if r := p.requests[n-1-p.rnd.IntN(min(n, 5))]; !r.done {
			p.coordinate(r)
			return
		}
	}
	c := p.rnd.IntN(len(p.clients))
	p.clients[c]++
	r := &txnRequest{id: api.RequestID{Client: api.ClientID{byte(c + 1)}, Seq: p.clients[c]}}
	r.groups = p.rnd.Perm(planetGroups)[:1+p.rnd.IntN(planetGroups)]
	slices.Sort(r.groups)
	rest := int64(0)
	for i, g := range r.groups {
		delta := p.rnd.Int64N(21) - 10
		if i == len(r.groups)-1 {
			delta = -rest
		}
		rest += delta
		r.txn.Then = append(r.txn.Then, opAdd(numberKey(g, p.rnd.IntN(numberKeys)), delta), api.Op{
			Kind: api.OpAppendIfAbsent, Key: listKey(g, p.rnd.IntN(listKeys)), Value: r.token(),
		}, opGet(numberKey(g, p.rnd.IntN(numberKeys))))
	}
	r.txn.ID = r.id
	p.requests = append(p.requests, r)
	p.coordinate(r)
}

func (r *txnRequest) token() []byte { return fmt.Appendf(nil, "<%x.%d>", r.id.Client[0], r.id.Seq) }

// acked is what the client has acknowledged: all below the first that is not done.
func (p *txnPlanet) acked(client api.ClientID) uint64 {
	below := p.clients[client[0]-1] + 1
	for _, r := range p.requests {
		if r.id.Client == client && !r.done {
			below = min(below, r.id.Seq)
		}
	}
	return below
}

// giveUp has a client stop waiting, while coordinators go on.
func (p *txnPlanet) giveUp() {
	if n := len(p.requests); n > 0 && p.odds(3) {
		r := p.requests[n-1-p.rnd.IntN(min(n, 5))]
		r.done = true
		if p.odds(2) {
			p.send(p.rnd.IntN(planetGroups), Forget{r.id.Client, p.acked(r.id.Client)}, nil)
		}
	}
}

func (p *txnPlanet) crash(i int) {
	c := p.coords[i]
	c.dead = true
	p.coverage["crash in "+c.state]++
	p.coords = slices.Delete(p.coords, i, i+1)
}

func (p *txnPlanet) send(to int, c Command, from *coordinator) {
	p.bag = append(p.bag, &message{to, c, from})
	if len(p.bag) > 100 {
		p.bag = slices.Delete(p.bag, 0, 20) // lost
	}
}

// deliver delivers any message, which stays in the bag now and then: it will come again.
func (p *txnPlanet) deliver() {
	i := p.rnd.IntN(len(p.bag))
	if p.odds(2) { // the newer are more likely
		i = len(p.bag) - 1 - p.rnd.IntN(min(len(p.bag), 5))
	}
	m := p.bag[i]
	if !p.odds(8) {
		p.bag = slices.Delete(p.bag, i, i+1)
	}
	res := p.apply(m.to, m.cmd)
	if m.from != nil && !m.from.dead && !p.odds(5) {
		m.from.answer(m.cmd, res)
	}
}

// apply has the group's leader judge the command in its term, or in one that is over.
func (p *txnPlanet) apply(to int, c Command) Result {
	g := p.groups[to]
	term := g.term
	if p.odds(20) {
		term--
	}
	switch x := c.(type) {
	case Prepare:
		x.Term = term
		c = x
	case CommitLast:
		x.Term = term
		c = x
	case Write:
		x.Term = term
		c = x
	}
	had := map[ident.TxnID]bool{}
	for _, x := range g.m.Prepared(ident.TxnID{}, 100) {
		had[x.Txn.ID] = true
	}
	res := g.apply(c)
	if x, ok := c.(Resolve); ok && res.Err == nil && had[x.Txn] {
		p.wasResolved(x)
		p.send(groupIndex(x.Txn.Decider), Resolved{x.Txn, x.Group}, nil)
	}
	p.note(c, res)
	p.history.saw(c, res)
	if _, ok := c.(Resolve); ok && res.Err != nil {
		p.Fatalf("Atomic: %v", res.Err)
	}
	return res
}

func (p *txnPlanet) wasResolved(x Resolve) {
	if p.resolved[x.Txn] == nil {
		p.resolved[x.Txn] = map[api.GroupID]ident.TxnOutcome{}
	}
	if before, twice := p.resolved[x.Txn][x.Group]; twice {
		p.Fatalf("Once: %s resolved %v as %v, and now as %v", x.Group, x.Txn, before, x.Outcome)
	}
	p.resolved[x.Txn][x.Group] = x.Outcome
	for g, o := range p.resolved[x.Txn] {
		if o != x.Outcome {
			p.Fatalf("Atomic: %v is %v at %s and %v at %s", x.Txn, x.Outcome, x.Group, o, g)
		}
	}
	p.coverage["resolved "+x.Outcome.String()]++
}

// note keeps what decision groups have said. That nothing is remembered is said of what is over, and only so often as it is
// true: what was aborted is never committed.
func (p *txnPlanet) note(c Command, res Result) {
	if res.Err != nil {
		p.coverage[fmt.Sprintf("%T %s", c, res.Err.Code)]++
	}
	d := res.Decision
	if _, here := c.(Prepare); d == nil || here {
		return
	}
	before, known := p.outcomes[d.Txn]
	if known && before != d.Outcome && (!d.Expired || before != ident.TxnCommitted) {
		p.Fatalf("Decide1: %v was %v, and is now %v", d.Txn, before, d.Outcome)
	}
	if !known {
		p.outcomes[d.Txn] = d.Outcome
		p.coverage["decided "+d.Outcome.String()]++
		if d.Outcome == ident.TxnCommitted {
			for id, o := range p.outcomes {
				if o == ident.TxnCommitted && id != d.Txn && id.Client == d.Txn.Client && id.Seq == d.Txn.Seq {
					p.Fatalf("Once: %v and %v are both committed", id, d.Txn)
				}
			}
		}
	}
	if d.Expired {
		p.coverage["expired"]++
	}
}

func (p *txnPlanet) grant()    { p.grants(p.odds(3)) }
func (p *txnPlanet) grantAll() { p.grants(true) }

// grants gives the edge leases on some keys, or on all.
func (p *txnPlanet) grants(all bool) {
	for g, r := range p.groups {
		var keys []api.Key
		for k := range numberKeys {
			if key := numberKey(g, k); all || p.odds(2) {
				keys = append(keys, key)
			}
		}
		if len(keys) == 0 {
			continue
		}
		res := r.apply(Grant{Term: r.term, Items: []GrantItem{{Session: p.sessions[g], Keys: keys}}})
		if res.Err != nil && res.Err.Code != RetryIntents {
			p.Fatal(res.Err)
		}
		for _, e := range res.Entries {
			p.edge[e.Key] = e
		}
	}
}

// revoked is the edge giving up its leases.
func (p *txnPlanet) revoked(hs []Holder) (cleared []ident.DroppedLease) {
	for _, h := range hs {
		delete(p.edge, h.Key)
		cleared = append(cleared, ident.DroppedLease{Session: h.Session, Key: h.Key, Lease: h.Lease})
	}
	return cleared
}

// recover is a group's leader: it pushes transactions whose intents stand, and sees that what was decided here is resolved.
func (p *txnPlanet) recover(i int) {
	g := p.groups[i]
	if ps := g.m.Prepared(ident.TxnID{}, 100); len(ps) > 0 && p.odds(4) {
		x := ps[p.rnd.IntN(len(ps))].Txn
		if res := p.apply(groupIndex(x.ID.Decider), Push{x}); res.Err == nil {
			p.send(i, Resolve{groupName(i), x.ID, res.Decision.At(groupName(i))}, nil)
			p.coverage["push"]++
		}
	}
	for _, d := range g.m.Unresolved(ident.TxnID{}, 100) {
		for _, to := range d.Unresolved {
			if p.odds(3) {
				p.send(groupIndex(to), Resolve{to, d.Txn, d.At(to)}, nil)
			}
		}
	}
}

// check wants the edge to be right at this moment: what it would serve is what the owner holds, and all keys at once are a
// snapshot.
func (p *txnPlanet) check() {
	sum := 0
	for k, e := range p.edge {
		g := p.groups[k[0]-'1']
		now, _, err := g.m.Read([]api.Key{k})
		if err != nil {
			p.Fatalf("NoGrantUnderLock: the edge holds %q: %v", k, err)
		}
		if now[0].Version != e.Version || string(now[0].Value) != string(e.Value) {
			p.Fatalf("NoStale: the edge holds %+v, the owner has %+v", e, now[0])
		}
		n, _ := strconv.Atoi(string(e.Value))
		sum += n
	}
	if len(p.edge) == planetGroups*numberKeys {
		p.coverage["snapshot at the edge"]++
		if sum != unitsPerKey*planetGroups*numberKeys {
			p.Fatalf("NoHalf: a snapshot at the edge has %d units", sum)
		}
	}
}

// quiesce lets all coordinators crash, so that the groups alone end what is left.
func (p *txnPlanet) quiesce() {
	for len(p.coords) > 0 {
		p.crash(0)
	}
	for range 100 {
		if len(p.bag) > 0 {
			p.deliver()
		}
	}
	p.bag = nil
	p.calm()
}

// calm resolves what is in the way of any request.
func (p *txnPlanet) calm() {
	for round := 0; ; round++ {
		left := 0
		for i, g := range p.groups {
			for _, x := range g.m.Prepared(ident.TxnID{}, 100) {
				left++
				res := p.apply(groupIndex(x.Txn.ID.Decider), Push{x.Txn})
				p.apply(i, Resolve{groupName(i), x.Txn.ID, res.Decision.At(groupName(i))})
			}
			for _, d := range g.m.Unresolved(ident.TxnID{}, 100) {
				left++
				for _, to := range d.Unresolved {
					p.apply(groupIndex(to), Resolve{to, d.Txn, d.At(to)})
					p.apply(i, Resolved{d.Txn, to})
				}
			}
		}
		if left == 0 {
			return
		}
		if round > 3 {
			p.Fatal("StallBound: intents are left though every group can be reached")
		}
	}
}

// judge looks at what has become of each request.
func (p *txnPlanet) judge() {
	sum, committed := 0, 0
	lists := make([]string, planetGroups)
	for i, g := range p.groups {
		for k := range numberKeys {
			n, err := strconv.Atoi(string(g.read(numberKey(i, k)).Value))
			if err != nil {
				p.Fatal(err)
			}
			sum += n
		}
		for k := range listKeys {
			lists[i] += string(g.read(listKey(i, k)).Value)
		}
	}
	if sum != unitsPerKey*planetGroups*numberKeys {
		p.Errorf("Atomic: there are %d units", sum)
	}
	for _, r := range p.requests {
		n := 0
		for _, g := range r.groups {
			n += strings.Count(lists[g], string(r.token()))
		}
		switch {
		case n != 0 && n != len(r.groups):
			p.Errorf("Atomic: %s is on %d of %d lists", r.token(), n, len(r.groups))
		case n == 0 && r.confirmed:
			p.Errorf("%s was said to be committed, and is on no list", r.token())
		case n > 0:
			committed++
		}
		p.replayed(r, n > 0)
	}
	p.history.judge(p.T, p.outcomes)
	p.coverage["committed"] = committed
	p.covered()
}

// replayed wants the request to be answered rightly if it is sent again.
func (p *txnPlanet) replayed(r *txnRequest, happened bool) {
	rec, ok := p.groups[r.groups[0]].m.Stored(r.id.Client, r.id.Seq)
	if !ok {
		if happened && !r.done && r.id.Seq >= p.acked(r.id.Client) {
			p.Errorf("Once: nothing is known of %s, which has happened", r.token())
		}
		return
	}
	if rec.Decider == "" {
		if !happened {
			p.Errorf("%s has a result and has not happened", r.token())
		}
		return
	}
	res := p.apply(groupIndex(rec.Decider), Push{rec.Ref()})
	if got := res.Decision.Outcome == ident.TxnCommitted; got != happened && !res.Decision.Expired {
		p.Errorf("%s happened: %v, and a repetition gets: %v", r.token(), happened, got)
	}
	if res.Decision.Outcome != ident.TxnCommitted {
		return
	}
	again := res.Decision.Replay(&r.txn)
	ok = len(again.Entries) == len(r.txn.Then)
	for i := range again.Entries {
		e, answered := &again.Entries[i], r.txn.Then[i].Answers()
		ok = ok && (p.mixed || !e.Elided) && answered == (len(e.Value) > 0 || e.Elided)
	}
	if !ok {
		p.Errorf("%s is replayed as %+v", r.token(), again)
	}
}

// covered wants a run to have met what it is about.
func (p *txnPlanet) covered() {
	for _, what := range []string{"committed", "push", "decided aborted", "decided committed", "resolved aborted", "resolved committed", "snapshot at the edge"} {
		if p.coverage[what] == 0 {
			p.Errorf("the run met no %q: %v", what, p.coverage)
		}
	}
	p.Log(p.coverage)
}
