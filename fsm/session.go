package fsm

import "github.com/edgehold/edgehold/api"

func errDead(sid api.SessionID) *api.Error {
	return api.Errorf(api.CodeSessionDead, "the session %v is unknown or has ended; open a new one", sid)
}

func (t *tx) setSession(s *Session) { t.set(t.key.session(s.ID), sessionRow(s)) }

func (t *tx) openSession(c *SessionOpen, res *Result) *api.Error {
	switch {
	case c.T <= 0 || c.T > t.meta.MaxTerm || c.P < 0 || c.P > t.meta.MaxPause:
		return api.Errorf(api.CodeInvalid, "a lease term of %v with a pause allowance of %v is outside the group's %v and %v",
			c.T, c.P, t.meta.MaxTerm, t.meta.MaxPause)
	case t.meta.Sessions+t.meta.Ended >= t.limits.sessions:
		return api.Errorf(api.CodeUnavailable, "the group is at its limit of %d sessions", t.limits.sessions)
	}
	s := Session{
		ID:   api.SessionID{Incarnation: t.meta.Incarnation, Index: t.index},
		Node: c.Node, Nonce: c.Nonce, Term: c.T, Pause: c.P,
	}
	t.setSession(&s)
	t.meta.Sessions++
	res.Session = s.ID
	return nil
}

func (t *tx) closeSession(c *SessionClose, res *Result) *api.Error {
	s, ok := t.session(c.Session)
	if !ok {
		return nil
	}
	if s.Nonce != c.Nonce {
		return api.Errorf(api.CodeDenied, "the session %v belongs to another process", c.Session)
	}
	t.end(s)
	res.Effect = Effect{Kind: EffectKilled, Sessions: []api.SessionID{s.ID}}
	return nil
}

func (t *tx) suspect(c *Suspect, res *Result) *api.Error     { return t.mark(c.Session, true, res) }
func (t *tx) unsuspect(c *Unsuspect, res *Result) *api.Error { return t.mark(c.Session, false, res) }

func (t *tx) mark(sid api.SessionID, on bool, res *Result) *api.Error {
	s, ok := t.session(sid)
	if !ok {
		return errDead(sid)
	}
	if s.Suspect != on {
		s.Suspect = on
		t.setSession(&s)
	}
	res.Effect = Effect{Kind: EffectUnsuspect, Sessions: []api.SessionID{sid}}
	if on {
		res.Effect.Kind = EffectSuspect
	}
	return nil
}

func (t *tx) killCommand(c *Kill, res *Result) *api.Error {
	if err := t.tooMany(c.Sessions); err != nil {
		return err
	}
	t.kill(c.Sessions, nil, res)
	return nil
}

// kill ends the sessions for good, with all their leases: a holder that did not answer may still hold every one of them,
// and none may outlive the judgement. written are the keys for whose sake it is done.
func (t *tx) kill(sids []api.SessionID, written []api.Key, res *Result) {
	for _, sid := range sids {
		s, ok := t.session(sid)
		if !ok {
			continue
		}
		if !guardKillWhole {
			for _, k := range written {
				t.drop([]api.DroppedLease{{Session: sid, Key: k, Lease: api.LeaseID(t.index)}})
			}
			continue
		}
		t.end(s)
		res.Effect.Kind = EffectKilled
		res.Effect.Sessions = append(res.Effect.Sessions, sid)
	}
}

// end drops the session and all its leases: in version 1, in the same command.
func (t *tx) end(s Session) {
	if t.rules.endAtOnce {
		t.endAtOnce(&s)
		return
	}
	lo := append([]byte(nil), t.key.held(tableHeld, s.ID, "")...)
	hi := append(append([]byte(nil), lo[:1]...), next(lo[1:])...)
	for from := lo; s.Leases > 0; {
		var keys []api.Key
		t.scan(from, hi, func(k, _ []byte) bool {
			keys = append(keys, api.Key(k[len(lo):]))
			return len(keys) < t.limits.killChunk
		})
		if len(keys) == 0 {
			break
		}
		for _, k := range keys {
			t.unlease(k, s.ID, api.LeaseID(t.index))
		}
		s.Leases -= len(keys)
		from = append(from[:len(lo):len(lo)], keys[len(keys)-1]...) // from the start it would pass again over all that has gone
	}
	t.del(t.key.session(s.ID))
	t.meta.Sessions--
}

// next is the smallest string above all that begin with b, which is not all 255.
func next(b []byte) []byte {
	n := append([]byte(nil), b...)
	for i := len(n) - 1; i >= 0; i-- {
		if n[i]++; n[i] != 0 {
			return n[:i+1]
		}
	}
	return nil
}
