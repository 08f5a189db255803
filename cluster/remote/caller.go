package remote

import (
	"context"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/ident"
)

// ownAttempt refuses an attempt that another node than the caller makes: a node that decides an attempt without having prepared all
// of its parts commits half of it. The attempt has the number of its node; while the map has no numbers, all pass. The error is
// CodeDenied, or CodeUnavailable if the caller does not know its number yet.
func ownAttempt(ctx context.Context, id ident.TxnID) error {
	c := peer.CallerFrom(ctx)
	switch {
	case id.MadeBy(c.Num) || !guardAttemptOwner:
		return nil
	case !id.Numbered():
		return &api.Error{Code: api.CodeUnavailable, Op: "txn", RetryAfter: 100 * time.Millisecond,
			Hint: "the attempt does not have the number that node " + string(c.Node) + " has in the placement map by now; nothing was written"}
	}
	return api.Errorf(api.CodeDenied, "the attempt to commit is another node's, and node %s decides its own attempts alone", c.Node)
}

// all reports whether the node serves every key.
func all(c *peer.Caller) bool { return len(c.Scope) == 0 || !guardScope }

// keysInScope refuses keys that the caller does not serve.
func keysInScope(c *peer.Caller, keys ...api.Key) error {
	if all(c) {
		return nil
	}
	for _, k := range keys {
		if !c.Serves(k) {
			return outOfScope(c, k)
		}
	}
	return nil
}

// partInScope refuses conditions and steps on keys that the caller does not serve.
func partInScope(c *peer.Caller, conds []api.Cond, branches ...[]api.Op) error {
	if all(c) {
		return nil
	}
	for i := range conds {
		if err := keysInScope(c, conds[i].Key); err != nil {
			return err
		}
	}
	for _, ops := range branches {
		for i := range ops {
			if err := keysInScope(c, ops[i].Key); err != nil {
				return err
			}
		}
	}
	return nil
}

// rangeInScope refuses a range of which the caller does not serve every key, whether or not there are such keys.
func rangeInScope(c *peer.Caller, r api.Range) error {
	if all(c) {
		return nil
	}
	for _, p := range c.Scope {
		if api.PrefixRange(p).ContainsRange(r) {
			return nil
		}
	}
	return outOfScope(c, r.Start)
}

// maxNamedPrefixes bounds the prefixes that a refusal names.
const maxNamedPrefixes = 4

func outOfScope(c *peer.Caller, k api.Key) error {
	var names []string
	for _, p := range c.Scope[:min(len(c.Scope), maxNamedPrefixes)] {
		names = append(names, string(p))
	}
	if len(c.Scope) > maxNamedPrefixes {
		names = append(names, "..")
	}
	return &api.Error{Code: api.CodeDenied, Key: k, Hint: string(c.Node) + " serves " + strings.Join(names, ", ") + " only: ask another node"}
}
