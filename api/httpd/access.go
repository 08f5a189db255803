package httpd

import (
	"time"

	"github.com/edgehold/edgehold/api"
)

var (
	accessTokenJSON = body{"body", "application/json", 64 << 10}
	// policyJSON is 64 rules with the longest prefixes, in base64.
	policyJSON = body{"policy", "application/json", 512 << 10}
)

// defaultTellWait is how long a change waits for all nodes to judge by it.
const defaultTellWait = 10 * time.Second

func tokens(h *handler) bool { return h.Tokens() }

// getSelf answers with the principal of the request and what it may do.
func getSelf(x *exchange) error {
	self, err := x.Self(x.Base)
	if err != nil {
		return err
	}
	return x.replyJSON(self)
}

// getAccessTokens lists the tokens of clients, without their secrets.
func getAccessTokens(x *exchange) error {
	list, err := x.Store.AccessTokens(x.Ctx, api.NodeID(x.query.Get("seen_at")))
	if err != nil {
		return err
	}
	return x.replyJSON(accessTokensBody{append([]api.AccessToken{}, list...)})
}

// accessTokensBody is a list of tokens.
type accessTokensBody struct {
	Tokens []api.AccessToken `json:"tokens"`
}

// getAccessToken answers with one of them, by name or id.
func getAccessToken(x *exchange) error {
	list, err := x.Store.AccessTokens(x.Ctx, "")
	if err != nil {
		return err
	}
	for _, t := range list {
		if t.Name == x.args["token"] || t.ID == x.args["token"] {
			return x.replyJSON(t)
		}
	}
	return api.Errorf(api.CodeNotFound, "there is no token %q", x.args["token"])
}

// accessTokenBody asks for a token. A bound that is given is not 0.
type accessTokenBody struct {
	Name     string   `json:"name"`
	Policies []string `json:"policies"`
	At       []string `json:"at"`
	TTL      string   `json:"ttl"`
	Ops      *uint64  `json:"ops"`
	Bytes    *uint64  `json:"bytes"`
}

func (b *accessTokenBody) spec() (api.AccessTokenSpec, error) {
	s := api.AccessTokenSpec{Name: b.Name, Policies: b.Policies, At: b.At}
	if b.Ops != nil {
		s.Ops = *b.Ops
	}
	if b.Bytes != nil {
		s.Bytes = *b.Bytes
	}
	if b.Ops != nil && *b.Ops == 0 || b.Bytes != nil && *b.Bytes == 0 {
		return s, api.Errorf(api.CodeInvalid, "a rate of 0 would refuse everything: leave it out for no bound, or revoke the token")
	}
	var err error
	s.TTL, err = jsonDuration("ttl", b.TTL)
	return s, err
}

// jsonDuration reads a time such as 24h that is not negative; "" is 0.
func jsonDuration(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, api.Errorf(api.CodeInvalid, "%s %.40q is not a time such as 24h", name, text)
	}
	return d, nil
}

// decodeBody reads the request's body as JSON.
func (x *exchange) decodeBody(v any) error {
	raw, err := x.readBody()
	if err != nil {
		return err
	}
	return decodeStrictly(raw, v)
}

// tellWait is how long the change may wait for all nodes to judge by it.
func (x *exchange) tellWait() (time.Duration, error) {
	wait, err := x.duration("wait", defaultTellWait)
	if err == nil && wait < 0 {
		err = api.Errorf(api.CodeInvalid, "wait is negative")
	}
	return wait, err
}

// postAccessToken makes a token.
func postAccessToken(x *exchange) error {
	var b accessTokenBody
	wait, err := x.tellWait()
	if err != nil {
		return err
	}
	if err := x.decodeBody(&b); err != nil {
		return err
	}
	spec, err := b.spec()
	if err != nil {
		return err
	}
	x.writes = true
	made, err := x.Store.CreateAccessToken(x.Ctx, spec, wait)
	if err != nil {
		return err
	}
	return x.replyJSON(made)
}

// rotateBody says how long the old secret is still accepted.
type rotateBody struct {
	Keep string `json:"keep"`
}

// postRotateToken gives a token a new secret.
func postRotateToken(x *exchange) error {
	var b rotateBody
	wait, err := x.tellWait()
	if err != nil {
		return err
	}
	if err := x.decodeBody(&b); err != nil {
		return err
	}
	keep, err := jsonDuration("keep", b.Keep)
	if err != nil {
		return err
	}
	x.writes = true
	made, err := x.Store.RotateAccessToken(x.Ctx, x.args["token"], keep, wait)
	if err != nil {
		return err
	}
	return x.replyJSON(made)
}

// deleteAccessToken ends a token for good.
func deleteAccessToken(x *exchange) error {
	wait, err := x.tellWait()
	if err != nil {
		return err
	}
	x.writes = true
	told, err := x.Store.RevokeAccessToken(x.Ctx, x.args["token"], wait)
	if err != nil {
		return err
	}
	return x.replyJSON(told)
}

// getPolicies lists the policies.
func getPolicies(x *exchange) error {
	list, err := x.Store.Policies(x.Ctx)
	if err != nil {
		return err
	}
	return x.replyJSON(policiesBody{append([]api.Policy{}, list...)})
}

// policiesBody is a list of policies.
type policiesBody struct {
	Policies []api.Policy `json:"policies"`
}

// getPolicy answers with one of them.
func getPolicy(x *exchange) error {
	list, err := x.Store.Policies(x.Ctx)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Name == x.args["policy"] {
			return x.replyJSON(p)
		}
	}
	return api.Errorf(api.CodeNotFound, "there is no policy %q", x.args["policy"])
}

// putPolicy adds a policy or replaces the one of its name.
func putPolicy(x *exchange) error {
	wait, err := x.tellWait()
	if err != nil {
		return err
	}
	var p api.Policy
	if err := x.decodeBody(&p); err != nil {
		return err
	}
	if p.Name != "" && p.Name != x.args["policy"] || p.By != "" || p.BuiltIn {
		return api.Errorf(api.CodeInvalid, "the path names the policy %q; its body has rules, observe, operate, admin and audit", x.args["policy"])
	}
	p.Name = x.args["policy"]
	x.writes = true
	told, err := x.Store.SetPolicy(x.Ctx, p, wait)
	if err != nil {
		return err
	}
	return x.replyJSON(told)
}

// deletePolicy removes a policy.
func deletePolicy(x *exchange) error {
	wait, err := x.tellWait()
	if err != nil {
		return err
	}
	force, err := x.flag("force", false)
	if err != nil {
		return err
	}
	x.writes = true
	told, err := x.Store.DeletePolicy(x.Ctx, x.args["policy"], force, wait)
	if err != nil {
		return err
	}
	return x.replyJSON(told)
}
