package model

// The lease core, over changes of the leader.

// leaseRules are the rules that the lease core relies on. Each can be broken by itself.
type leaseRules uint32

const (
	// confirmRule: a keep-alive is answered only after a confirm of the term that began after the keep-alive arrived.
	confirmRule leaseRules = 1 << iota
	// recheckRule: reasons against a renewal are checked when the answer is sent, not when the keep-alive arrived.
	recheckRule
	// fenceRule: the edge installs only grants that are newer than the newest revocation it has handled.
	fenceRule
	// killRule: a leader that clears a lease by expiry ends the whole session.
	killRule
	// refuseRule: a session that was judged expired is never renewed again in that term.
	refuseRule
	// applyRule: a grant returns what the key holds at the grant's place in the log.
	applyRule
	// waitRule: a new leader treats every session as extended when its TermStart was applied.
	waitRule
	// sendRule: the holder counts from when it sent the keep-alive.
	sendRule
	// checkRule: the machine refuses a write while a lease on its key is neither cleared nor killed.
	checkRule
	// termRule: the machine refuses what was judged in another term.
	termRule
	// freshRule: nothing that a leader knew in an older term is used in a later one.
	freshRule
	// suspectRule: a SUSPECT session is not renewed.
	suspectRule
	// earlyRule: a session is not renewed from the moment before the Suspect is proposed, not only after the leader applied it.
	earlyRule
	// eraseRule: Unsuspect erases the time that a replica counts from.
	eraseRule
	// anewRule: after it installed a snapshot, a replica counts anew.
	anewRule
)

// leaseBounds keep the number of states finite. Time has no bound: only ages count, and they count up to the lease term. Writes
// have no bound either: of a version it matters only whether it is the newest.
type leaseBounds struct {
	keys       uint8
	grants     uint8 // in total; leases are numbered by them
	terms      uint8 // 1: no election; 2: node 1 is elected; 3: node 0 is elected again
	keepAlives uint8 // under way at a time
	behind     uint8 // entries that a replica may be behind
	suspects   bool  // leaders may suspect the session, and take it back, any number of times
	resets     bool  // replicas that do not lead may install snapshots and restart, any number of times
	held       bool  // the edge holds the first lease from the start
	lag        bool  // replicas apply writes and grants at their own pace too, not only Suspect, Unsuspect and TermStart
}

// leaseSystem is one group of two replicas that can lead, one edge with one session, and a log that never loses an entry: every
// entry in it is committed. Messages may be lost and overtake each other. Each replica applies the log at its own pace. A deposed
// leader does not know that it is deposed until it applies the next TermStart.
type leaseSystem struct {
	leaseBounds
	broken leaseRules
	all    bool // check every invariant, not only NoStale
	keep   bool // do not settle: keep all state
}

var _ system[leaseState] = (*leaseSystem)(nil)

const (
	maxKeys   = 2
	maxGrants = 3
	maxLag    = 4

	ttl = 2 // the lease term and the grantor's wait, in ticks
)

// machine is a group's state at some index.
type machine struct {
	lease   [maxKeys]uint8 // the lease's number; 0 is none
	session uint8
}

const (
	live uint8 = iota
	suspect
	dead
)

// entry is a committed command.
type entry struct {
	kind    uint8
	key     uint8
	cleared uint8 // of a write: the lease that was given up; of a TermStart: its term; of a grant: the lease
	killed  bool
}

const (
	termStart uint8 = iota + 1
	write
	grant
	suspected
	unsuspected
)

// proposal is a command on its way into the log. Kind 0 is none.
type proposal struct {
	entry
	term  uint8
	stale bool // of a grant: the key was written since it was proposed
}

// lead is what a leader knows of its term. Term 0 means that the node does not lead.
type lead struct {
	term     uint8
	extended uint8 // how long ago the session was extended, up to ttl
	refused  bool
	noRenew  bool
	judging  bool  // a Suspect or Unsuspect is on its way
	writing  uint8 // the key being written, plus 1
	cleared  uint8
	killed   bool
}

// ticket is a keep-alive that a leader is about to answer.
type ticket struct {
	held     bool
	waits    bool // for its Unsuspect
	sent     uint8
	received uint8 // how long ago
}

// node is one replica.
type node struct {
	machine
	lead
	behind    uint8 // entries committed and not yet applied
	suspected uint8 // one more than how long ago it applied the Suspect, up to ttl; 0: it counts from none
	ticket
	write, grant, judge proposal
}

// leaseState is the group, the part of its log that a replica has yet to apply, the edge, and the messages under way.
type leaseState struct {
	machine // with every committed entry
	term    uint8
	log     [maxLag]entry
	entries uint8
	nodes   [2]node

	expiry uint8 // how long the edge may still use its leases
	cached [maxKeys]uint8
	fence  [maxKeys]uint8

	grants    uint8
	key       [maxGrants + 1]uint8 // of each lease
	stale     uint8                // leases whose key was written since they were granted: bits
	granting  uint8                // leases whose grant is on its way to the edge: bits
	revoking  uint8                // leases whose revocation is on its way to the edge: bits
	acking    uint8                // leases whose acknowledgement is on its way back: bits
	keepAlive [ttl]uint8           // how many are on their way, by age
	renewing  uint8                // answers on their way, by the keep-alive's age: bits
}

func (l *leaseSystem) has(r leaseRules) bool { return l.broken&r == 0 }

func (l *leaseSystem) start() leaseState {
	s := leaseState{term: 1, expiry: ttl}
	s.nodes[0].term = 1
	if l.held {
		s.grants, s.cached[0], s.lease[0] = 1, 1, 1
		s.nodes[0].lease[0], s.nodes[1].lease[0] = 1, 1
	}
	return s
}

// leader returns the node that leads in the term, even if the others do not know it yet.
func leader(term uint8) int { return int(term-1) % 2 }

// leads reports whether node i leads now.
func (s *leaseState) leads(i int) bool { return leader(s.term) == i }

// wrong checks only NoStale, so that the trace of a broken rule shows its effect, or every invariant if all is set.
func (l *leaseSystem) wrong(s leaseState) string {
	for k := range l.keys {
		c := s.cached[k]
		if c == 0 || s.expiry == 0 {
			continue
		}
		if s.stale&(1<<c) != 0 {
			return does("NoStale: the edge serves key %d under lease %d, and the key was written since", k, c).String()
		}
		if l.all && s.lease[k] < c {
			return does("Superset: the edge uses lease %d on key %d, the machine has %d", c, k, s.lease[k]).String()
		}
	}
	if l.all && s.session == dead && (s.expiry > 0 || s.lease != [maxKeys]uint8{}) {
		return "KillWhole: the session is dead, and leases of it live"
	}
	return ""
}

// apply carries out an entry. The machine has no clock.
func (l *leaseSystem) apply(m *machine, e entry) {
	switch e.kind {
	case write:
		if e.killed && l.has(killRule) {
			m.session, m.lease = dead, [maxKeys]uint8{}
		}
		if e.killed || m.lease[e.key] <= e.cleared || l.broken&checkRule != 0 {
			m.lease[e.key] = 0
		}
	case grant:
		m.lease[e.key] = e.cleared
	case suspected:
		m.session = suspect
	case unsuspected:
		m.session = live
	}
}

// commit appends an entry. ok is false if a replica would be too far behind.
func (l *leaseSystem) commit(s *leaseState, e entry) (ok bool) {
	if s.entries == l.behind {
		return false
	}
	s.log[s.entries] = e
	s.entries++
	l.apply(&s.machine, e)
	for i := range s.nodes {
		s.nodes[i].behind++
	}
	if e.kind == write {
		for id := uint8(1); id <= s.grants; id++ {
			if s.key[id] == e.key {
				s.stale |= 1 << id
			}
		}
		for i := range s.nodes {
			if g := &s.nodes[i].grant; g.kind != 0 && g.key == e.key && !l.has(applyRule) {
				g.stale = true
			}
		}
	}
	return true
}

// forget drops the entries that all replicas have applied.
func (s *leaseState) forget() {
	for s.entries > max(s.nodes[0].behind, s.nodes[1].behind) {
		copy(s.log[:], s.log[1:])
		s.entries--
		s.log[s.entries] = entry{}
	}
}
