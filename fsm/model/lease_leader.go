package model

// writesOf adds the steps in which a leader revokes, waits until the holder answers or expires, and proposes.
func (l *leaseSystem) writesOf(s leaseState, i uint8, to func(act, leaseState)) {
	n := &s.nodes[i]
	if n.writing == 0 {
		for k := range l.keys {
			t := s
			t.nodes[i].writing = k + 1
			to(does("leader %d begins to write key %d", i, k), t)
		}
		return
	}
	k := n.writing - 1
	id := n.lease[k]
	covered := id <= n.cleared || n.killed
	if !covered {
		if bit := uint8(1) << id; s.revoking&bit == 0 {
			t := s
			t.revoking |= bit
			to(does("leader %d revokes lease %d", i, id), t)
		}
		if n.extended == ttl || n.suspected == ttl+1 {
			t := s
			t.nodes[i].killed = true
			t.nodes[i].refused = l.has(refuseRule)
			to(does("leader %d judges the session expired", i), t)
		}
	}
	for id := uint8(1); id <= s.grants; id++ {
		if s.acking&(1<<id) != 0 && s.key[id] == k && id > n.cleared {
			t := s
			t.acking &^= 1 << id
			t.nodes[i].cleared = id
			to(does("leader %d gets the acknowledgement that lease %d was given up", i, id), t)
		}
	}
	if covered && n.write.kind == 0 {
		t := s
		t.nodes[i].write = proposal{entry: entry{kind: write, key: k, cleared: n.cleared, killed: n.killed}, term: n.term}
		to(does("leader %d proposes the write of key %d", i, k), t)
	}
}

// grantsOf adds the steps in which a leader proposes a grant. It has no latch against its own writes, because the machine must be
// correct without one.
func (l *leaseSystem) grantsOf(s leaseState, i uint8, to func(act, leaseState)) {
	n := &s.nodes[i]
	if n.grant.kind != 0 || s.grants == l.grants || n.session != live || n.refused || n.noRenew {
		return
	}
	for k := range l.keys {
		t := s
		t.nodes[i].grant = proposal{entry: entry{kind: grant, key: k}, term: n.term}
		to(does("leader %d proposes a grant of key %d", i, k), t)
	}
}

// renews adds the steps in which a leader takes a keep-alive to answer it later, suspects the session, or takes that back.
func (l *leaseSystem) renews(s leaseState, i uint8, to func(act, leaseState)) {
	n := &s.nodes[i]
	if l.suspects && (s.leads(int(i)) || l.willLead(s.term, int(i))) && n.session == live && !n.judging && n.judge.kind == 0 && !n.refused {
		t := s
		t.nodes[i].noRenew = l.has(earlyRule | suspectRule)
		t.nodes[i].judging = true
		t.nodes[i].judge = proposal{entry: entry{kind: suspected}, term: n.term}
		to(does("leader %d proposes Suspect", i), t)
	}
	if n.held {
		l.answers(s, i, to)
		return
	}
	if l.has(confirmRule) && (!s.leads(int(i)) || n.term != s.term) {
		return
	}
	for age := range uint8(ttl) {
		if s.keepAlive[age] == 0 {
			continue
		}
		t := s
		t.keepAlive[age]--
		m := &t.nodes[i]
		m.ticket = ticket{held: true, sent: age}
		if (n.noRenew || n.session == suspect) && l.has(suspectRule) {
			if n.judging || n.judge.kind != 0 || n.refused || n.writing != 0 {
				continue
			}
			m.waits, m.judging = true, true
			m.judge = proposal{entry: entry{kind: unsuspected}, term: n.term}
			to(does("leader %d gets a keep-alive of %d ticks, proposes Unsuspect", i, age), t)
			continue
		}
		if !l.has(recheckRule) && !l.renewable(n) {
			continue
		}
		to(does("leader %d gets a keep-alive of %d ticks and confirms its term", i, age), t)
	}
}

// renewable reports whether the leader may renew, as far as it knows.
func (l *leaseSystem) renewable(n *node) bool {
	return !n.refused && !n.noRenew && (n.session == live || n.session == suspect && !l.has(suspectRule))
}

// answers adds the step in which the answer is sent, the last of all.
func (l *leaseSystem) answers(s leaseState, i uint8, to func(act, leaseState)) {
	n := &s.nodes[i]
	if n.waits {
		return
	}
	t := s
	m := &t.nodes[i]
	m.ticket = ticket{}
	if l.has(recheckRule) && !l.renewable(n) {
		to(does("leader %d does not renew", i), t)
		return
	}
	m.extended = min(m.extended, n.received)
	if l.has(suspectRule) {
		m.suspected = 0
	}
	t.renewing |= 1 << n.sent
	to(does("leader %d renews, for a keep-alive sent %d ticks ago", i, n.sent), t)
}
