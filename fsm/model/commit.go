package model

// The commit over several groups (M2), with its recovery.

// commitRules are the rules that the system relies on. Each can be broken by itself.
type commitRules uint32

const (
	// revokeRule: leases on written keys are revoked before the prepare is applied, not at the commit.
	revokeRule commitRules = 1 << iota
	// grantRule: no lease is granted on a key that is locked exclusively.
	grantRule
	// readRule: a read at the owner of a key that is locked exclusively waits.
	readRule
	// lockRule: the machine refuses a write of a key that another transaction has locked.
	lockRule
	// pushRule: a participant never ends a transaction by itself. It asks the decision group.
	pushRule
	// firstRule: the first decision is final.
	firstRule
	// recordRule: an abort record is dropped only below the client's watermark, and below it nothing without a record commits.
	recordRule
	// resolvedRule: a commit record is dropped only after every participant has resolved.
	resolvedRule
	// finishedRule: a prepare of a transaction that is FINISHED here is refused.
	finishedRule
	// belowRule: a participant that has dropped FINISHED records below a watermark refuses prepares below it.
	belowRule
	// unknownRule: a Decide that is refused below the watermark, with no record left, is answered with an unknown outcome,
	// because an earlier copy of the same message may have committed.
	unknownRule
)

// commitSystem is one transaction that writes a key in each of two groups, with a separate decision group, a coordinator that may
// stop anywhere, an edge that takes leases on both keys, and a client that writes only the first key. Messages are sticky: once
// sent, they may arrive at any time, any number of times, or never. So crashes and retries need no steps of their own.
type commitSystem struct {
	broken commitRules
	grants uint8 // that each group grants
}

var _ system[commitState] = (*commitSystem)(nil)

// participant is one of the groups.
type participant struct {
	intent  uint8 // none, locked, or what it was resolved to and is FINISHED with
	applied uint8 // how often the write took effect
	written bool  // by the other client, since the prepare

	lease, granted uint8 // leases are numbered; 0 is none
	granting       uint8 // the lease on its way to the edge; whether it was granted with the write
	grantNew       bool
	revoking       uint8
	acked          uint8
	forgot         bool // it has dropped the FINISHED records below the watermark

	cached uint8 // the edge's part: the lease that it uses, and whether its value has the write
	isNew  bool
	fence  uint8
}

const (
	none uint8 = iota
	locked
	committed
	aborted
	unknown // an answer to the client
)

type commitState struct {
	groups    [2]participant
	prepare   [2]bool // sent
	vote      [2]bool // yes
	decide    bool    // COMMIT sent
	record    uint8
	watermark bool     // the client's watermark has passed the transaction
	resolve   [2]bool  // to commit, to abort: sent, to both
	reply     uint8    // the client's answer
	other     bool     // the other client has written
	read      [2]uint8 // what a read at the owner that began after the client's answer has seen, plus 1
}

func (c *commitSystem) has(r commitRules) bool { return c.broken&r == 0 }

func (c *commitSystem) start() commitState { return commitState{} }

func (c *commitSystem) wrong(s commitState) string {
	a, b := s.groups[0], s.groups[1]
	switch {
	case a.applied > 1 || b.applied > 1:
		return "Once: the transaction took effect twice"
	case a.cached != 0 && b.cached != 0 && a.isNew != b.isNew:
		return "NoHalf: the edge serves one write and not the other"
	case s.reply == committed && (a.cached != 0 && !a.isNew || b.cached != 0 && !b.isNew):
		return "NoStale: the client knows that it is committed, and the edge serves what was before"
	case s.read[0] == 1 || s.read[1] == 1:
		return "NoStale: the client knows that it is committed, and the owner answers what was before"
	}
	for i := range s.groups {
		g := &s.groups[i]
		switch {
		case s.reply == committed && g.intent == aborted, s.reply == aborted && g.applied > 0:
			return "Decide1: the client has another answer than a participant"
		case g.applied > 0 && s.groups[1-i].intent == aborted:
			return "Atomic: the participants ended differently"
		case g.applied > 0 && g.written:
			return "VersionsRise: another client's write came between the prepare and its effect"
		}
	}
	return ""
}

func (c *commitSystem) steps(s commitState, to func(act, commitState)) {
	for i := range uint8(2) {
		c.reader(s, i, to)
		c.prepares(s, i, to)
		c.resolves(s, i, to)
	}
	c.coordinator(s, to)
	c.decision(s, to)
	c.others(s, to)
}

// reader adds the steps in which the edge takes leases and gives them up.
func (c *commitSystem) reader(s commitState, i uint8, to func(act, commitState)) {
	g := &s.groups[i]
	if g.granted < c.grants && g.lease == 0 && (g.intent != locked || !c.has(grantRule)) {
		t := s
		p := &t.groups[i]
		p.granted++
		p.lease, p.granting, p.grantNew = p.granted, p.granted, g.applied > 0
		to(does("group %d grants lease %d", i, p.granted), t)
	}
	if g.granting > max(g.fence, g.cached) {
		t := s
		t.groups[i].cached, t.groups[i].isNew = g.granting, g.grantNew
		to(does("the edge installs lease %d of group %d", g.granting, i), t)
	}
	if g.revoking > g.fence {
		t := s
		p := &t.groups[i]
		p.fence, p.acked = g.revoking, g.revoking
		if g.cached <= g.revoking {
			p.cached, p.isNew = 0, false
		}
		to(does("the edge gives lease %d of group %d up and says so", g.revoking, i), t)
	}
}

// cleared reports whether no lease is in the way. If there is one, it adds a step that revokes it.
func (c *commitSystem) cleared(s commitState, i uint8, to func(act, commitState)) bool {
	g := &s.groups[i]
	if g.lease == 0 || g.acked == g.lease {
		return true
	}
	if g.revoking != g.lease {
		s.groups[i].revoking = g.lease
		to(does("group %d revokes lease %d", i, g.lease), s)
	}
	return false
}

// prepares adds the steps in which a prepare arrives, for the first time or late.
func (c *commitSystem) prepares(s commitState, i uint8, to func(act, commitState)) {
	g := &s.groups[i]
	finished := g.intent > locked && c.has(finishedRule)
	below := g.forgot && c.has(belowRule)
	if !s.prepare[i] || g.intent == locked || finished || below {
		return
	}
	if c.has(revokeRule) && !c.cleared(s, i, to) {
		return
	}
	t := s
	p := &t.groups[i]
	p.intent, p.written = locked, false
	if c.has(revokeRule) {
		p.lease = 0
	}
	t.vote[i] = true
	to(does("group %d PREPARES and votes yes", i), t)
}

// resolves adds the steps in which an outcome arrives at a participant, or a participant assumes one.
func (c *commitSystem) resolves(s commitState, i uint8, to func(act, commitState)) {
	g := &s.groups[i]
	if s.watermark && g.intent > locked {
		t := s
		t.groups[i].intent, t.groups[i].forgot = none, true
		to(does("group %d forgets FINISHED, below the watermark", i), t)
	}
	if g.intent != locked {
		return
	}
	if !c.has(pushRule) {
		t := s
		t.groups[i].intent = aborted
		to(does("group %d aborts by itself", i), t)
	}
	if s.resolve[1] {
		t := s
		t.groups[i].intent = aborted
		to(does("group %d RESOLVES: aborted", i), t)
	}
	if s.resolve[0] && (c.has(revokeRule) || c.cleared(s, i, to)) {
		t := s
		p := &t.groups[i]
		p.intent, p.lease = committed, 0
		p.applied++
		to(does("group %d RESOLVES: committed", i), t)
	}
}

// coordinator adds the steps of the gateway. It may stop before any of them.
func (c *commitSystem) coordinator(s commitState, to func(act, commitState)) {
	for i := range uint8(2) {
		if !s.prepare[i] {
			t := s
			t.prepare[i] = true
			to(does("the coordinator sends group %d its prepare", i), t)
		}
	}
	if s.vote[0] && s.vote[1] && !s.decide {
		t := s
		t.decide = true
		to(does("the coordinator has all votes and sends Decide(COMMIT)"), t)
	}
}

// decision adds the steps of the decision group.
func (c *commitSystem) decision(s commitState, to func(act, commitState)) {
	refused := s.watermark && c.has(recordRule)
	if s.decide {
		c.decides(s, refused, to)
	}
	if s.record == none && (s.groups[0].intent == locked || s.groups[1].intent == locked) {
		t := s
		if refused {
			t.resolve[1] = true
			to(does("a push below the watermark: aborted"), t)
		} else {
			t.record = aborted
			to(does("a push: the decision group records ABORTED"), t)
		}
	}
	if s.record == committed && !s.resolve[0] {
		t := s
		t.resolve[0] = true
		to(does("the decision group sends the outcome: committed"), t)
	}
	if s.record == aborted && !s.resolve[1] {
		t := s
		t.resolve[1] = true
		to(does("the decision group sends the outcome: aborted"), t)
	}
	c.forgets(s, to)
}

// decides adds the steps in which a Decide(COMMIT) arrives, for the first time or again.
func (c *commitSystem) decides(s commitState, refused bool, to func(act, commitState)) {
	t := s
	answer := func(outcome uint8) {
		if s.reply == none {
			t.reply = outcome
		}
	}
	switch {
	case s.record == none && refused:
		if answer(unknown); !c.has(unknownRule) {
			answer(aborted)
		}
		to(does("Decide(COMMIT) is refused, below the watermark, the client gets that answer"), t)
	case s.record == aborted && c.has(firstRule):
		answer(aborted)
		to(does("Decide(COMMIT) is refused, the client gets: aborted"), t)
	default:
		t.record = committed
		to(does("the decision group records COMMITTED, the answer is lost"), t)
		answer(committed)
		to(does("the decision group records COMMITTED, the client gets: committed"), t)
	}
}

// forgets adds the steps in which the watermark passes and records are dropped.
func (c *commitSystem) forgets(s commitState, to func(act, commitState)) {
	if !s.watermark {
		t := s
		t.watermark = true
		to(does("the client's watermark passes the transaction"), t)
	}
	if s.record == aborted && (s.watermark || !c.has(recordRule)) {
		t := s
		t.record = none
		to(does("the decision group forgets ABORTED"), t)
	}
	resolved := s.groups[0].applied > 0 && s.groups[1].applied > 0
	if s.record == committed && s.watermark && (resolved || !c.has(resolvedRule)) {
		t := s
		t.record = none
		to(does("the decision group forgets COMMITTED"), t)
	}
}

// others adds the steps in which another client writes the first key and reads at the owners.
func (c *commitSystem) others(s commitState, to func(act, commitState)) {
	g := &s.groups[0]
	if !s.other && g.lease == 0 && g.cached == 0 && (g.intent != locked || !c.has(lockRule)) {
		t := s
		t.other = true
		t.groups[0].written = g.intent == locked
		to(does("another client writes the key of group 0"), t)
	}
	for i := range uint8(2) {
		g := &s.groups[i]
		if s.reply != committed || s.read[i] != 0 || g.intent == locked && c.has(readRule) {
			continue
		}
		t := s
		t.read[i] = 1 + min(g.applied, 1)
		to(does("the owner of group %d answers a read", i), t)
	}
}
