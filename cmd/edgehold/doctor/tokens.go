package doctor

import (
	"context"
	"encoding/json"
	"time"

	"github.com/edgehold/edgehold/api"
)

// joinTokens checks that no join token lets any number of nodes in for long.
func joinTokens(ctx context.Context, x *exam) []Finding {
	body, err := x.Node.Fetch(ctx, "/v1/cluster/tokens")
	switch api.CodeOf(err) {
	case api.CodeConflict:
		return ok("the cluster is plain, and has none")
	case api.CodeUnauthenticated, api.CodeDenied:
		return skip("ask a server: give --token with the right admin, or --data of a server", "the join tokens: %v", err)
	}
	if err != nil {
		return unanswered("the join tokens", err)
	}
	var list struct{ Tokens []api.JoinToken }
	if err := json.Unmarshal(body, &list); err != nil {
		return fail("upgrade the node, or this command", "the list of join tokens is not understood: %v", err)
	}
	var all []Finding
	for _, t := range list.Tokens {
		if t.Expires.IsZero() || t.Uses == api.UnlimitedUses && time.Until(t.Expires) > 7*24*time.Hour {
			all = append(all, warn("edgehold cluster token revoke "+t.ID+", and make short-lived ones", "the join token %s (%s) lets %s in for %s", t.ID, t.Role, usesOf(t), endOf(t))...)
		}
	}
	if len(all) == 0 {
		return ok("%d join tokens, and none that lasts", len(list.Tokens))
	}
	return all
}

func usesOf(t api.JoinToken) string {
	switch t.Uses {
	case api.UnlimitedUses:
		return "any number of nodes"
	case 1:
		return "a node"
	}
	return "several nodes"
}

func endOf(t api.JoinToken) string {
	if t.Expires.IsZero() {
		return "ever"
	}
	return "more than a week"
}
