package model

// The commit of a local group and one remote group, which commits last (M3).

// lastRules are the rules that the system relies on. Each can be broken by itself.
type lastRules uint32

const (
	// abortRule: CommitLast is refused if an ABORTED record exists.
	abortRule lastRules = 1 << iota
	// namedRule: CommitLast names its decision group, and every other group refuses it: it is never rerouted.
	namedRule
	// belowLastRule: below the client's watermark and without a record CommitLast is refused, so that an abort record is never
	// missed.
	belowLastRule
	// pushLastRule: the local group never ends the transaction by itself.
	pushLastRule
	// remoteRule: CommitLast checks the version that was read at the remote group.
	remoteRule
	// localRule: what was read in the local group is locked by its prepare.
	localRule
	// noLeaseRule: no read of such a transaction is validated by a lease.
	noLeaseRule
	// onceRule: a CommitLast that has been carried out is not carried out again.
	onceRule
)

// lastSystem is one transaction that reads and writes a key in its local group and a key in a remote group, which is the decision
// group. The remote range may move to a third group. The transaction may also have read another key under a lease. Another
// transaction takes effect at one instant: it reads the remote key and writes what the first has read. Messages are sticky: once
// sent, they may arrive at any time, any number of times, or never.
type lastSystem struct{ broken lastRules }

var _ system[lastState] = (*lastSystem)(nil)

type lastState struct {
	prepare bool  // sent
	local   uint8 // the local group: none, locked, committed, aborted
	applied uint8 // how often the write took effect at the remote key

	commit    bool // CommitLast sent
	moved     bool // the remote range belongs to the third group
	record    uint8
	elsewhere uint8 // the record that the third group has made
	watermark bool
	resolve   [2]bool // to commit, to abort: sent
	reply     uint8

	other uint8 // what the other transaction has done
}

// What the other transaction has done: it read the remote key before the first wrote it, and replaced something that the first
// had read.
const (
	replacedLocal uint8 = iota + 1
	replacedRemote
	replacedElsewhere
)

func (l *lastSystem) has(r lastRules) bool { return l.broken&r == 0 }

func (l *lastSystem) start() lastState { return lastState{} }

func (l *lastSystem) wrong(s lastState) string {
	happened := s.record == committed || s.elsewhere == committed || s.applied > 0
	switch {
	case s.applied > 1:
		return "Once: the transaction took effect twice"
	case happened && s.local == aborted, s.local == committed && s.applied == 0:
		return "Atomic: the groups ended differently"
	case s.reply == committed && s.local == aborted, s.reply == aborted && happened:
		return "Decide1: the client has another answer than a group"
	case happened && s.other != 0:
		return "LockPoint: each of two transactions had read what was there before the other"
	}
	return ""
}

func (l *lastSystem) steps(s lastState, to func(act, lastState)) {
	l.coordinator(s, to)
	l.local(s, to)
	l.remote(s, to)
	l.around(s, to)
}

// coordinator adds the steps of the gateway. It may stop before any of them.
func (l *lastSystem) coordinator(s lastState, to func(act, lastState)) {
	if !s.prepare {
		t := s
		t.prepare = true
		to(does("the coordinator sends the local group its prepare"), t)
	}
	if s.local == locked && !s.commit && s.other != replacedElsewhere {
		t := s
		t.commit = true
		to(does("the coordinator has the vote and sends CommitLast"), t)
	}
}

// local adds the steps in which the local group prepares, and ends as decided.
func (l *lastSystem) local(s lastState, to func(act, lastState)) {
	t := s
	switch {
	case s.prepare && s.local == none && s.other != replacedLocal:
		t.local = locked
		to(does("the local group PREPARES and votes yes"), t)
	case s.local == locked && !l.has(pushLastRule):
		t.local = aborted
		to(does("the local group aborts by itself"), t)
	}
	if s.local != locked {
		return
	}
	for n, outcome := range [2]uint8{committed, aborted} {
		if s.resolve[n] {
			t := s
			t.local = outcome
			if outcome == committed {
				to(does("the local group RESOLVES: committed"), t)
			} else {
				to(does("the local group RESOLVES: aborted"), t)
			}
		}
	}
}

// remote adds the steps of the decision group, and of the group to which its range may have moved.
func (l *lastSystem) remote(s lastState, to func(act, lastState)) {
	below := s.watermark && l.has(belowLastRule)
	if s.commit {
		l.commitLast(s, below, to)
	}
	if s.record == none && s.local == locked {
		t := s
		if below {
			t.resolve[1] = true
			to(does("a push below the watermark: aborted"), t)
		} else {
			t.record = aborted
			to(does("a push: the decision group records ABORTED"), t)
		}
	}
	for n, outcome := range [2]uint8{committed, aborted} {
		if (s.record == outcome || s.elsewhere == outcome) && !s.resolve[n] {
			t := s
			t.resolve[n] = true
			if outcome == committed {
				to(does("the outcome is sent: committed"), t)
			} else {
				to(does("the outcome is sent: aborted"), t)
			}
		}
	}
}

// commitLast adds the steps in which a CommitLast arrives at the decision group, or at the group that now has the range.
func (l *lastSystem) commitLast(s lastState, below bool, to func(act, lastState)) {
	t := s
	answer := func(outcome uint8) {
		if s.reply == none {
			t.reply = outcome
		}
	}
	record := &t.record
	if s.moved && !l.has(namedRule) {
		record = &t.elsewhere
	}
	switch {
	case *record == committed && l.has(onceRule):
		answer(committed)
		to(does("CommitLast finds that it was carried out, the client gets: committed"), t)
		return
	case *record == aborted && l.has(abortRule):
		answer(aborted)
		to(does("CommitLast is refused, the client gets: aborted"), t)
		return
	case *record == none && below:
		answer(unknown)
		to(does("CommitLast is refused, below the watermark, the client gets that answer"), t)
		return
	case s.moved && l.has(namedRule), s.other == replacedRemote && l.has(remoteRule):
		// Refused without a record. The coordinator has it aborted at the decision group, unless it is aborted there already.
		if s.record == none && !below {
			t.record = aborted
			to(does("CommitLast is refused, the coordinator has the decision group record ABORTED"), t)
		}
		return
	}
	*record = committed
	t.applied++
	to(does("CommitLast takes effect, the answer is lost"), t)
	answer(committed)
	to(does("CommitLast takes effect, the client gets: committed"), t)
}

// around adds the steps in which the range moves, the watermark passes, records are dropped, and the other transaction takes
// effect.
func (l *lastSystem) around(s lastState, to func(act, lastState)) {
	if !s.moved {
		t := s
		t.moved = true
		to(does("the remote range moves to a third group"), t)
	}
	if !s.watermark {
		t := s
		t.watermark = true
		to(does("the client's watermark passes the transaction"), t)
	}
	if s.watermark && (s.record == aborted || s.record == committed && s.local == committed) {
		t := s
		t.record = none
		to(does("the decision group forgets its record"), t)
	}
	if s.other != 0 || s.applied > 0 {
		return
	}
	if s.local != locked || !l.has(localRule) {
		t := s
		t.other = replacedLocal
		to(does("another transaction reads the remote key and writes what was read in the local group"), t)
	}
	t := s
	t.other = replacedRemote
	to(does("another transaction writes the remote key that was read"), t)
	if !l.has(noLeaseRule) {
		t.other = replacedElsewhere
		to(does("another transaction reads the remote key and writes what was read elsewhere under a lease"), t)
	}
}
