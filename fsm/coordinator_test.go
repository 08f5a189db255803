package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// coordinator commits one request of a txnPlanet, as docs/decisions/0011 requires of a gateway. It knows only what it has learned
// from messages, and may crash between any two messages.
type coordinator struct {
	*txnPlanet
	req   *txnRequest
	dead  bool
	state string // "once" (one group), "prepare", "last", "decide", "resolve", "push"

	txn     ident.TxnRef
	after   ident.TxnID // the attempt before, seen aborted
	number  uint64
	parts   map[int]*Prepare
	votes   map[int]*api.TxnResult
	last    int // the group that commits last; -1 is none
	commit  bool
	pushing ident.TxnRef
	cleared []ident.DroppedLease // of the group that commits last, or of the one group
	decided *Decision
}

func (p *txnPlanet) coordinate(r *txnRequest) {
	c := &coordinator{txnPlanet: p, req: r, last: -1}
	p.coords = append(p.coords, c)
	if len(r.groups) == 1 && !p.odds(4) {
		c.state = "once"
		return
	}
	c.attempt()
}

func (c *coordinator) end() {
	c.dead = true
	c.coords = slices.DeleteFunc(c.coords, func(o *coordinator) bool { return o == c })
}

// attempt begins the next attempt. Its number is drawn so that no other coordinator has it.
func (c *coordinator) attempt() {
	c.number = max(c.number, c.after.Attempt)>>16 + 1
	c.number = c.number<<16 | c.rnd.Uint64N(1<<16)
	c.last = -1
	decider := c.rnd.IntN(planetGroups)
	if n := len(c.req.groups); n == 2 && c.odds(2) {
		c.last = c.req.groups[c.rnd.IntN(n)]
		decider = c.last
	}
	c.txn = ident.TxnRef{
		ID:  ident.TxnID{Client: c.req.id.Client, Seq: c.req.id.Seq, Attempt: c.number, Decider: groupName(decider)},
		Age: c.req.id.Seq, Anchor: c.req.txn.Keys()[0], Epoch: uint64(c.groups[decider].m.Meta().DedupEpoch),
	}
	c.parts, c.votes, c.decided, c.cleared = map[int]*Prepare{}, map[int]*api.TxnResult{}, nil, nil
	for _, g := range c.req.groups {
		part := &Prepare{Group: groupName(g), Txn: c.txn, AckedBelow: c.acked(c.req.id.Client), Epoch: uint64(c.groups[g].m.Meta().DedupEpoch)}
		for _, op := range c.req.txn.Then {
			if groupOf(op.Key) == g {
				part.Then = append(part.Then, op)
			}
		}
		if k := numberKey(g, c.rnd.IntN(numberKeys)); c.odds(3) {
			if es, _, err := c.groups[g].m.Read([]api.Key{k}); err == nil {
				part.If = append(part.If, api.Cond{Kind: api.CondVersion, Key: k, Version: es[0].Version})
			}
		}
		if groupOf(c.txn.Anchor) == g {
			part.Claim = &Claim{Fingerprint(&c.req.txn), c.after}
		}
		c.parts[g] = part
	}
	c.state = "prepare"
	c.send()
}

func groupOf(k api.Key) int { return int(k[0] - '1') }

func (c *coordinator) decider() int { return groupIndex(c.txn.ID.Decider) }

// send sends what the state requires, possibly once more.
func (c *coordinator) send() {
	switch c.state {
	case "once":
		t := c.req.txn
		t.ID.AckedBelow = c.acked(t.ID.Client)
		c.txnPlanet.send(c.req.groups[0], Write{Txn: t, Cleared: c.cleared}, c)
	case "prepare":
		for _, g := range c.req.groups {
			if g != c.last && c.votes[g] == nil {
				c.txnPlanet.send(g, *c.parts[g], c)
			}
		}
		if c.last >= 0 && len(c.votes) == len(c.req.groups)-1 {
			c.txnPlanet.send(c.last, c.commitLast(), c)
		}
	case "decide":
		d := Decide{Txn: c.txn, AckedBelow: c.acked(c.req.id.Client), Outcome: ident.TxnAborted}
		if c.commit {
			d.Outcome, d.Held = ident.TxnCommitted, true
			for _, g := range c.req.groups {
				d.Participants = append(d.Participants, groupName(g))
			}
			d.Outcomes = c.outcomes()
		}
		c.txnPlanet.send(c.decider(), d, c)
	case "push":
		c.txnPlanet.send(groupIndex(c.pushing.ID.Decider), Push{c.pushing}, c)
	case "resolve":
		for _, to := range c.decided.Unresolved {
			c.txnPlanet.send(groupIndex(to), Resolve{to, c.txn.ID, c.decided.At(to)}, c)
		}
		if c.odds(2) {
			c.end()
		}
	}
}

// outcomes are the whole branch's, as far as votes are there.
func (c *coordinator) outcomes() []Outcome {
	all := make([]api.Entry, len(c.req.txn.Then))
	seen := map[int]int{}
	for i, op := range c.req.txn.Then {
		g := groupOf(op.Key)
		if v := c.votes[g]; v != nil {
			all[i] = v.Entries[seen[g]]
			seen[g]++
		}
	}
	return Outcomes(c.req.txn.Then, all)
}

func (c *coordinator) commitLast() CommitLast {
	part := c.parts[c.last]
	l := CommitLast{
		Txn: c.txn, AckedBelow: part.AckedBelow, If: part.If, Then: part.Then, Claim: part.Claim, Held: true,
		Outcomes: c.outcomes(), Cleared: c.cleared,
	}
	for i, op := range c.req.txn.Then {
		if groupOf(op.Key) == c.last {
			l.Places = append(l.Places, uint32(i))
		}
	}
	for _, g := range c.req.groups {
		if g != c.last {
			l.Participants = append(l.Participants, groupName(g))
		}
	}
	return l
}

// answer handles a group's answer. Answers to an earlier state or attempt are ignored.
func (c *coordinator) answer(cmd Command, res Result) {
	switch x := cmd.(type) {
	case Write:
		c.onceAnswer(res)
	case Prepare:
		if c.state == "prepare" && x.Txn == c.txn {
			c.voted(groupIndex(x.Group), res)
		}
	case CommitLast:
		if c.state == "prepare" && x.Txn == c.txn {
			c.lastAnswer(res)
		}
	case Decide:
		if c.state == "decide" && x.Txn == c.txn && res.Err == nil {
			c.outcome(res.Decision)
		}
	case Push:
		if c.state == "push" && x.Txn == c.pushing && res.Err == nil {
			c.pushed(res.Decision)
		}
	}
}

func (c *coordinator) onceAnswer(res Result) {
	switch {
	case c.state != "once":
	case res.Err == nil:
		c.reply()
	case res.Err.Code == RetryLeases:
		c.cleared = append(c.cleared, c.revoked(res.Holders)...)
	case res.Err.Code == Attempted:
		c.meet(res.Stored)
	case res.Err.Code == api.CodeConflict:
		c.end()
	}
}

func (c *coordinator) reply() {
	if !c.req.done {
		c.req.done, c.req.confirmed = true, true
	}
	c.end()
}

func (c *coordinator) voted(g int, res Result) {
	switch {
	case res.Err == nil:
		c.votes[g] = res.Txn
		if len(c.votes) == len(c.req.groups) {
			c.state, c.commit = "decide", true
		}
	case res.Err.Code == RetryLeases:
		c.parts[g].Cleared = append(c.parts[g].Cleared, c.revoked(res.Holders)...)
	default:
		c.no(res)
	}
}

func (c *coordinator) lastAnswer(res Result) {
	switch {
	case res.Err == nil:
		c.outcome(res.Decision)
	case res.Err.Code == RetryLeases:
		c.cleared = append(c.cleared, c.revoked(res.Holders)...)
	default:
		c.no(res)
	}
}

// no handles a vote no: it tries again if that may help, and otherwise ends the attempt at its decision group.
func (c *coordinator) no(res Result) {
	switch res.Err.Code {
	case api.CodeNotLeader:
		return
	case RetryIntents:
		if !c.odds(6) {
			return
		}
	case Attempted:
		c.meet(res.Stored)
		return
	case api.CodeConflict:
		c.end()
		return
	}
	c.state, c.commit = "decide", false
}

// meet ends another attempt of the request, in whatever gateway it is made.
func (c *coordinator) meet(rec *Record) {
	if rec.Decider == "" {
		c.reply()
		return
	}
	c.state, c.pushing = "push", rec.Ref()
}

func (c *coordinator) pushed(d *Decision) {
	switch {
	case d.Outcome == ident.TxnCommitted:
		c.reply()
	case d.Expired:
		c.end()
	default:
		c.after = d.Txn
		c.attempt()
	}
}

func (c *coordinator) outcome(d *Decision) {
	c.decided = d
	switch {
	case d.Outcome == ident.TxnCommitted:
		if !c.req.done {
			c.req.done, c.req.confirmed = true, true
		}
		c.state = "resolve"
	case d.Expired || c.odds(10):
		c.end()
	default:
		for _, g := range c.req.groups { // so that no transaction waits; a group that does not get it pushes
			c.txnPlanet.send(g, Resolve{groupName(g), c.txn.ID, ident.TxnAborted}, c)
		}
		if c.after = c.txn.ID; c.odds(4) {
			c.end()
			return
		}
		c.attempt()
	}
}
