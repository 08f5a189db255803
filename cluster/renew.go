package cluster

import (
	"context"
	"crypto/x509"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/router"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

const (
	// dropAfter is how long the map keeps the pin of the key before, after the new one serves.
	dropAfter = 10 * time.Minute
	// renewRetry and renewRetryMost are the pauses after a renewal that failed.
	renewRetry     = time.Minute
	renewRetryMost = time.Hour
	// renewAtMost bounds how often a node with a wrong clock renews.
	renewAtMost = 24 * time.Hour
	// renewCheck is how often the node looks whether a renewal is due.
	renewCheck = 10 * time.Minute
)

// renewing is the task that keeps a node's key and certificate new, and gets the first ones of a node that was in the cluster before it
// had TLS.
type renewing struct {
	*membership
	*background
	pool   *peer.Pool
	router *router.Router
	meta   func() vaultGroup
	served time.Time // when the present key began to serve in this process; zero if it was there before
	last   time.Time // of the last renewal in this process
	share  float64   // of a certificate's life after which it is renewed
	count  func(n float64, _ ...string)
}

func newRenewing(n *Node) *renewing {
	return &renewing{
		membership: n.membership, background: newBackground(), pool: n.pool, router: n.router, meta: n.members.vaultGroup, share: 0.6 + rand.Float64()/10,
		count: n.metrics.Counter("edgehold_identity_renewals_total", "Certificates that this node has got since it started, the first one after it has joined aside."),
	}
}

// run ends with the node.
func (r *renewing) run() {
	failures := 0
	for r.ctx.Err() == nil {
		changed, pause := r.view.Changed(), renewCheck
		switch err := r.step(); err {
		case nil:
			failures = 0
		default:
			pause = min(renewRetry<<min(failures, 6), renewRetryMost)
			if r.credentials.identity() == nil {
				pause = min(pause, joinRetry<<min(failures, 8)) // the cluster waits for it
			}
			failures++
			changed = nil
			if write, _ := r.said.Say("renewal", err.Error()); write {
				r.log.Warn("this node's certificate could not be renewed; trying again", "error", err)
			}
		}
		select {
		case <-r.ctx.Done():
		case <-changed:
		case <-time.After(pause):
		}
	}
}

// step does what is due.
func (r *renewing) step() error {
	m := r.view.Map()
	if m == nil || len(m.Roots) == 0 || m.Security == placement.Plain || r.enters() {
		return nil
	}
	n, known := m.Node(r.cfg.ID)
	if !known {
		return nil
	}
	if g := r.meta(); g != nil && g.Secured() {
		r.forgetSecrets()
	}
	r.confirm(n)
	switch id := r.credentials.identity(); {
	case id == nil && (len(n.Pins) == 0 || r.asked(n)), r.due(id, n):
		return r.renew(m)
	case id == nil:
		return api.Errorf(api.CodeConflict, "the cluster has a key of node %s, and this data folder has none: get a token with --for %s", r.cfg.ID, r.cfg.ID)
	default:
		return r.dropOld(id, n)
	}
}

// due reports whether the node's certificate is to be renewed.
func (r *renewing) due(id *join.Identity, n placement.Node) bool {
	if id == nil {
		return false
	}
	if !slices.Equal(n.Names, r.cfg.Names) {
		return true
	}
	life := id.Leaf.NotAfter.Sub(id.Leaf.NotBefore)
	past := time.Since(id.Leaf.NotBefore)
	late := float64(past) > r.share*float64(life)
	return (late || !serves(id.Leaf, certNames(n))) && (r.last.IsZero() || time.Since(r.last) > renewAtMost)
}

// serves reports whether the certificate has the names. It lacks one if the node is reached at another host than before, or if the map
// has the names of a renewal whose answer was lost.
func serves(leaf *x509.Certificate, names []string) bool {
	for _, name := range names {
		ip := net.ParseIP(name)
		if ip == nil && !slices.Contains(leaf.DNSNames, name) || ip != nil && !slices.ContainsFunc(leaf.IPAddresses, ip.Equal) {
			return false
		}
	}
	return true
}

// asked reports whether the map has the key of the certificate that this node has asked for and did not get: the answer was lost, or the
// process ended before it was kept. Then the node asks again.
func (r *renewing) asked(n placement.Node) bool {
	key, err := r.credentials.nextKey()
	if err != nil {
		return false
	}
	pin := join.PinOf(&key.PublicKey)
	return n.HasPin(pin[:])
}

// renew gets a certificate of a new key from the leader of the meta group. Its clock, not this node's, says from when it is valid.
func (r *renewing) renew(m *placement.Map) error {
	ctx, cancel := context.WithTimeout(r.ctx, api.DefaultTimeout)
	defer cancel()
	key, err := r.credentials.nextKey()
	if err != nil {
		return err
	}
	csr, err := join.NewRequest(key)
	if err != nil {
		return err
	}
	answer, err := r.ask(ctx, &renewRequest{CSR: csr, Names: r.cfg.Names})
	if err != nil {
		return err
	}
	after, err := placement.DecodeMap(answer.Map)
	if err != nil {
		return err
	}
	if err := r.credentials.renewed(key, answer, m.Roots); err != nil {
		return err
	}
	r.served, r.last = time.Now(), time.Now()
	r.said.Clear("renewal")
	r.count(1)
	r.log.Info("renewed this node's certificate", "until", r.credentials.identity().Leaf.NotAfter)
	return r.view.Update(after)
}

// dropOld takes the pin of the key before out of the map, when the new key has served for long enough.
func (r *renewing) dropOld(id *join.Identity, n placement.Node) error {
	pin := id.Pin()
	if len(n.Pins) < 2 || !n.HasPin(pin[:]) {
		return nil
	}
	if r.served.IsZero() {
		r.served = time.Now()
	}
	if time.Since(r.served) < dropAfter {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, api.DefaultTimeout)
	defer cancel()
	answer, err := r.ask(ctx, &renewRequest{Drop: pin[:]})
	if err != nil {
		return err
	}
	after, err := placement.DecodeMap(answer.Map)
	if err != nil {
		return err
	}
	return r.view.Update(after)
}

// confirm says so if the map has a pin under this node's name that is not its own: another process has asked for it.
func (r *renewing) confirm(n placement.Node) {
	id := r.credentials.identity()
	if id == nil || len(n.Pins) == 0 {
		return
	}
	if pin := id.Pin(); n.HasPin(pin[:]) {
		r.said.Clear("pin")
		return
	}
	if write, _ := r.said.Say("pin", "not its own"); write {
		r.log.Error("ALARM: the key that the cluster has for this node is not its own", "node", r.cfg.ID)
	}
}

// ask carries a request to the leader of the meta group.
func (r *renewing) ask(ctx context.Context, q *renewRequest) (answer *certified, err error) {
	err = r.router.OnLeader(ctx, ident.MetaGroup, "renew", true, func(ctx context.Context, leader api.NodeID) (err error) {
		answer, err = methodRenew.Call(ctx, r.pool.Remote(leader), q)
		return err
	})
	return answer, err
}
