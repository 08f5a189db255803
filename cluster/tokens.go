package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/cluster/access"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/placement"
)

var _ api.Access = (*Node)(nil)

// methodSeen asks a node which tokens it was shown since it started.
var methodSeen = peer.NewMethod[peer.Nothing, seenTokens]("SeenTokens", admission.Control, peer.Servers)

// seenTokens are the ids of tokens, and when each was last shown, in Unix seconds.
type seenTokens struct {
	IDs [][]byte `cbor:"1,keyasint,omitempty"`
	At  []int64  `cbor:"2,keyasint,omitempty"`
}

func registerSeen(s *peer.Server, w *access.Warden) {
	methodSeen.Handle(s, func(context.Context, *peer.Nothing) (*seenTokens, error) {
		out := &seenTokens{}
		for id, at := range w.SeenAt() {
			out.IDs, out.At = append(out.IDs, id[:]), append(out.At, at)
		}
		return out, nil
	})
}

// roll returns a roll that has every change that was acknowledged before the call.
func (n *Node) roll(ctx context.Context) (*placement.Roll, error) {
	m, err := n.changes.Propose(ctx, placement.TermStart{}) // it changes nothing, and its answer names the revision of the moment
	if err != nil {
		return nil, certainlyNot(err)
	}
	if err := n.awaitRoll(ctx, m.Roll); err != nil {
		return nil, err
	}
	return n.membership.view.Roll(), nil
}

// certainlyNot is the error of what changes nothing, so that its outcome is never unknown.
func certainlyNot(err error) error {
	if api.CodeOf(err) != api.CodeAmbiguous {
		return err
	}
	return &api.Error{Code: api.CodeUnavailable, Hint: "the group of the placement map did not answer in time", Err: err}
}

// awaitRoll waits until this node has the revision.
func (n *Node) awaitRoll(ctx context.Context, revision uint64) error {
	view := n.membership.view
	for {
		changed := view.Changed()
		if view.Roll().Revision >= revision {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &api.Error{Code: api.CodeUnavailable, Hint: "the newest tokens and policies have not reached this node in time"}
		}
	}
}

// AccessTokens implements api.Access.
func (n *Node) AccessTokens(ctx context.Context, at api.NodeID) ([]api.AccessToken, error) {
	roll, err := n.roll(ctx)
	if err != nil {
		return nil, err
	}
	seen, err := n.seenAt(ctx, at)
	if err != nil {
		return nil, err
	}
	var list []api.AccessToken
	for _, t := range roll.Tokens {
		shown, ok := seen[t.ID]
		if at != "" && !ok {
			continue
		}
		row := describeToken(t)
		row.Seen = unixTime(shown)
		list = append(list, row)
	}
	slices.SortFunc(list, func(a, b api.AccessToken) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// seenAt asks a node which tokens it was shown; nil for no node.
func (n *Node) seenAt(ctx context.Context, at api.NodeID) (map[placement.TokenID]int64, error) {
	if at == "" {
		return nil, nil
	}
	if m := n.membership.view.Map(); m != nil {
		if _, ok := m.Node(at); !ok {
			return nil, api.Errorf(api.CodeNotFound, "there is no node %q", at)
		}
	}
	res, err := methodSeen.Ask(ctx, n.pool.Remote(at), &peer.Nothing{})
	if err != nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Hint: fmt.Sprintf("node %s did not answer", at), Err: err}
	}
	seen := map[placement.TokenID]int64{}
	for i, id := range res.IDs {
		if len(id) == len(placement.TokenID{}) && i < len(res.At) {
			seen[placement.TokenID(id)] = res.At[i]
		}
	}
	return seen, nil
}

func describeToken(t placement.AccessToken) api.AccessToken {
	return api.AccessToken{
		ID: t.ID.String(), Name: t.Name, Policies: t.Policies, At: t.At, Ops: t.Ops, Bytes: t.Bytes,
		Expires: unixTime(t.Ends), OldUntil: unixTime(t.Keep), By: t.By, Created: unixTime(t.Made),
	}
}

// unixTime is the zero time for 0.
func unixTime(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// by names the principal of a change in the cluster's records.
func by(ctx context.Context) string {
	return cmp.Or(front.PrincipalFrom(ctx).Name, "anonymous")
}

// CreateAccessToken implements api.Access.
func (n *Node) CreateAccessToken(ctx context.Context, spec api.AccessTokenSpec, wait time.Duration) (*api.NewAccessToken, error) {
	if err := n.tokensAreSecret(); err != nil {
		return nil, err
	}
	if spec.TTL < 0 {
		return nil, api.Errorf(api.CodeInvalid, "the ttl of a token is not negative")
	}
	secret, err := access.NewToken(rand.Reader)
	if err != nil {
		return nil, err
	}
	hash, now := secret.Hash(), time.Now()
	t := placement.AccessToken{
		ID: secret.ID, Name: spec.Name, Hashes: [][]byte{hash[:]}, Policies: spec.Policies, At: spec.At, Ops: spec.Ops, Bytes: spec.Bytes,
		By: by(ctx), Made: now.Unix(),
	}
	if spec.TTL > 0 {
		t.Ends = now.Add(spec.TTL).Unix()
	}
	if err := t.Check(); err != nil {
		return nil, err
	}
	if err := n.placesExist(spec.At); err != nil {
		return nil, err
	}
	return n.putToken(ctx, secret, placement.PutToken{Token: t}, wait)
}

// placesExist returns CodeNotFound for a place that is neither a region nor a node of the cluster.
func (n *Node) placesExist(places []string) error {
	m := n.membership.view.Map()
	for _, p := range places {
		if m != nil && !slices.ContainsFunc(m.Nodes, func(o placement.Node) bool { return string(o.ID) == p || string(o.Region) == p }) {
			return api.Errorf(api.CodeNotFound, "there is no region and no node %q", p)
		}
	}
	return nil
}

// putToken carries out a command about a token and returns it with its new secret.
func (n *Node) putToken(ctx context.Context, secret access.Token, c placement.PutToken, wait time.Duration) (*api.NewAccessToken, error) {
	told, err := n.changeRoll(ctx, c, wait)
	if err != nil {
		return nil, err
	}
	return &api.NewAccessToken{AccessToken: describeToken(c.Token), Token: secret.Secret().Reveal(), Told: *told}, nil
}

// tokensAreSecret returns CodeConflict if the cluster speaks plain TCP outside loopback, where anyone on the network could read a token.
func (n *Node) tokensAreSecret() error {
	m := n.membership.view.Map()
	if m == nil || m.Security != placement.Plain {
		return nil
	}
	for _, o := range m.Nodes {
		host, _, err := net.SplitHostPort(o.Address)
		if ip := net.ParseIP(host); err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback()) && o.Address != "" {
			return api.Errorf(api.CodeConflict,
				"node %s speaks plain TCP at %s, where others can read tokens: secure the cluster first (edgehold cluster set security both, then tls)", o.ID, o.Address)
		}
	}
	return nil
}

// RotateAccessToken implements api.Access.
func (n *Node) RotateAccessToken(ctx context.Context, token string, keep, wait time.Duration) (*api.NewAccessToken, error) {
	if keep < 0 {
		return nil, api.Errorf(api.CodeInvalid, "the time for which the old secret is kept is not negative")
	}
	if err := n.tokensAreSecret(); err != nil {
		return nil, err
	}
	t, err := n.tokenNamed(ctx, token)
	if err != nil {
		return nil, err
	}
	secret, err := access.Token{ID: t.ID}.WithNewSecret(rand.Reader)
	if err != nil {
		return nil, err
	}
	hash, old := secret.Hash(), t.Hashes[0]
	t.Hashes, t.Keep, t.By = [][]byte{hash[:]}, 0, by(ctx)
	if keep > 0 {
		t.Hashes, t.Keep = append(t.Hashes, old), time.Now().Add(keep).Unix()
	}
	return n.putToken(ctx, secret, placement.PutToken{Token: t, Replaces: old}, wait)
}

// tokenNamed returns the token with that name or id.
func (n *Node) tokenNamed(ctx context.Context, name string) (placement.AccessToken, error) {
	roll, err := n.roll(ctx)
	if err != nil {
		return placement.AccessToken{}, err
	}
	for _, t := range roll.Tokens {
		if t.Name == name || t.ID.String() == name {
			return t, nil
		}
	}
	return placement.AccessToken{}, api.Errorf(api.CodeNotFound, "there is no token %q", name)
}

// RevokeAccessToken implements api.Access. A token that was revoked before is revoked again, by its id, which waits for the nodes.
func (n *Node) RevokeAccessToken(ctx context.Context, token string, wait time.Duration) (*api.Told, error) {
	t, err := n.tokenNamed(ctx, token)
	if err != nil {
		id, bad := hex.DecodeString(token)
		if api.CodeOf(err) != api.CodeNotFound || bad != nil || len(id) != len(t.ID) {
			return nil, err
		}
		t.ID = placement.TokenID(id)
	}
	return n.changeRoll(ctx, placement.DropToken{ID: t.ID, By: by(ctx)}, wait)
}

// Policies implements api.Access.
func (n *Node) Policies(ctx context.Context) ([]api.Policy, error) {
	roll, err := n.roll(ctx)
	if err != nil {
		return nil, err
	}
	var list []api.Policy
	for _, p := range placement.BuiltInPolicies() {
		row := describePolicy(p)
		row.BuiltIn = true
		list = append(list, row)
	}
	for _, p := range roll.Policies {
		list = append(list, describePolicy(p))
	}
	slices.SortFunc(list, func(a, b api.Policy) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

func describePolicy(p placement.Policy) api.Policy {
	out := api.Policy{Name: p.Name, Observe: p.Observe, Operate: p.Operate, Admin: p.Admin, Audit: p.Audit, By: p.By}
	for _, r := range p.Rules {
		out.Rules = append(out.Rules, api.PolicyRule(r))
	}
	return out
}

// SetPolicy implements api.Access.
func (n *Node) SetPolicy(ctx context.Context, p api.Policy, wait time.Duration) (*api.Told, error) {
	set := placement.Policy{Name: p.Name, Observe: p.Observe, Operate: p.Operate, Admin: p.Admin, Audit: p.Audit, By: by(ctx)}
	for _, r := range p.Rules {
		set.Rules = append(set.Rules, placement.Rule(r))
	}
	return n.changeRoll(ctx, placement.PutPolicy{Policy: set}, wait)
}

// DeletePolicy implements api.Access.
func (n *Node) DeletePolicy(ctx context.Context, name string, force bool, wait time.Duration) (*api.Told, error) {
	return n.changeRoll(ctx, placement.DropPolicy{Name: name, Force: force, By: by(ctx)}, wait)
}

// changeRoll carries out a command and waits until the nodes judge by it.
func (n *Node) changeRoll(ctx context.Context, c placement.Command, wait time.Duration) (*api.Told, error) {
	done, err := n.changes.Propose(ctx, c)
	if err != nil {
		return nil, err
	}
	_ = n.membership.view.Update(done.Map) // it conflicts only if this node belongs to another cluster by now
	return &api.Told{Revision: done.Roll, NotTold: n.awaitAll(ctx, done, wait)}, nil
}

// The pauses between two questions to a node that does not judge by a change yet, and what is left of the request's time for the
// answer.
const (
	tellPause  = 50 * time.Millisecond
	tellMargin = 500 * time.Millisecond
)

// awaitAll waits until every node judges by the revision, at most for wait, and returns those that do not, in order of name. The
// nodes are those of the map at the change, which this node may not have heard of yet. A node that is admitted later has a newer
// roll before it serves.
func (n *Node) awaitAll(ctx context.Context, done meta.Applied, wait time.Duration) []api.NotTold {
	if until, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(until)-tellMargin)
	}
	ctx, cancel := context.WithTimeout(ctx, max(wait, 0))
	defer cancel()
	m := done.Map
	why := make([]string, len(m.Nodes))
	var wg sync.WaitGroup
	for i, o := range m.Nodes {
		if portless(o) {
			continue // it answers no client that shows a token
		}
		wg.Go(func() { why[i] = n.awaitNode(ctx, o.ID, done.Roll) })
	}
	wg.Wait()
	var missing []api.NotTold
	for i, o := range m.Nodes {
		if why[i] != "" {
			missing = append(missing, api.NotTold{Node: o.ID, Why: why[i]})
		}
	}
	slices.SortFunc(missing, func(a, b api.NotTold) int { return cmp.Compare(a.Node, b.Node) })
	return missing
}

// awaitNode waits until the node judges by the revision: "" if it does, else why it is not known to.
func (n *Node) awaitNode(ctx context.Context, node api.NodeID, revision uint64) (why string) {
	for pause := tellPause; ; pause = min(2*pause, time.Second) {
		asked, cancel := context.WithTimeout(ctx, 2*time.Second)
		r, err := reportOf(asked, n.pool.Remote(node))
		cancel()
		switch {
		case err == nil && r.Roll >= revision:
			return ""
		case err == nil:
			why = fmt.Sprintf("it judges by revision %d, not %d", r.Roll, revision)
		default:
			why = "unreachable"
		}
		select {
		case <-ctx.Done():
			return why
		case <-time.After(pause):
		}
	}
}
