package model

// A transaction that its client sends again through another gateway: the anchor, whose group
// keeps which attempt is under way.

// retryRules are the rules that the system relies on. Each can be broken by itself.
type retryRules uint32

const (
	// anchorRule: the anchor's group records each attempt and its decision group, and a gateway looks there.
	anchorRule retryRules = 1 << iota
	// beforeRule: the group records the attempt before anything else is done for it.
	beforeRule
	// finalRule: before an attempt begins, the previous one is finalised at its decision group.
	finalRule
)

// retrySystem is one request that two gateways carry out, each as an attempt of its own with a decision group of its own. The
// second may begin at any time after the first, or instead of it. What is locked or written is one key.
type retrySystem struct{ broken retryRules }

var _ system[retryState] = (*retrySystem)(nil)

// attempt is what one gateway has done.
type attempt struct {
	begun  bool  // by its gateway
	phase  uint8 // of the participants: none, locked, committed, aborted
	decide bool  // Decide(COMMIT) sent
	record uint8
}

type retryState struct {
	anchor   uint8 // the newest attempt that it knows, plus 1
	attempts [2]attempt
	returned bool // the second gateway has found the first one's result
}

func (r *retrySystem) has(rule retryRules) bool { return r.broken&rule == 0 }

func (r *retrySystem) start() retryState { return retryState{} }

func (r *retrySystem) wrong(s retryState) string {
	if s.attempts[0].phase == committed && s.attempts[1].phase == committed {
		return "Once: both attempts took effect"
	}
	return ""
}

func (r *retrySystem) steps(s retryState, to func(act, retryState)) {
	for i := range uint8(2) {
		a := &s.attempts[i]
		if !a.begun {
			r.begins(s, i, to)
		}
		if a.begun && s.anchor <= i && r.has(anchorRule) {
			t := s
			t.anchor = i + 1
			to(does("the anchor records attempt %d, late", i+1), t)
		}
		if a.begun && a.phase == none && s.attempts[1-i].phase != locked {
			t := s
			t.attempts[i].phase = locked
			to(does("the participants prepare attempt %d", i+1), t)
		}
		r.decides(s, i, to)
	}
}

// begins adds the steps in which a gateway gets the request, looks at the anchor, and begins an attempt unless it finds the
// result.
func (r *retrySystem) begins(s retryState, i uint8, to func(act, retryState)) {
	t := s
	switch {
	case s.anchor > i+1: // a later attempt is recorded: this gateway is too late
		return
	case i == 1 && s.anchor == 1 && r.has(finalRule):
		first := &t.attempts[0]
		if s.returned {
			return
		}
		if first.record == committed {
			t.returned = true
			to(does("gateway 2 finalises attempt 1, which was committed"), t)
			return
		}
		first.record = aborted
	}
	t.attempts[i].begun = true
	if r.has(anchorRule) && r.has(beforeRule) {
		t.anchor = i + 1
	}
	to(does("gateway %d begins attempt %d", i+1, i+1), t)
}

// decides adds the steps of the coordinator and the decision group of attempt i, which pushes may abort.
func (r *retrySystem) decides(s retryState, i uint8, to func(act, retryState)) {
	a := &s.attempts[i]
	if a.phase == locked && !a.decide {
		t := s
		t.attempts[i].decide = true
		to(does("gateway %d has all votes and sends Decide(COMMIT)", i+1), t)
	}
	if a.decide && a.record == none {
		t := s
		t.attempts[i].record = committed
		to(does("the decision group of attempt %d records COMMITTED", i+1), t)
	}
	if a.phase == locked && a.record == none {
		t := s
		t.attempts[i].record = aborted
		to(does("a push: the decision group of attempt %d records ABORTED", i+1), t)
	}
	if a.phase == locked && a.record != none {
		t := s
		if t.attempts[i].phase = a.record; a.record == committed {
			to(does("attempt %d is RESOLVED: committed", i+1), t)
		} else {
			to(does("attempt %d is RESOLVED: aborted", i+1), t)
		}
	}
}
