package consul

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

const (
	behaviorRelease = "release"
	behaviorDelete  = "delete"

	defaultLockDelay = 15 * time.Second
	maxLockDelay     = time.Minute
	minTTL           = time.Second // Consul's own is 10 s
	maxTTL           = 24 * time.Hour

	// maxSessionBytes bounds the body that creates a session, and maxTextBytes each of its texts.
	maxSessionBytes = 64 << 10
	maxTextBytes    = 1024
	// serfHealth is the one check that a session may have: that of a node, which here does not end sessions.
	serfHealth = "serfHealth"
)

// sessionBody is a session as the protocol has it.
type sessionBody struct {
	ID            string
	Name          string
	Node          string
	LockDelay     time.Duration
	Behavior      string
	TTL           string
	Checks        []string
	NodeChecks    []string
	ServiceChecks []string
	CreateIndex   uint64
	ModifyIndex   uint64
}

func bodyOf(e *api.Entry) sessionBody {
	s := parseSession(e)
	return sessionBody{
		ID: string(e.Key[len(sessions):]), Name: s.Name, Node: s.Node, LockDelay: s.LockDelay, Behavior: s.Behavior, TTL: s.TTL,
		Checks: s.Checks, NodeChecks: s.Checks, CreateIndex: e.Version.Integer(), ModifyIndex: e.Version.Integer(),
	}
}

// checkSessionID refuses what cannot be the id of a session.
func checkSessionID(id string) error {
	if len(id) > maxTextBytes || strings.ContainsRune(id, 0) {
		return refuse(http.StatusBadRequest, "Invalid session %q", short(id))
	}
	return nil
}

// newID returns the id of a new session: a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// parseCreate reads the body of a request that creates a session at the node.
func parseCreate(body []byte, node string) (s session, err error) {
	var in struct {
		Name, Node, Behavior, TTL string
		LockDelay                 any
		Checks, NodeChecks        []string
		ServiceChecks             []struct{ ID string }
	}
	if len(bytes.TrimSpace(body)) > 0 {
		if err := decode(body, &in); err != nil {
			return s, refuse(http.StatusBadRequest, "Request decode failed: %v", err)
		}
	}
	s = session{Name: in.Name, Node: node, TTL: in.TTL, Behavior: behaviorRelease, LockDelay: defaultLockDelay, Checks: []string{serfHealth}}
	if in.Node != "" {
		s.Node = in.Node
	}
	if in.Behavior != "" {
		s.Behavior = in.Behavior
	}
	if in.Checks != nil || in.NodeChecks != nil {
		s.Checks = slices.Concat(in.Checks, in.NodeChecks)
	}
	for _, c := range in.ServiceChecks {
		s.Checks = append(s.Checks, c.ID)
	}
	if in.LockDelay != nil {
		if s.LockDelay, err = lockDelay(in.LockDelay); err != nil {
			return s, refuse(http.StatusBadRequest, "Request decode failed: %v", err)
		}
	}
	return s, s.check()
}

// decode reads JSON that has one value of the kind of v.
func decode(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows the JSON")
	}
	return nil
}

// lockDelay reads a lock-delay: a duration, or a number, which small ones of are seconds and others nanoseconds, as Consul does.
func lockDelay(v any) (d time.Duration, err error) {
	switch x := v.(type) {
	case string:
		if d, err = time.ParseDuration(x); err != nil {
			return 0, err
		}
	case float64:
		if x < 0 || x > float64(24*time.Hour) {
			return 0, fmt.Errorf("lock-delay %v is out of range", x)
		}
		d = time.Duration(x)
	default:
		return 0, fmt.Errorf("lock-delay is neither a duration nor a number")
	}
	if d > 0 && d < 1000 {
		d = time.Duration(int64(d) * int64(time.Second))
	}
	if d <= 0 {
		return 0, nil
	}
	return min(max(d, api.MinTTL), maxLockDelay), nil
}

func (s *session) check() error {
	for _, text := range [4]string{s.Name, s.Node, s.TTL, s.Behavior} {
		if len(text) > maxTextBytes {
			return refuse(http.StatusBadRequest, "Request decode failed: a text of %d bytes is over the limit of %d bytes", len(text), maxTextBytes)
		}
	}
	if s.Behavior != behaviorRelease && s.Behavior != behaviorDelete {
		return refuse(http.StatusInternalServerError, "Invalid Behavior setting '%s'", short(s.Behavior))
	}
	for _, c := range s.Checks {
		if c != serfHealth {
			return refuse(http.StatusInternalServerError, "Missing check '%s' registration", short(c))
		}
	}
	if s.TTL == "" {
		return nil
	}
	switch ttl, err := time.ParseDuration(s.TTL); {
	case err != nil:
		return refuse(http.StatusInternalServerError, "Session TTL '%s' invalid: %v", short(s.TTL), err)
	case ttl != 0 && (ttl < minTTL || ttl > maxTTL):
		return refuse(http.StatusInternalServerError, "Invalid Session TTL '%d', must be between [%v=%v]", ttl, minTTL, maxTTL)
	}
	return nil
}

// createSession answers PUT /v1/session/create. The key of the session expires with it, and that of its lock-delay after that. The marks of
// some that have expired are removed: the index of lists counts this write, which comes after those ends.
func (f *frontend) createSession(q *request) error {
	id := newID()
	if err := f.maySession(q, id); err != nil {
		return err
	}
	body, err := q.exchange.Body(maxSessionBytes, "session")
	if err != nil {
		return err
	}
	s, err := parseCreate(body, string(f.Node))
	if err != nil {
		return err
	}
	value, err := json.Marshal(s)
	if err != nil {
		return &api.Error{Code: api.CodeInternal, Err: err}
	}
	t := &api.Txn{If: []api.Cond{{Kind: api.CondAbsent, Key: sessionKey(id)}}, Then: []api.Op{{Kind: api.OpPut, Key: sessionKey(id), Value: value, TTL: s.ttl()}, {Kind: api.OpPut, Key: madeKey}}}
	if s.ttl() > 0 {
		t.Then = append(t.Then, api.Op{Kind: api.OpPut, Key: sessionKey(id) + expires})
	}
	if s.ttl() > 0 && s.LockDelay > 0 {
		t.Then = append(t.Then, api.Op{Kind: api.OpPut, Key: delayKey(id), TTL: s.ttl() + s.LockDelay})
	}
	for _, ended := range expiredNear(q.exchange.Ctx, q.store, id) {
		t.Then = append(t.Then, api.Op{Kind: api.OpDelete, Key: sessionKey(ended) + expires})
	}
	if res, err := f.do(q.exchange.Ctx, q.store, t); err != nil || !res.Committed {
		return either(err, busy("the id of the session exists"))
	}
	return q.reply(http.StatusOK, struct{ ID string }{id})
}

// maxNear bounds the rows that a new session looks at for marks of sessions that have expired.
const maxNear = 200

// expiredNear returns sessions that have expired, of those whose ids follow that of a new session. Ids are random, so that all come up by
// and by. It returns none if the list fails: then a later session removes their marks.
func expiredNear(ctx context.Context, s front.Caller, id string) []string {
	near := api.PrefixRange(sessions)
	near.Start = sessionKey(id)
	page, err := s.List(ctx, &api.ListRequest{Range: near, Limit: maxNear, KeysOnly: true})
	if err != nil {
		return nil
	}
	_, expired := sessionsOf(page.Entries)
	return expired
}

// sessionsOf returns which entries are sessions, and which sessions have a mark and no key. A mark follows the key of its session.
func sessionsOf(entries []api.Entry) (there []*api.Entry, expired []string) {
	last := ""
	for i := range entries {
		id, ok := strings.CutPrefix(string(entries[i].Key), sessions)
		marked := strings.HasSuffix(id, expires)
		switch id = strings.TrimSuffix(id, expires); {
		case !ok:
		case !marked:
			there, last = append(there, &entries[i]), id
		case id != last:
			expired = append(expired, id)
		}
	}
	return there, expired
}

func either(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// maySession checks the rights to change a session.
func (f *frontend) maySession(q *request, id string) error {
	for _, k := range [4]api.Key{sessionKey(id), delayKey(id), deletedKey, madeKey} {
		for _, r := range [2]front.Right{front.Read, front.Write} {
			if err := f.MayKey(q.exchange.Base, "txn", r, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// change reads a session and carries out the steps that it asks for, if it still is as it was. It returns nil if there is no such session.
func (f *frontend) change(q *request, steps func(e *api.Entry, s session) []api.Op) (*api.Entry, error) {
	if err := either(checkSessionID(q.name), f.maySession(q, q.name)); err != nil {
		return nil, err
	}
	k, ctx := sessionKey(q.name), q.exchange.Ctx
	for range maxTries {
		var out api.ReadResult
		if err := q.store.Read(ctx, &api.ReadRequest{Keys: []api.Key{k}}, &out); err != nil {
			return nil, err
		}
		e := out.Entries[0]
		if !e.Exists {
			return nil, nil
		}
		ops := steps(&e, parseSession(&e))
		if len(ops) == 0 {
			return &e, nil
		}
		res, err := f.do(ctx, q.store, &api.Txn{If: []api.Cond{{Kind: api.CondVersion, Key: k, Version: e.Version}, {Kind: api.CondExists, Key: k}}, Then: ops})
		if err != nil {
			return nil, err
		}
		if res.Committed {
			return &e, nil
		}
	}
	return nil, busy("the session changes too often")
}

// destroySession answers PUT /v1/session/destroy/ID. The lock-delay begins with it.
func (f *frontend) destroySession(q *request) error {
	_, err := f.change(q, func(e *api.Entry, s session) []api.Op {
		id := string(e.Key[len(sessions):])
		after := api.Op{Kind: api.OpDelete, Key: delayKey(id)}
		if s.LockDelay > 0 {
			after = api.Op{Kind: api.OpPut, Key: delayKey(id), TTL: s.LockDelay}
		}
		return []api.Op{{Kind: api.OpDelete, Key: e.Key}, {Kind: api.OpDelete, Key: e.Key + expires}, after, {Kind: api.OpPut, Key: deletedKey}}
	})
	return answerOf(q, true, err)
}

// renewSession answers PUT /v1/session/renew/ID.
func (f *frontend) renewSession(q *request) error {
	e, err := f.change(q, func(e *api.Entry, s session) []api.Op {
		if s.ttl() <= 0 {
			return nil
		}
		ops := []api.Op{{Kind: api.OpTouch, Key: e.Key, TTL: s.ttl()}}
		if s.LockDelay > 0 {
			ops = append(ops, api.Op{Kind: api.OpTouch, Key: delayKey(q.name), TTL: s.ttl() + s.LockDelay})
		}
		return ops
	})
	switch {
	case err != nil:
		return err
	case e == nil:
		return refuse(http.StatusNotFound, "Session id '%s' not found", short(q.name))
	}
	return q.reply(http.StatusOK, []sessionBody{bodyOf(e)})
}

// sessionInfo answers GET /v1/session/info/ID.
func (f *frontend) sessionInfo(q *request) error {
	if err := checkSessionID(q.name); err != nil {
		return err
	}
	k := sessionKey(q.name)
	return f.query(q, point(k), func(ctx context.Context) (*answer, error) {
		var out api.ReadResult
		if err := q.store.Read(ctx, &api.ReadRequest{Keys: []api.Key{k}, Consistency: q.consistency}, &out); err != nil {
			return nil, err
		}
		e := out.Entries[0]
		return &answer{index: e.Version.Integer(), age: out.Age, send: func() error {
			found := []sessionBody{}
			if e.Exists {
				found = append(found, bodyOf(&e))
			}
			return q.reply(http.StatusOK, found)
		}}, nil
	})
}

// listSessions answers GET /v1/session/list and /v1/session/node/NODE. The index rises when a session is made, is destroyed or expires.
func (f *frontend) listSessions(q *request) error {
	return f.query(q, api.PrefixRange(sessions), func(ctx context.Context) (*answer, error) {
		for range maxScans {
			x, err := scan(ctx, q.store, &scanRequest{ranges: []api.Range{point(madeKey), api.PrefixRange(sessions)}, consistency: q.consistency})
			if err != nil {
				return nil, err
			}
			there, expired := sessionsOf(x.entries)
			ends, err := endsOf(ctx, q.store, q.consistency, expired)
			if err != nil {
				return nil, err
			}
			if len(ends) == len(expired) {
				return q.sessions(x, there, ends), nil
			}
		}
		return nil, busy("the replicas that answer are at different instants")
	})
}

// sessions makes an answer of a list of sessions. Its index is that of the last session that was made, was destroyed or expired.
func (q *request) sessions(x *scanned, there []*api.Entry, ends []api.Entry) *answer {
	a := &answer{index: x.deleted.Version.Integer(), age: x.age}
	for i := range x.entries {
		a.index = max(a.index, x.entries[i].Version.Integer())
	}
	for i := range ends {
		if guardSessionEnds {
			a.index = max(a.index, ends[i].Version.Integer())
		}
	}
	found := []sessionBody{}
	for _, e := range there {
		if b := bodyOf(e); q.name == "" || b.Node == q.name {
			found = append(found, b)
		}
	}
	a.send = func() error { return q.reply(http.StatusOK, found) }
	return a
}
