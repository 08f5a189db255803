package model

// Two transactions that each read what the other writes: how a commit validates reads.

// skewRules are the rules that the system relies on. Each can be broken by itself.
type skewRules uint32

const (
	// afterRule: leased reads are validated after all locks are held, not before.
	afterRule skewRules = 1 << iota
	// sameRule: the lease that is validated is the one that was read under, not just any lease on the key.
	sameRule
	// sharedRule: a read without a lease is locked by its prepare, and a prepare refuses to write what is so locked.
	sharedRule
	// versionRule: the prepare that locks a read also checks that its version is still current.
	versionRule
	// clearRule: a prepare waits for the leases on what it writes.
	clearRule
	// underRule: no lease is granted on a key that is locked exclusively.
	underRule
)

// skewSystem is two transactions in two groups at two gateways. Each reads a key, by a lease or at the owner, and writes the key
// that the other reads. Prepares take effect one after the other, in any order. Either transaction may also abort at any time
// before its decision.
type skewSystem struct {
	broken skewRules
	leased [2]bool // whether transaction i reads by a lease
	grants uint8   // to each gateway
}

var _ system[skewState] = (*skewSystem)(nil)

// skewTxn is one of the transactions. Its key is the one that it writes. The other's key is the one that it reads.
type skewTxn struct {
	phase  uint8
	saw    uint8 // the version that it read
	by     uint8 // the lease that it read by; 0 is none
	valid  bool  // it has validated its leased read
	shared bool  // it holds the lock on what it read
	locked bool  // it holds the lock on its key
}

const (
	idle uint8 = iota
	reading
	preparing
	decided
	resolved
	gaveUp
)

type skewState struct {
	txns    [2]skewTxn
	version [2]uint8 // of the key that transaction i writes
	lease   [2]uint8 // of gateway i on what transaction i reads; in the machine and at the gateway
	cached  [2]uint8 // the version under that lease
	granted [2]uint8
}

func (k *skewSystem) has(r skewRules) bool { return k.broken&r == 0 }

func (k *skewSystem) start() skewState { return skewState{} }

// wrong reports a state in which each has read what the other had not yet written: at most one may have.
func (k *skewSystem) wrong(s skewState) string {
	a, b := s.txns[0], s.txns[1]
	done := func(t skewTxn) bool { return t.phase == decided || t.phase == resolved }
	if done(a) && done(b) && a.saw == 0 && b.saw == 0 {
		return "LockPoint: both committed, and each had read what was there before the other"
	}
	return ""
}

func (k *skewSystem) steps(s skewState, to func(act, skewState)) {
	for i := range uint8(2) {
		k.lease(s, i, to)
		switch s.txns[i].phase {
		case idle:
			k.reads(s, i, to)
		case reading, preparing:
			k.locks(s, i, to)
		case decided:
			t := s
			t.txns[i].phase, t.txns[i].locked, t.txns[i].shared = resolved, false, false
			t.version[i]++
			to(does("transaction %d is resolved", i), t)
		}
	}
}

// lease adds the steps in which gateway i gets a lease on what its transaction reads, or loses it.
func (k *skewSystem) lease(s skewState, i uint8, to func(act, skewState)) {
	other := 1 - i
	if k.leased[i] && s.lease[i] == 0 && s.granted[i] < k.grants && (!s.txns[other].locked || !k.has(underRule)) {
		t := s
		t.granted[i]++
		t.lease[i], t.cached[i] = t.granted[i], s.version[other]
		to(does("gateway %d gets lease %d on key %d", i, t.granted[i], other), t)
	}
	if s.lease[i] != 0 {
		t := s
		t.lease[i], t.cached[i] = 0, 0
		to(does("gateway %d gives its lease on key %d up", i, other), t)
	}
}

func (k *skewSystem) reads(s skewState, i uint8, to func(act, skewState)) {
	t := s
	m := &t.txns[i]
	m.phase = reading
	switch {
	case k.leased[i] && s.lease[i] != 0:
		m.saw, m.by = s.cached[i], s.lease[i]
	case !k.leased[i] && !s.txns[1-i].locked:
		m.saw = s.version[1-i]
	default:
		return
	}
	to(does("transaction %d reads key %d at version %d", i, 1-i, m.saw), t)
}

// locks adds the steps of the prepares, the validation and the decision.
func (k *skewSystem) locks(s skewState, i uint8, to func(act, skewState)) {
	m := &s.txns[i]
	other := &s.txns[1-i]
	quit := s
	quit.txns[i].phase, quit.txns[i].locked, quit.txns[i].shared = gaveUp, false, false
	to(does("transaction %d aborts", i), quit)
	if m.phase == reading {
		t := s
		if t.txns[i].phase = preparing; k.has(afterRule) || k.validates(&s, i) {
			t.txns[i].valid = !k.has(afterRule)
			to(does("transaction %d sends its prepares", i), t)
		}
		return
	}
	if !m.locked && (!other.shared || !k.has(sharedRule)) && (s.lease[1-i] == 0 || !k.has(clearRule)) {
		t := s
		t.txns[i].locked = true
		to(does("transaction %d locks key %d", i, i), t)
	}
	needsLock := !k.leased[i] && k.has(sharedRule)
	if needsLock && !m.shared && !other.locked && (s.version[1-i] == m.saw || !k.has(versionRule)) {
		t := s
		t.txns[i].shared = true
		to(does("transaction %d locks what it read of key %d", i, 1-i), t)
	}
	if !m.locked || needsLock && !m.shared {
		return
	}
	if m.valid || k.validates(&s, i) {
		t := s
		t.txns[i].phase = decided
		to(does("transaction %d has all locks and decides to commit", i), t)
	}
}

// validates reports whether the leased read of transaction i is still valid.
func (k *skewSystem) validates(s *skewState, i uint8) bool {
	m := &s.txns[i]
	return m.by == 0 || s.lease[i] == m.by || s.lease[i] != 0 && !k.has(sameRule)
}
