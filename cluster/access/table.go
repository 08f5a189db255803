package access

import (
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Place is the node at which rights are judged.
type Place struct {
	Node   api.NodeID
	Region api.RegionID
	Role   api.Role
}

// Source is what a table is made from.
type Source struct {
	Roll *placement.Roll // nil is an empty one
	// Open means that an anonymous client may do everything unless there is a policy for it: the cluster speaks plain.
	Open bool
	// MaxAge is how old the roll may be; 0 is any age.
	MaxAge time.Duration
}

// Table is one revision of the roll, ready to be asked. It does not change.
type Table struct {
	Revision uint64

	number    uint64 // counts the tables of a warden
	source    Source
	maxAge    time.Duration // 0: the age does not matter
	policies  map[string]placement.Policy
	tokens    map[placement.TokenID]*token
	anonymous *token
}

// token is what a table knows of a principal.
type token struct {
	placement.AccessToken
	here   bool // it is valid at this node
	admin  bool // it may administer the cluster
	audit  bool // its access to keys is written to the audit log
	bucket *bucket
	rules  []placement.Rule
	rights func() *rights // compiled when they are first asked for
}

// anonymousPolicy is the name of the policy of clients without a token.
const anonymousPolicy = "anonymous"

// newTable compiles a table for a node. Buckets of tokens whose limits stay the same are those of the table before, which may be
// nil.
func newTable(s Source, at Place, before *Table) *Table {
	source, number := s, uint64(1)
	if before != nil {
		number = before.number + 1
	}
	if s.Roll == nil {
		s.Roll = &placement.Roll{}
	}
	t := &Table{
		Revision: s.Roll.Revision, number: number, source: source, maxAge: s.MaxAge,
		policies: map[string]placement.Policy{}, tokens: make(map[placement.TokenID]*token, len(s.Roll.Tokens)),
	}
	for _, p := range s.Roll.Policies {
		t.policies[p.Name] = p
	}
	for _, of := range s.Roll.Tokens {
		x := t.principal(of)
		x.here = validAt(of.At, at) && (at.Role == api.RoleServer || !x.admin)
		x.bucket = newBucket(of.Ops, of.Bytes)
		if before != nil {
			if old := before.tokens[of.ID]; old != nil && old.Ops == of.Ops && old.Bytes == of.Bytes {
				x.bucket = old.bucket
			}
		}
		t.tokens[of.ID] = x
	}
	t.anonymous = t.anonymousAt(s.Open)
	if s.Open && len(s.Roll.Tokens) == 0 && len(s.Roll.Policies) == 0 {
		t.maxAge = 0 // nothing was ever granted that could be taken back
	}
	return t
}

// principal returns a token with the rights of its policies.
func (t *Table) principal(of placement.AccessToken) *token {
	var all []placement.Policy
	x := &token{AccessToken: of}
	for _, name := range of.Policies {
		if p, ok := t.policy(name); ok {
			all = append(all, p)
			x.rules = append(x.rules, p.Rules...)
			x.admin, x.audit = x.admin || p.Admin, x.audit || p.Audit
		}
	}
	x.rights = sync.OnceValue(func() *rights { return compile(all) })
	return x
}

func (t *Table) policy(name string) (placement.Policy, bool) {
	if p, ok := placement.BuiltInPolicy(name); ok {
		return p, true
	}
	p, ok := t.policies[name]
	return p, ok
}

func (t *Table) anonymousAt(open bool) *token {
	if _, ok := t.policies[anonymousPolicy]; ok || !open {
		x := t.principal(placement.AccessToken{Policies: []string{anonymousPolicy}})
		x.here = true
		return x
	}
	return everything(api.RoleServer)
}

// everything is a principal with every right; at an edge there is nothing to administer.
func everything(role api.Role) *token {
	all := &rights{
		starts: []string{""}, on: []mask{of(front.Read, front.List, front.Write)},
		cluster: of(front.Observe, front.Operate, front.Administer),
	}
	if role != api.RoleServer {
		all.cluster = of(front.Observe, front.Operate)
	}
	return &token{here: true, rules: []placement.Rule{{Read: true, List: true, Write: true}}, rights: func() *rights { return all }}
}

// validAt reports whether a token for these regions and nodes is valid at the node; one for none is valid everywhere.
func validAt(places []string, at Place) bool {
	return len(places) == 0 || slices.Contains(places, string(at.Node)) || slices.Contains(places, string(at.Region))
}
