package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

var _ api.Joiner = (*Node)(nil)

// Join implements [api.Joiner]. It asks the leader of the meta group, and says in its own log why a token is not valid: the node that shows
// it does not learn that.
func (n *Node) Join(ctx context.Context, q *api.JoinRequest) (*api.JoinAnswer, error) {
	if !n.joins.take(time.Now()) {
		return nil, &api.Error{Code: api.CodeLimited, Op: "join", Hint: "too many nodes ask to join at once", RetryAfter: time.Second}
	}
	token, err := join.ParseToken(q.Token)
	if err != nil {
		return nil, n.notValid(q, "it is not whole")
	}
	if _, err := join.CheckRequest(q.CSR); err != nil {
		return nil, err
	}
	if len(q.Nonce) != 0 && len(q.Nonce) != len(ident.Nonce{}) {
		return nil, api.Errorf(api.CodeInvalid, "a nonce has %d bytes", len(ident.Nonce{}))
	}
	m := n.mirror.Map()
	if m == nil {
		return nil, notReady("this node has not reached its cluster yet")
	}
	fingerprint, err := rootOf(m)
	switch {
	case err != nil:
		return nil, err
	case fingerprint != token.Fingerprint:
		return nil, n.notValid(q, "it is another cluster's")
	}
	hash := token.SecretHash()
	answer, err := n.askAdmit(ctx, &admitRequest{
		Token: placement.TokenID(token.ID), Hash: hash[:], CSR: q.CSR, Node: joinedNode(q), Level: placement.Level(min(max(q.Level, 0), 255)), Fresh: q.Fresh,
	})
	if err != nil {
		return nil, err
	}
	if answer.Refused != "" {
		return nil, n.notValid(q, answer.Refused)
	}
	return n.admitted(q, answer)
}

// joinedNode is the node as it describes itself.
func joinedNode(q *api.JoinRequest) placement.Node {
	x := placement.Node{
		ID: q.Node, Region: q.Region, Role: q.Role, Address: q.Advertise, URL: urlOf("https", q.Advertise), Names: q.Names,
		Host: q.Host, Ephemeral: q.Ephemeral,
	}
	copy(x.Nonce[:], q.Nonce)
	return x
}

// notValid is the one refusal of a join token, whose cause the log has.
func (n *Node) notValid(q *api.JoinRequest, cause string) error {
	n.log.Warn("a node has shown a join token that is not valid", "node", truncated(string(q.Node)), "cause", cause)
	return placement.NotValid()
}

// truncated bounds what a stranger writes into the log.
func truncated(s string) string { return s[:min(len(s), 100)] }

func (n *Node) askAdmit(ctx context.Context, q *admitRequest) (answer *certified, err error) {
	err = n.router.OnLeader(ctx, ident.MetaGroup, "join", true, func(ctx context.Context, leader api.NodeID) (err error) {
		answer, err = methodAdmit.Call(ctx, n.pool.Remote(leader), q)
		return err
	})
	return answer, err
}

// admitted is the answer to a node that was let in.
func (n *Node) admitted(q *api.JoinRequest, c *certified) (*api.JoinAnswer, error) {
	m, err := placement.DecodeMap(c.Map)
	if err != nil {
		return nil, err
	}
	_ = n.membership.view.Update(m) // it conflicts only if this node belongs to another cluster by now
	x, _ := m.Node(q.Node)
	n.log.Info("a node has joined the cluster", "node", q.Node, "region", q.Region, "role", q.Role, "address", q.Advertise)
	return &api.JoinAnswer{ClusterID: m.ClusterID, Certificate: c.Certificate, Vouchers: c.Vouchers, Roots: m.Roots, Map: c.Map, Num: x.Num}, nil
}

// Limits of requests to join at one server.
const (
	joinsPerSecond = 10
	joinsAtOnce    = 10
)

// bucket lets joinsPerSecond through, and at first joinsAtOnce. The zero value is full.
type bucket struct {
	mu    sync.Mutex
	spent float64
	last  time.Time
}

// take reports whether one more may pass now.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.spent = max(0, b.spent-now.Sub(b.last).Seconds()*joinsPerSecond)
	}
	b.last = now
	if b.spent+1 > joinsAtOnce {
		return false
	}
	b.spent++
	return true
}
