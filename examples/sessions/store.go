package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// Session is what the store keeps for one visitor.
type Session struct {
	User    string    `json:"user"`
	Views   int       `json:"views"`
	Expires time.Time `json:"expires"`
}

// ErrNoSession is returned for a session that was never created, has ended or has expired.
var ErrNoSession = errors.New("there is no such session")

// Store keeps sessions in Edgehold, as seen from one edge. Every Store on the same prefix sees the same sessions: a change
// that has returned at one edge is seen by the next Get at every other. It is safe for concurrent use.
type Store struct {
	client *client.Client
	prefix api.Key       // "us-east/sessions/": the region in which most visitors are owns the keys
	life   time.Duration // from the last Create or Update
}

// Create starts a session and returns its id, which cannot be guessed.
func (s *Store) Create(ctx context.Context, user string) (id string, err error) {
	id = rand.Text()
	return id, s.put(ctx, id, &Session{User: user}, client.IfAbsent())
}

// Get returns a session, and how the read was answered. It is linearizable: while the node holds a lease on the key, the
// node answers without asking the owner, and the answer is as good. [ErrNoSession] if there is none.
func (s *Store) Get(ctx context.Context, id string) (Session, client.Value, error) {
	v, err := s.client.Get(ctx, s.key(id))
	if errors.Is(err, api.CodeNotFound) {
		return Session{}, v, ErrNoSession
	}
	if err != nil {
		return Session{}, v, err
	}
	var session Session
	if err := json.Unmarshal(v.Value, &session); err != nil {
		return Session{}, v, err
	}
	if !time.Now().Before(session.Expires) {
		return Session{}, v, ErrNoSession
	}
	return session, v, nil
}

// Update changes a session and renews it. The write demands the version that was read: if another edge has changed the
// session in between, Update reads again and calls change again, until ctx ends. No change is lost.
func (s *Store) Update(ctx context.Context, id string, change func(*Session)) (Session, error) {
	for {
		session, v, err := s.Get(ctx, id)
		if err != nil {
			return Session{}, err
		}
		change(&session)
		err = s.put(ctx, id, &session, client.IfVersion(v.Version))
		if !errors.Is(err, api.CodePreconditionFailed) {
			return session, err
		}
	}
}

// End ends a session. After End has returned, no edge finds the session. To end it twice is no error.
func (s *Store) End(ctx context.Context, id string) error {
	_, err := s.client.Delete(ctx, s.key(id))
	return err
}

// Sweep deletes the sessions that have expired, and returns how many. A session that is renewed meanwhile stays, since the
// delete demands the version that the list has shown.
func (s *Store) Sweep(ctx context.Context) (swept int, err error) {
	for e, err := range s.client.List(ctx, s.prefix) {
		if err != nil {
			return swept, err
		}
		var session Session
		if err := json.Unmarshal(e.Value, &session); err != nil {
			return swept, err
		}
		if time.Now().Before(session.Expires) {
			continue
		}
		switch _, err := s.client.Delete(ctx, e.Key, client.IfVersion(e.Version)); {
		case err == nil:
			swept++
		case !errors.Is(err, api.CodePreconditionFailed):
			return swept, err
		}
	}
	return swept, nil
}

func (s *Store) key(id string) api.Key { return s.prefix + api.Key(id) }

// put writes a session, which lives from now on, if the condition holds.
func (s *Store) put(ctx context.Context, id string, session *Session, cond client.WriteOption) error {
	session.Expires = time.Now().Add(s.life)
	value, err := json.Marshal(session)
	if err != nil {
		return err
	}
	_, err = s.client.Put(ctx, s.key(id), value, cond)
	return err
}
