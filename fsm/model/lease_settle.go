package model

// settle removes from a state what can have no further effect, so that states that differ only in that are equal.
func (l *leaseSystem) settle(s leaseState) leaseState {
	if l.keep {
		return s
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		if !s.leads(i) && !l.willLead(s.term, i) {
			// A deposed leader matters only in how it answers keep-alives.
			*n = node{machine: machine{session: n.session}, lead: n.lead, behind: n.behind, ticket: n.ticket}
			n.lead = lead{term: n.term, refused: n.refused, noRenew: n.noRenew}
			if !n.held && l.has(confirmRule) || n.term == 0 {
				*n = node{}
			}
			continue
		}
		if n.writing != 0 && n.lease[n.writing-1] > n.cleared {
			n.cleared = 0
		}
		for n.behind > 0 && l.soon(s.log[s.entries-n.behind]) {
			l.apply(&n.machine, s.log[s.entries-n.behind])
			n.behind--
		}
	}
	s.forget()
	for id := uint8(1); id <= s.grants; id++ {
		bit, k := uint8(1)<<id, s.key[id]
		if l.has(fenceRule) && id <= s.fence[k] || id <= s.cached[k] {
			s.granting &^= bit
		}
		if s.lease[k] != id && s.nodes[0].lease[k] != id && s.nodes[1].lease[k] != id {
			// No write waits for it. Its revocation would only take from the edge a lease to which the edge has no right.
			s.acking &^= bit
			s.revoking &^= bit
		}
	}
	for age := range uint8(ttl) {
		if l.has(sendRule) && ttl-age <= s.expiry {
			s.renewing &^= 1 << age
		}
	}
	return s
}

// soon reports whether a replica applies the entry before anything else happens. Without the bound lag that is every entry that
// does not depend on time.
func (l *leaseSystem) soon(e entry) bool { return !l.lag && (e.kind == write || e.kind == grant) }

// willLead reports whether node i may lead in a later term.
func (l *leaseSystem) willLead(term uint8, i int) bool {
	for t := term + 1; t <= l.terms; t++ {
		if leader(t) == i {
			return true
		}
	}
	return false
}
