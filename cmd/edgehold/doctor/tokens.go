package doctor

import (
	"context"
	"encoding/json"
	"slices"
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

// anonymous checks what clients may do without a token, by the policy of that name.
func anonymous(ctx context.Context, x *exam) []Finding {
	body, err := x.Node.Fetch(ctx, "/v1/access/policies")
	switch api.CodeOf(err) {
	case api.CodeConflict:
		return ok("the cluster is plain, and has no policies")
	case api.CodeUnauthenticated, api.CodeDenied:
		return skip("ask a server: give --token with the right admin, or --data of a server", "the policies: %v", err)
	}
	if err != nil {
		return unanswered("the policies", err)
	}
	var list struct{ Policies []api.Policy }
	if err := json.Unmarshal(body, &list); err != nil {
		return fail("upgrade the node, or this command", "the list of policies is not understood: %v", err)
	}
	i := slices.IndexFunc(list.Policies, func(p api.Policy) bool { return p.Name == "anonymous" })
	if i < 0 {
		return ok("clients without a token may do nothing")
	}
	return judgeAnonymous(list.Policies[i])
}

func judgeAnonymous(p api.Policy) []Finding {
	const next = "edgehold access policy show anonymous; set it again with less, or delete it"
	reads := 0
	for _, r := range p.Rules {
		if r.Write {
			return fail(next, "clients without a token may write keys that begin with %q", r.Prefix)
		}
		if r.Read || r.List {
			reads++
		}
	}
	switch {
	case p.Operate || p.Admin:
		return fail(next, "clients without a token may operate the cluster")
	case reads > 0 || p.Observe:
		return warn(next, "clients without a token may read keys with %d prefixes, or observe the cluster", reads)
	}
	return ok("clients without a token may do nothing")
}
