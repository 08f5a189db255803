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

// Do carries the transaction to the owner of its keys. CodeWrongGroup if they have several owners, and then nothing
// was applied. It is sent again after an attempt of unknown outcome only where it has an ID. CodeUnavailable: certainly not applied.
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
			// The first contact: nothing that was sent before can have taken effect. What is sent after an attempt of unknown
			// outcome keeps the epoch of that attempt, also in another group.
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

// toOwner carries t, which is the router's own, to the group that it names or else that owns its keys, also when that changes under
// way.
func (r *Router) toOwner(ctx context.Context, c *call, t *words.Txn) error {
	var one [1]api.Key // mostly
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
		if known { // this node's map may be newer than the one by which it was found
			c.last = err
			continue
		}
		if err := r.relocate(ctx, c, m, err); err != nil {
			return err
		}
	}
}

// owner is the one group that owns all the keys.
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

// severalOwners names the groups, each with a key of the transaction.
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
