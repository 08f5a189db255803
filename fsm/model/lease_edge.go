package model

// edge adds the steps of the edge, which holds the leases.
func (l *leaseSystem) edge(s leaseState, to func(act, leaseState)) {
	under := uint8(0)
	for _, n := range s.keepAlive {
		under += n
	}
	if under < l.keepAlives {
		t := s
		t.keepAlive[0]++
		to(does("the edge sends a keep-alive"), t)
	}
	for age := range uint8(ttl) {
		if s.renewing&(1<<age) != 0 {
			t := s
			t.renewing &^= 1 << age
			t.expiry = max(t.expiry, ttl-age)
			if !l.has(sendRule) {
				t.expiry = ttl
			}
			to(does("the edge gets the answer to its keep-alive of %d ticks ago", age), t)
		}
	}
	for id := uint8(1); id <= s.grants; id++ {
		bit := uint8(1) << id
		k := s.key[id]
		if s.granting&bit != 0 {
			t := s
			t.granting &^= bit
			if (!l.has(fenceRule) || id > s.fence[k]) && id > s.cached[k] {
				t.cached[k] = id
				to(does("the edge installs lease %d on key %d", id, k), t)
			} else {
				to(does("the edge refuses lease %d", id), t)
			}
		}
		if s.revoking&bit != 0 {
			t := s
			t.revoking &^= bit
			t.acking |= bit
			t.fence[k] = max(t.fence[k], id)
			if t.cached[k] <= id {
				t.cached[k] = 0
			}
			to(does("the edge gives lease %d up and says so", id), t)
		}
	}
}
