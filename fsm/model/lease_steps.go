package model

func (l *leaseSystem) steps(s leaseState, emit func(act, leaseState)) {
	to := func(a act, t leaseState) { emit(a, l.settle(t)) }
	to(does("a tick"), tick(s))
	if s.term < l.terms {
		t := s
		if t.term++; l.commit(&t, entry{kind: termStart, cleared: t.term}) {
			to(does("node %d is elected in term %d, its TermStart commits", uint8(leader(t.term)), t.term), t)
		}
	}
	for i := range uint8(2) {
		n := &s.nodes[i]
		if n.behind > 0 {
			l.applyNext(s, i, to)
		}
		if l.resets && !s.leads(int(i)) {
			l.reset(s, i, to)
		}
		if s.leads(int(i)) {
			l.commits(s, i, to)
		}
		if n.term != 0 {
			if s.leads(int(i)) || l.willLead(s.term, int(i)) {
				l.writesOf(s, i, to)
				l.grantsOf(s, i, to)
			}
			l.renews(s, i, to)
		}
	}
	l.edge(s, to)
}

// tick increases all ages. What is as old as a lease term can renew nothing any more, and is dropped.
func tick(s leaseState) leaseState {
	older := func(age uint8) uint8 { return min(age+1, ttl) }
	if s.expiry > 0 {
		s.expiry--
	}
	copy(s.keepAlive[1:], s.keepAlive[:])
	s.keepAlive[0] = 0
	s.renewing = s.renewing << 1 & (1<<ttl - 1)
	for i := range s.nodes {
		n := &s.nodes[i]
		if n.term != 0 {
			n.extended = older(n.extended)
		}
		if n.suspected != 0 {
			n.suspected = min(n.suspected+1, ttl+1)
		}
		if n.held {
			if n.sent = older(n.sent); n.sent == ttl {
				n.ticket = ticket{}
			}
			if n.held {
				n.received = older(n.received)
			}
		}
	}
	return s
}

// applyNext lets node i apply its next entry.
func (l *leaseSystem) applyNext(s leaseState, i uint8, to func(act, leaseState)) {
	n := &s.nodes[i]
	e := s.log[s.entries-n.behind]
	n.behind--
	l.apply(&n.machine, e)
	switch e.kind {
	case termStart:
		l.newTerm(n, i, e.cleared)
	case suspected:
		if n.suspected == 0 {
			n.suspected = 1
		}
		n.judging = false
	case unsuspected:
		if l.has(eraseRule) {
			n.suspected = 0
		}
		n.judging, n.noRenew, n.waits = false, false, false
	}
	s.forget()
	to(does([...]string{
		termStart:   "node %d applies the TermStart",
		write:       "node %d applies a write",
		grant:       "node %d applies a grant",
		suspected:   "node %d applies Suspect",
		unsuspected: "node %d applies Unsuspect",
	}[e.kind], i), s)
}

// newTerm ends what a node knew as a leader, and begins its term if it leads.
func (l *leaseSystem) newTerm(n *node, i, term uint8) {
	began := lead{term: term}
	if !l.has(waitRule) {
		began.extended = ttl
	}
	switch mine := leader(term) == int(i); {
	case !l.has(freshRule) && n.term != 0:
		if mine {
			n.term = term
		}
	case mine:
		n.lead, n.ticket = began, ticket{}
	default:
		n.lead, n.ticket = lead{}, ticket{}
	}
}

// reset adds the steps in which a replica that does not lead gets a snapshot or restarts. In both cases it loses what it knew of
// time.
func (l *leaseSystem) reset(s leaseState, i uint8, to func(act, leaseState)) {
	n := s.nodes[i]
	restarted := s
	restarted.nodes[i] = node{machine: n.machine, behind: n.behind}
	to(does("node %d restarts", i), restarted)
	if n.behind == 0 {
		return
	}
	n.machine, n.behind = s.machine, 0
	n.lead, n.ticket = lead{}, ticket{}
	if l.has(anewRule) {
		n.suspected = 0
	}
	s.nodes[i] = n
	s.forget()
	to(does("node %d installs a snapshot", i), s)
}

// commits adds the steps in which a proposal of node i gets into the log, or the machine refuses it.
func (l *leaseSystem) commits(s leaseState, i uint8, to func(act, leaseState)) {
	n := &s.nodes[i]
	if n.write.kind != 0 {
		l.commitWrite(s, i, to)
	}
	if n.grant.kind != 0 && s.grants < l.grants {
		l.commitGrant(s, i, to)
	}
	if n.judge.kind != 0 {
		l.commitJudge(s, i, to)
	}
}

// fenced reports whether the machine refuses a command that was proposed in another term.
func (l *leaseSystem) fenced(s *leaseState, p proposal) bool {
	return p.term != s.term && l.has(termRule)
}

func (l *leaseSystem) commitWrite(s leaseState, i uint8, to func(act, leaseState)) {
	n := &s.nodes[i]
	p := n.write
	n.write = proposal{}
	held := s.lease[p.key] > p.cleared && !p.killed && l.has(checkRule)
	switch {
	case l.fenced(&s, p) || held:
		to(does("node %d: the write of key %d is refused", i, p.key), s)
	case l.commit(&s, p.entry):
		if n.term == p.term {
			n.writing, n.cleared, n.killed = 0, 0, false
		}
		to(does("node %d: the write of key %d COMMITS", i, p.key), s)
	}
}

func (l *leaseSystem) commitGrant(s leaseState, i uint8, to func(act, leaseState)) {
	p := s.nodes[i].grant
	s.nodes[i].grant = proposal{}
	id := s.grants + 1
	p.cleared = id
	switch {
	case l.fenced(&s, p) || s.session != live:
		to(does("node %d: the grant of key %d is refused", i, p.key), s)
	case l.commit(&s, p.entry):
		s.grants, s.key[id] = id, p.key
		s.granting |= 1 << id
		if p.stale {
			s.stale |= 1 << id
		}
		to(does("node %d: the grant of key %d COMMITS as lease %d", i, p.key, id), s)
	}
}

func (l *leaseSystem) commitJudge(s leaseState, i uint8, to func(act, leaseState)) {
	n := &s.nodes[i]
	p := n.judge
	n.judge = proposal{}
	switch {
	case l.fenced(&s, p) || s.session == dead:
		if n.term == p.term {
			if n.judging = false; n.waits {
				n.ticket = ticket{}
			}
		}
		to(does("node %d: Suspect or Unsuspect is refused", i), s)
	case l.commit(&s, p.entry):
		to(does([...]string{suspected: "node %d: Suspect COMMITS", unsuspected: "node %d: Unsuspect COMMITS"}[p.kind], i), s)
	}
}
