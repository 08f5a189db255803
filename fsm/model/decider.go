package model

// Which group decides a transaction over a near and a far group, if the far one is lost, for good or for a while
// (docs/decisions/0024).

// deciderRules are the rules that the system relies on. Each can be broken by itself.
type deciderRules uint32

const (
	// wellRule: the far group decides only while it is known to be well.
	wellRule deciderRules = 1 << iota
	// nearRule: otherwise the near group decides.
	nearRule
	// lostRule: a transaction with a group that is known to be lost fails before anything is locked.
	lostRule
	// keepRule: the near group keeps what waits for a lost decider.
	keepRule
)

// deciderSystem is one transaction over two groups, with a gateway that may stop anywhere. The gateway learns with a delay
// whether the far group is well. Messages are sticky: once sent, they may arrive at any time or never, but not at a lost group.
type deciderSystem struct {
	broken deciderRules
	// forGood means that the far group does not come back.
	forGood bool
}

var _ system[deciderState] = (*deciderSystem)(nil)

// The states of the far group, and what the gateway knows of it.
const (
	isWell uint8 = iota
	inDoubt
	isLost
	isBack
)

// How the transaction is carried out.
const (
	refused uint8 = iota + 1
	farDecides
	nearDecides
)

const near, far = 0, 1

type deciderState struct {
	far   uint8 // isWell, isLost or isBack
	known uint8 // isWell, inDoubt or isLost
	begun uint8 // what was known when the transaction began, plus 1
	mode  uint8

	prepare [2]bool // sent
	vote    [2]bool // yes
	part    [2]uint8
	commit  bool // CommitLast or Decide(COMMIT) sent
	gaveUp  bool // the gateway sends nothing more
	record  uint8
	resolve bool // the outcome was sent
	reply   uint8
}

func (d *deciderSystem) has(r deciderRules) bool { return d.broken&r == 0 }

func (d *deciderSystem) start() deciderState { return deciderState{} }

// decider returns the decision group.
func (d *deciderSystem) decider(s deciderState) int {
	if s.mode == farDecides || !d.has(nearRule) {
		return far
	}
	return near
}

func (s deciderState) up(group int) bool { return group == near || s.far != isLost }

func (d *deciderSystem) wrong(s deciderState) string {
	happened := s.record == committed
	switch {
	case s.part[near] == committed && s.part[far] == aborted, s.part[near] == aborted && s.part[far] == committed,
		happened && (s.part[near] == aborted || s.part[far] == aborted):
		return "Atomic: the groups ended differently"
	case s.reply == committed && !happened, s.reply == aborted && happened:
		return "Decide1: the client has another answer than was decided"
	case s.begun == isLost+1 && (s.part[near] != none || s.part[far] != none):
		return "Untouched: a transaction with a group that is known to be lost has locked something"
	case s.part[near] == locked && s.begun > isWell+1 && d.quiet(s):
		return "Free: a transaction that began after the loss was noticed keeps its near key locked"
	case (s.part[near] == locked || s.part[far] == locked) && s.far != isLost && d.quiet(s):
		return "Free: a key stays locked though all groups are there"
	}
	return ""
}

// quiet reports whether no step is possible until something happens to the far group.
func (d *deciderSystem) quiet(s deciderState) bool {
	quiet := true
	d.protocol(s, func(_ act, t deciderState) { quiet = quiet && t == s })
	return quiet
}

func (d *deciderSystem) steps(s deciderState, to func(act, deciderState)) {
	d.around(s, to)
	d.begin(s, to)
	d.protocol(s, to)
}

// around adds the steps in which the far group is lost and comes back, and the gateway notices.
func (d *deciderSystem) around(s deciderState, to func(act, deciderState)) {
	t := s
	switch {
	case s.far == isWell:
		t.far = isLost
		to(does("the far group is lost"), t)
	case s.far == isLost && !d.forGood:
		t.far = isBack
		to(does("the far group is back"), t)
	}
	t = s
	switch {
	case s.known == isWell: // or a keep-alive is late
		t.known = inDoubt
		to(does("the gateway no longer knows that the far group is well"), t)
	case s.known == inDoubt && s.far == isLost:
		t.known = isLost
		to(does("the gateway knows that the far group is lost"), t)
	}
	if s.far != isLost && s.known != isWell {
		t = s
		t.known = isWell
		to(does("the far group answers the gateway"), t)
	}
}

// begin adds the steps in which the gateway chooses the group that decides. It may choose the near group for other reasons too.
func (d *deciderSystem) begin(s deciderState, to func(act, deciderState)) {
	if s.begun != 0 {
		return
	}
	t := s
	t.begun = s.known + 1
	if s.known == isLost && d.has(lostRule) {
		t.mode = refused
		to(does("a transaction begins, and is refused"), t)
		return
	}
	t.mode = nearDecides
	to(does("a transaction begins, prepared in both groups"), t)
	if s.known == isWell || !d.has(wellRule) {
		t.mode = farDecides
		to(does("a transaction begins that the far group decides"), t)
	}
}

func (d *deciderSystem) protocol(s deciderState, to func(act, deciderState)) {
	d.coordinator(s, to)
	d.participants(s, to)
	d.decision(s, to)
}

// coordinator adds the steps of the gateway. It may stop before any of them.
func (d *deciderSystem) coordinator(s deciderState, to func(act, deciderState)) {
	if s.mode < farDecides || s.gaveUp {
		return
	}
	for g := range uint8(2) {
		if t := s; !s.prepare[g] && (g == near || s.mode == nearDecides) {
			t.prepare[g] = true
			to(does("the gateway sends group %d its prepare", g), t)
		}
	}
	if !s.commit && s.vote[near] && (s.vote[far] || s.mode == farDecides) {
		t := s
		t.commit = true
		to(does("the gateway has the votes and sends the commit"), t)
	}
	if !s.commit {
		t := s
		t.gaveUp, t.reply = true, aborted
		to(does("the gateway gives up, the client gets: nothing was written"), t)
	}
}

// participants adds the steps in which the participants prepare, and end as decided.
func (d *deciderSystem) participants(s deciderState, to func(act, deciderState)) {
	for g := range uint8(2) {
		t := s
		switch {
		case s.prepare[g] && s.part[g] == none && s.up(int(g)):
			t.part[g], t.vote[g] = locked, true
			to(does("group %d PREPARES and votes yes", g), t)
		case s.resolve && s.part[g] == locked && s.up(int(g)):
			t.part[g] = s.record
			to(does("group %d RESOLVES as was decided", g), t)
		case g == near && s.part[g] == locked && s.far == isLost && !d.has(keepRule):
			t.part[g] = aborted
			to(does("the near group aborts by itself"), t)
		}
	}
}

// decision adds the steps of the decision group, while it is there.
func (d *deciderSystem) decision(s deciderState, to func(act, deciderState)) {
	if s.mode < farDecides || !s.up(d.decider(s)) {
		return
	}
	if t := s; s.commit && s.record == none {
		t.record = committed
		if s.mode == farDecides {
			t.part[far] = committed
		}
		to(does("it is COMMITTED, the answer is lost"), t)
		t.reply = committed
		to(does("it is COMMITTED, the client gets: committed"), t)
	}
	if t := s; s.commit && s.record == aborted && s.reply == none {
		t.reply = aborted
		to(does("the commit is refused, the client gets: aborted"), t)
	}
	if t := s; s.record == none && (s.part[near] == locked || s.part[far] == locked) {
		t.record = aborted
		to(does("a push: ABORTED"), t)
	}
	if t := s; s.record != none && !s.resolve {
		t.resolve = true
		to(does("the outcome is sent"), t)
	}
}
