package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/fsm/placement"
)

const (
	// enterPause is the pause between two rounds of questions, and enterMost the longest that a server can ask for.
	enterPause = time.Second
	enterMost  = 30 * time.Second
	// enterSay is the least time between two lines of the log about what is in the way.
	enterSay = 10 * time.Second
)

// enters reports whether this node is to join by a token: it has one, and nothing yet to prove itself with.
func (n *membership) enters() bool { return n.cfg.JoinToken != nil && n.credentials.identity() == nil }

// enter joins the cluster by a token. It asks the addresses of --join until a server admits this node, or refuses it for good. The error is then one
// line for people.
func (n *joining) enter() error {
	ctx := n.ctx
	if n.cfg.JoinTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, n.cfg.JoinTimeout)
		defer cancel()
	}
	text, err := n.cfg.JoinToken(ctx)
	if err != nil {
		return err
	}
	token, err := join.ParseToken(text)
	if err != nil {
		return err
	}
	key, err := n.credentials.nextKey()
	if err != nil {
		return err
	}
	q, err := n.joinRequest(token, key)
	if err != nil {
		return err
	}
	a := join.Asker{Token: token, Dial: n.dial, Skewed: func(address string, ahead time.Duration) {
		n.log.Warn("this node's clock differs from that of a server of the cluster", "server", address, "server_is_ahead_by", ahead)
	}}
	answer, err := n.askAll(ctx, a, q)
	if err != nil {
		return err
	}
	return n.entered(a, q, answer, key)
}

// joinRequest is what this node says of itself.
func (n *joining) joinRequest(token join.Token, key *ecdsa.PrivateKey) (*api.JoinRequest, error) {
	csr, err := join.NewRequest(key)
	if err != nil {
		return nil, err
	}
	return &api.JoinRequest{
		Token: token.Reveal(), CSR: csr, Node: n.cfg.ID, Region: n.cfg.Region, Role: n.cfg.Role, Advertise: n.cfg.Advertise,
		Names: n.cfg.Names, Nonce: n.nonce[:], Level: int(placement.NewestLevel), Fresh: n.membership.identity.node == "",
		Ephemeral: n.cfg.Ephemeral,
	}, nil
}

// askAll asks the addresses in rounds. A refusal by a server of the cluster is final, and so is a round in which every address has
// turned out to be no server of it.
func (n *joining) askAll(ctx context.Context, a join.Asker, q *api.JoinRequest) (*api.JoinAnswer, error) {
	var said time.Time
	for {
		var wrong error
		waits := ""
		pause := enterPause
		for _, address := range n.seeds() {
			answer, err := a.Ask(ctx, address, q)
			switch e := api.AsError(err); {
			case err == nil:
				return answer, nil
			case isWrongNode(err):
				wrong = err
			case e.Code == api.CodeUnavailable:
				waits = fmt.Sprintf("%s: %s", address, e.Hint)
				pause = min(max(pause, e.RetryAfter), enterMost)
			default:
				return nil, err
			}
			n.note(ctx, wrong, waits)
		}
		if wrong != nil && waits == "" {
			return nil, wrong
		}
		if now := time.Now(); now.Sub(said) >= enterSay {
			said = now
			n.log.Warn("this node has not joined the cluster yet; trying again", "waits_for", waits)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		if n.ctx.Err() != nil {
			return nil, errClosing
		}
		if ctx.Err() != nil {
			return nil, api.Errorf(api.CodeUnavailable, "this node has not joined the cluster within --join-timeout %v: %s", n.cfg.JoinTimeout, waits)
		}
	}
}

// errClosing ends what waits when the node closes.
var errClosing = api.Errorf(api.CodeUnavailable, "the node is closing")

func isWrongNode(err error) bool {
	_, ok := errors.AsType[*join.WrongNodeError](err)
	return ok
}

// note keeps what Ready says while this node has not joined.
func (n *joining) note(ctx context.Context, wrong error, waits string) {
	if ctx.Err() != nil {
		return
	}
	if wrong != nil {
		waits = strings.TrimPrefix(waits+"; "+wrong.Error(), "; ")
	}
	n.waits.Store(&waits)
}

// entered makes this node one of the cluster, by the answer of a server that has proved itself. After a crash at any step the node asks
// again with the same key, and has the same answer.
func (n *joining) entered(a join.Asker, q *api.JoinRequest, answer *api.JoinAnswer, key *ecdsa.PrivateKey) error {
	id, roots, err := a.Use(answer, q, key)
	if err != nil {
		return err
	}
	m, err := placement.DecodeMap(answer.Map)
	if err != nil {
		return err
	}
	if m.ClusterID != id.Cluster {
		return api.Errorf(api.CodeInternal, "the server's answer has the placement map of another cluster")
	}
	if err := n.view.Update(m); err != nil {
		return err
	}
	if err := n.membership.identity.claim(n.self()); err != nil {
		return err
	}
	if err := n.credentials.keep(id, roots); err != nil {
		return err
	}
	n.admitted.Store(true)
	n.log.Info("joined the cluster", "cluster", id.Cluster, "number", answer.Num)
	return nil
}

// nextKey returns the key of the next certificate, the same until one is kept: a request that is repeated because its answer was lost
// must not push the pin of the present key out of the map.
func (c *credentials) nextKey() (key *ecdsa.PrivateKey, err error) {
	if c.folder != "" {
		return c.folder.NextKey()
	}
	if c.next == nil {
		c.next, err = join.NewKey()
	}
	return c.next, err
}

// renewed makes what the leader has signed what the node proves itself with.
func (c *credentials) renewed(key *ecdsa.PrivateKey, answer *certified, roots [][]byte) error {
	vouchers := answer.Vouchers
	if old := c.identity(); old != nil {
		own, err := old.NextVouchers(&key.PublicKey)
		if err != nil {
			return err
		}
		vouchers = append(own, vouchers...)
	}
	id, err := join.NewIdentity(key, answer.Certificate, vouchers[:min(len(vouchers), join.MaxVouchers)], roots)
	if err != nil {
		return err
	}
	var all []*x509.Certificate
	if all, err = join.ParseCertificates(roots); err != nil {
		return err
	}
	return c.keep(id, all)
}
