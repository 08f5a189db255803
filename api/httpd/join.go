package httpd

import (
	"net/http"
	"time"

	"github.com/edgehold/edgehold/api"
)

// MaxJoinBytes bounds a request to join.
const MaxJoinBytes = 16 << 10

var (
	// joinJSON bounds a request to join: a token, a request for a certificate, and names.
	joinJSON      = body{"request to join", "application/json", MaxJoinBytes}
	joinTokenJSON = body{"body", "application/json", 64 << 10}
)

func joins(h *handler) bool      { return h.Joins() }
func joinTokens(h *handler) bool { return h.JoinTokens() }

// postJoin admits a node that shows a join token.
func postJoin(x *exchange) error {
	raw, err := x.readBody()
	if err != nil {
		return err
	}
	q := new(api.JoinRequest)
	if err := decodeStrictly(raw, q); err != nil {
		return err
	}
	x.writes = true
	answer, err := x.Store.Join(x.Ctx, q)
	if err != nil {
		return err
	}
	return x.replyJSON(answer)
}

// joinTokenBody asks for a join token.
type joinTokenBody struct {
	Role      api.Role     `json:"role"`
	Region    api.RegionID `json:"region"`
	TTL       string       `json:"ttl"`
	Uses      int64        `json:"uses"`
	Policies  []string     `json:"policies"`
	Names     []string     `json:"names"`
	Ephemeral bool         `json:"ephemeral"`
	For       api.NodeID   `json:"for"`
}

// postJoinToken does what `edgehold cluster token create` asks.
func postJoinToken(x *exchange) error {
	raw, err := x.readBody()
	if err != nil {
		return err
	}
	var b joinTokenBody
	if err := decodeStrictly(raw, &b); err != nil {
		return err
	}
	spec := api.JoinTokenSpec{
		Role: b.Role, Region: b.Region, Uses: b.Uses, Policies: b.Policies, Names: b.Names, Ephemeral: b.Ephemeral, For: b.For,
	}
	if b.TTL != "" {
		if spec.TTL, err = time.ParseDuration(b.TTL); err != nil || spec.TTL < 0 {
			return api.Errorf(api.CodeInvalid, "ttl %.40q is not a time such as 1h", b.TTL)
		}
	}
	x.writes = true
	made, err := x.Store.CreateJoinToken(x.Ctx, spec)
	if err != nil {
		return err
	}
	return x.replyJSON(made)
}

// getJoinTokens lists the join tokens, without their secrets.
func getJoinTokens(x *exchange) error {
	tokens, err := x.Store.ListJoinTokens(x.Ctx)
	if err != nil {
		return err
	}
	if tokens == nil {
		tokens = []api.JoinToken{}
	}
	return x.replyJSON(joinTokensBody{tokens})
}

// joinTokensBody is a list of join tokens.
type joinTokensBody struct {
	Tokens []api.JoinToken `json:"tokens"`
}

// deleteJoinToken does what `edgehold cluster token revoke` asks.
func deleteJoinToken(x *exchange) error {
	x.writes = true
	if err := x.Store.RevokeJoinToken(x.Ctx, x.args["id"]); err != nil {
		return err
	}
	x.Reply(http.StatusNoContent, 0)
	return nil
}
