package fsm

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Session is a session that is not dead.
type Session struct {
	ID    ident.SessionID
	Node  api.NodeID
	Nonce ident.Nonce
	// Term (T) and Pause (P) are the holder's own.
	Term, Pause time.Duration
	Suspect     bool
	// Leases counts what it holds.
	Leases int
}

const kindSessionOpen kind = 5

// SessionOpen opens a session: Result.Session.
type SessionOpen struct {
	Node  api.NodeID
	Nonce ident.Nonce
	T, P  time.Duration
}

func (SessionOpen) kind() kind { return kindSessionOpen }

func (c SessionOpen) put(w *codec.Writer) {
	w.Text(string(c.Node))
	w.Raw(c.Nonce[:])
	w.Duration(c.T)
	w.Duration(c.P)
}

func readSessionOpen(r *codec.Reader) SessionOpen {
	return SessionOpen{r.Node(), r.Array16(), r.Duration(), r.Duration()}
}

func (t *tx) openSession(c *SessionOpen, res *Result) *api.Error {
	switch {
	case c.T <= 0 || c.T > t.meta.MaxTerm || c.P < 0 || c.P > t.meta.MaxPause:
		return api.Errorf(api.CodeInvalid, "a lease term of %v with a pause allowance of %v is outside the group's %v and %v",
			c.T, c.P, t.meta.MaxTerm, t.meta.MaxPause)
	case t.meta.Sessions+t.meta.Ended >= t.limits.sessions:
		return api.Errorf(api.CodeUnavailable, "the group is at its limit of %d sessions", t.limits.sessions)
	}
	s := Session{
		ID:   ident.SessionID{Incarnation: t.meta.Incarnation, Index: t.index},
		Node: c.Node, Nonce: c.Nonce, Term: c.T, Pause: c.P,
	}
	t.setSession(&s)
	t.meta.Sessions++
	res.Session = s.ID
	return nil
}

const kindSessionClose kind = 6

// SessionClose ends a session whose holder has stopped using it. One that is unknown has ended already.
type SessionClose struct {
	Session ident.SessionID
	Nonce   ident.Nonce
}

func (SessionClose) kind() kind            { return kindSessionClose }
func (c SessionClose) put(w *codec.Writer) { putSession(w, c.Session); w.Raw(c.Nonce[:]) }

func readSessionClose(r *codec.Reader) SessionClose {
	return SessionClose{readSessionID(r), r.Array16()}
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
	res.Effect = Effect{Kind: EffectKilled, Sessions: []ident.SessionID{s.ID}}
	return nil
}

const kindSuspect kind = 7

// Suspect marks a session that no leader may renew until an Unsuspect.
type Suspect struct {
	Term    api.Term
	Session ident.SessionID
}

func (Suspect) kind() kind                               { return kindSuspect }
func (c Suspect) judgedIn() api.Term                     { return c.Term }
func (c Suspect) put(w *codec.Writer)                    { w.Uint(uint64(c.Term)); putSession(w, c.Session) }
func readSuspect(r *codec.Reader) Suspect                { return Suspect{api.Term(r.Uint()), readSessionID(r)} }
func (t *tx) suspect(c *Suspect, res *Result) *api.Error { return t.mark(c.Session, true, res) }

const kindUnsuspect kind = 8

// Unsuspect makes a session renewable again.
type Unsuspect struct {
	Term    api.Term
	Session ident.SessionID
}

func (Unsuspect) kind() kind                                 { return kindUnsuspect }
func (c Unsuspect) judgedIn() api.Term                       { return c.Term }
func (c Unsuspect) put(w *codec.Writer)                      { w.Uint(uint64(c.Term)); putSession(w, c.Session) }
func readUnsuspect(r *codec.Reader) Unsuspect                { return Unsuspect{api.Term(r.Uint()), readSessionID(r)} }
func (t *tx) unsuspect(c *Unsuspect, res *Result) *api.Error { return t.mark(c.Session, false, res) }

func (t *tx) mark(sid ident.SessionID, on bool, res *Result) *api.Error {
	s, ok := t.session(sid)
	if !ok {
		return errDead(sid)
	}
	if s.Suspect != on {
		s.Suspect = on
		t.setSession(&s)
	}
	res.Effect = Effect{Kind: EffectUnsuspect, Sessions: []ident.SessionID{sid}}
	if on {
		res.Effect.Kind = EffectSuspect
	}
	return nil
}

func errDead(sid ident.SessionID) *api.Error {
	return api.Errorf(api.CodeSessionDead, "the session %v is unknown or has ended; open a new one", sid)
}

func sessionRow(s *Session) []byte {
	w := codec.Writer{B: make([]byte, 0, 48+len(s.Node))}
	w.Text(string(s.Node))
	w.Raw(s.Nonce[:])
	w.Duration(s.Term)
	w.Duration(s.Pause)
	w.Bool(s.Suspect)
	w.Uint(uint64(s.Leases))
	return w.B
}

func readSession(r *codec.Reader) Session {
	return Session{
		Node: api.NodeID(r.Text(codec.MaxNameBytes)), Nonce: r.Array16(), Term: r.Duration(), Pause: r.Duration(),
		Suspect: r.Bool(), Leases: readLimit(r),
	}
}

func (v *view) session(sid ident.SessionID) (Session, bool) {
	row, ok := v.get(v.key.session(sid))
	if !ok {
		return Session{}, false
	}
	s := parse(row, readSession)
	s.ID = sid
	return s, true
}

func (t *tx) setSession(s *Session) { t.set(t.key.session(s.ID), sessionRow(s)) }
