package api

import (
	"bytes"
	"context"
	"encoding/json"
	"time"
	"unicode/utf8"
)

// Access is what administrators ask about the tokens of clients and about policies. Servers answer it. A change is carried out at
// once; it then waits, for at most wait, until every node of the cluster judges by it, and reports which do not yet. CodeConflict if
// the cluster speaks plain outside loopback, where a token would be no secret, or is at a level without tokens.
type Access interface {
	// AccessTokens lists the tokens, without their secrets, in order of name. If at is not "", only those that were shown to that
	// node since it started; CodeUnavailable if it does not answer.
	AccessTokens(ctx context.Context, at NodeID) ([]AccessToken, error)
	// CreateAccessToken makes a token. The answer is the only place where its secret is ever shown. CodeInvalid for a spec that makes
	// no sense, CodeConflict for a name that is taken, CodeNotFound for a policy that does not exist, CodeTooLarge at a limit.
	CreateAccessToken(ctx context.Context, spec AccessTokenSpec, wait time.Duration) (*NewAccessToken, error)
	// RotateAccessToken gives a token a new secret. The old one is accepted for keep longer; 0 ends it at once. token is a name or an
	// id. CodeNotFound if there is no such token.
	RotateAccessToken(ctx context.Context, token string, keep, wait time.Duration) (*NewAccessToken, error)
	// RevokeAccessToken ends a token for good. Requests that have begun end within their own time.
	RevokeAccessToken(ctx context.Context, token string, wait time.Duration) (*Told, error)
	// Policies lists the policies, in order of name.
	Policies(ctx context.Context) ([]Policy, error)
	// SetPolicy adds a policy or replaces the one of its name.
	SetPolicy(ctx context.Context, p Policy, wait time.Duration) (*Told, error)
	// DeletePolicy removes a policy. CodeConflict if a token has it; force takes it from the tokens too.
	DeletePolicy(ctx context.Context, name string, force bool, wait time.Duration) (*Told, error)
}

// AccessTokenSpec says what a token is to allow.
type AccessTokenSpec struct {
	Name     string   // unique among tokens
	Policies []string // what it allows; none is nothing
	At       []string // regions and nodes at which it is valid; none is everywhere
	// TTL is how long it lives; 0 is until it is revoked. Nodes compare no dates: the cluster removes it when its time has come.
	TTL time.Duration
	// Ops and Bytes bound the requests, and the bytes of keys and values, of a second at one node; 0 is no bound.
	Ops, Bytes uint64
}

// AccessToken describes a token of clients.
type AccessToken struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Policies []string `json:"policies,omitempty"`
	At       []string `json:"at,omitempty"`
	Ops      uint64   `json:"ops,omitempty"`
	Bytes    uint64   `json:"bytes,omitempty"`
	// Expires is zero if the token does not expire. OldUntil is when the secret before the last rotation ends; zero if it has.
	Expires  time.Time `json:"expires,omitzero"`
	OldUntil time.Time `json:"old_until,omitzero"`
	By       string    `json:"by,omitempty"` // the principal that made it or gave it its newest secret
	Created  time.Time `json:"created,omitzero"`
	// Seen is when it was last shown to the node that was asked about, if one was.
	Seen time.Time `json:"seen,omitzero"`
}

// NewAccessToken is a token with its text, which is a secret.
type NewAccessToken struct {
	AccessToken
	Token string `json:"token"`
	Told
}

// Told says which nodes have applied a change.
type Told struct {
	// Revision is that of the tokens and policies after the change.
	Revision uint64 `json:"revision"`
	// NotTold are the nodes that do not judge by it yet, as far as is known; none if all do.
	NotTold []NotTold `json:"not_told,omitempty"`
}

// NotTold is a node that does not judge by a change yet.
type NotTold struct {
	Node NodeID `json:"node"`
	Why  string `json:"why"`
}

// Policy is a named set of rights. Policies only add up.
type Policy struct {
	Name    string       `json:"name"`
	Rules   []PolicyRule `json:"rules,omitempty"`
	Observe bool         `json:"observe,omitempty"`
	Operate bool         `json:"operate,omitempty"`
	Admin   bool         `json:"admin,omitempty"`
	// Audit writes the access to keys of tokens with this policy to the audit log.
	Audit   bool   `json:"audit,omitempty"`
	BuiltIn bool   `json:"built_in,omitempty"` // every cluster has it, and it does not change
	By      string `json:"by,omitempty"`       // the principal that set it
}

// PolicyRule gives rights on the keys with a prefix.
type PolicyRule struct {
	Prefix            Key
	Read, List, Write bool
}

// policyRuleJSON is a rule in JSON: a prefix that is no UTF-8 is in base64.
type policyRuleJSON struct {
	Prefix    *string `json:"prefix,omitempty"`
	PrefixB64 []byte  `json:"prefix_base64,omitempty"`
	Read      bool    `json:"read,omitempty"`
	List      bool    `json:"list,omitempty"`
	Write     bool    `json:"write,omitempty"`
}

// MarshalJSON writes the prefix as "prefix", or as "prefix_base64" if it is no UTF-8.
func (r PolicyRule) MarshalJSON() ([]byte, error) {
	out := policyRuleJSON{Read: r.Read, List: r.List, Write: r.Write}
	if text := string(r.Prefix); utf8.ValidString(text) {
		out.Prefix = &text
	} else {
		out.PrefixB64 = []byte(text)
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes. CodeInvalid unless the rule has exactly one prefix and no unknown member.
func (r *PolicyRule) UnmarshalJSON(b []byte) error {
	var in policyRuleJSON
	if err := unmarshalStrictly(b, &in); err != nil {
		return err
	}
	if (in.Prefix == nil) == (in.PrefixB64 == nil) {
		return Errorf(CodeInvalid, "a rule has one of prefix and prefix_base64")
	}
	*r = PolicyRule{Prefix: Key(in.PrefixB64), Read: in.Read, List: in.List, Write: in.Write}
	if in.Prefix != nil {
		r.Prefix = Key(*in.Prefix)
	}
	return nil
}

// unmarshalStrictly reads JSON without unknown members.
func unmarshalStrictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// Self describes the caller: the answer of GET /v1/access/self.
type Self struct {
	Principal string   `json:"principal"` // "" without a token
	ID        string   `json:"id,omitempty"`
	Policies  []string `json:"policies,omitempty"`
	// Rules are the rights on keys, of all policies together.
	Rules    []PolicyRule `json:"rules,omitempty"`
	Observe  bool         `json:"observe,omitempty"`
	Operate  bool         `json:"operate,omitempty"`
	Admin    bool         `json:"admin,omitempty"`
	Node     NodeID       `json:"node"`
	Revision uint64       `json:"revision"` // of the tokens and policies by which the node judges
}
