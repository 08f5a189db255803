package access

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

// roll is a roll under construction.
type roll struct{ placement.Roll }

func (r *roll) policy(p placement.Policy) { r.Policies = append(r.Policies, p); r.Revision++ }

// token adds a token with the policies and returns its text.
func (r *roll) token(t *testing.T, name string, policies ...string) string {
	t.Helper()
	return r.add(t, placement.AccessToken{Name: name, Policies: policies})
}

func (r *roll) add(t *testing.T, a placement.AccessToken) string {
	t.Helper()
	secret, err := NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hash := secret.Hash()
	a.ID, a.Hashes = secret.ID, append([][]byte{hash[:]}, a.Hashes...)
	r.Tokens = append(r.Tokens, a)
	r.Revision++
	return secret.Secret().Reveal()
}

// now returns a copy that does not change with r.
func (r *roll) now() *placement.Roll {
	c := r.Roll
	c.Tokens = append([]placement.AccessToken(nil), r.Tokens...)
	c.Policies = append([]placement.Policy(nil), r.Policies...)
	return &c
}

// server is a place at which every token may be valid.
var server = Place{Node: "us-east-1", Region: "us-east", Role: api.RoleServer}

// warden returns a warden at the place that has just heard the roll of a cluster that is not open.
func warden(r *roll, at Place, change ...func(*Config)) *Warden {
	c := Config{At: at, Now: func() time.Duration { return 0 }}
	for _, f := range change {
		f(&c)
	}
	w := NewWarden(c)
	w.Update(Source{Roll: r.now(), MaxAge: time.Hour})
	w.Heard(c.Now(), 0)
	return w
}

// rules returns a policy with one rule for each prefix.
func rules(name string, rule placement.Rule, prefixes ...api.Key) placement.Policy {
	p := placement.Policy{Name: name}
	for _, k := range prefixes {
		rule.Prefix = k
		p.Rules = append(p.Rules, rule)
	}
	return p
}
