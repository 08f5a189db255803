package router

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Do sends the transaction to the owner of its keys. The error is CodeWrongGroup if they have several owners, and then
// nothing was applied. After an attempt of unknown outcome, Do sends the transaction again only if it has an ID. After
// CodeUnavailable the transaction was certainly not applied.
func (r *Router) Do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	ctx, cancel := bound(ctx)
	defer cancel()
	began := time.Now()
	defer func() { r.metrics.seconds(time.Since(began).Seconds(), "txn") }()
	c := r.call("txn", !t.ID.IsZero())
	c.timeout, c.load = r.cfg.WriteTimeout, true
	var res *api.TxnResult
	sent := *t
	c.send = func(ctx context.Context, node api.NodeID) (err error) {
		if !t.ID.IsZero() && t.Epoch.IsZero() && !c.unknown {
			// This is the first contact: nothing that was sent before can have taken effect. What is sent after an
			// attempt of unknown outcome keeps the epoch of that attempt, also in another group.
			sent.Epoch = r.cfg.DedupEpoch(sent.Group)
		}
		res, err = r.cfg.Remote(node).Do(ctx, &sent)
		return err
	}
	if err := r.toOwner(ctx, c, &sent); err != nil {
		return nil, err
	}
	out := *res
	out.Timing.Route = route(began, out.Timing)
	return &out, nil
}

// toOwner sends t to the group that t names, or else to the group that owns its keys. It follows the keys if their
// owner changes on the way. t is the router's own copy.
func (r *Router) toOwner(ctx context.Context, c *call, t *words.Txn) error {
	var one [1]api.Key // mostly one key
	for {
		m, err := r.placement(ctx, c)
		if err != nil {
			return err
		}
		known := t.Group != ""
		if !known {
			if t.Group, err = owner(m, t.KeysInto(one[:])); err != nil {
				if c.unknown {
					return c.ambiguous(err)
				}
				return err
			}
		}
		err = r.toGroup(ctx, c, t.Group)
		if api.CodeOf(err) != api.CodeWrongGroup {
			return c.end(err)
		}
		t.Group = ""
		if known { // this node's map may be newer than the one that named the group
			c.last = err
			continue
		}
		if err := r.relocate(ctx, c, m, err); err != nil {
			return err
		}
	}
}

// owner returns the one group that owns all the keys.
func owner(m *placement.Map, keys []api.Key) (api.GroupID, error) {
	var one api.GroupID
	for _, k := range keys {
		g, _, ok := m.Locate(k)
		if !ok {
			return "", unowned(k)
		}
		if one == "" {
			one = g
		}
		if g != one {
			return "", &api.Error{Code: api.CodeWrongGroup, Op: "txn", Hint: severalOwners(m, keys)}
		}
	}
	return one, nil
}

// severalOwners lists the groups, each with a key of the transaction.
func severalOwners(m *placement.Map, keys []api.Key) string {
	seen := map[api.GroupID]bool{}
	var parts []string
	for _, k := range keys {
		if g, _, _ := m.Locate(k); !seen[g] {
			seen[g] = true
			parts = append(parts, fmt.Sprintf("%s owns %.64q", g, string(k)))
		}
	}
	slices.SortFunc(parts, cmp.Compare[string])
	more := ""
	if len(parts) > 4 {
		parts, more = parts[:4], ", ..."
	}
	return "the keys belong to several groups (" + strings.Join(parts, ", ") + more + ")"
}

func unowned(k api.Key) *api.Error {
	return &api.Error{Code: api.CodeUnavailable, Key: k, Hint: "the placement map names no owner of the key"}
}
