package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/subtle"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// What the leader of the meta group, which alone has the CA's key at hand, is asked about keys and certificates.
var (
	methodAdmit      = peer.NewMethod[admitRequest, certified]("Admit", admission.Control, peer.Servers)
	methodRenew      = peer.NewMethod[renewRequest, certified]("Renew", admission.Control, peer.Nodes)
	methodJoinTokens = peer.NewMethod[peer.Nothing, joinTokenList]("JoinTokens", admission.Control, peer.Servers)
)

// admitRequest carries what a node that joins has shown to a server. The secret of its token stays at that server.
type admitRequest struct {
	Token placement.TokenID `cbor:"1,keyasint"`
	Hash  []byte            `cbor:"2,keyasint"` // SHA-256 of the secret
	CSR   []byte            `cbor:"3,keyasint"`
	Node  placement.Node    `cbor:"4,keyasint"`
	Level placement.Level   `cbor:"5,keyasint,omitempty"`
	Fresh bool              `cbor:"6,keyasint,omitempty"` // the node's data folder belongs to no node yet
}

// renewRequest asks for a certificate of a new key, or, without a request for one, that the pin be the node's only one. The node is
// the caller.
type renewRequest struct {
	CSR   []byte   `cbor:"1,keyasint,omitempty"`
	Names []string `cbor:"2,keyasint,omitempty"`
	Drop  []byte   `cbor:"3,keyasint,omitempty"` // the pin that stays
}

// certified is a node's certificate with what belongs to it.
type certified struct {
	Certificate []byte   `cbor:"1,keyasint,omitempty"` // DER
	Vouchers    [][]byte `cbor:"2,keyasint,omitempty"` // DER
	Map         []byte   `cbor:"3,keyasint,omitempty"`
	// Refused is why a token is not valid, for the log of the server that was asked; "" if it is.
	Refused string `cbor:"4,keyasint,omitempty"`
}

// joinTokenList has the join tokens without their hashes.
type joinTokenList struct {
	Tokens []placement.JoinToken `cbor:"1,keyasint,omitempty"`
}

// vaultGroup is the placement map's group at a voter, with its vault; a *meta.Meta is one.
type vaultGroup interface {
	metaGroup
	Vault(ctx context.Context) (*placement.Vault, error)
	Secured() bool
	RemovedEdge(id api.NodeID) bool
}

// registrar admits nodes and signs their certificates, at the leader of the meta group.
type registrar struct {
	*membership
	meta func() vaultGroup // of this node; nil if it has no voter of it
	pace *touches          // of nodes that change their own entries; nil is not bounded
	// clocks returns the wall clocks of the voters of the meta group; nil unless a majority answers.
	clocks func(ctx context.Context) []time.Time
	now    func() time.Time
}

func (r *registrar) register(s *peer.Server) {
	methodAdmit.Handle(s, r.admit)
	methodRenew.Handle(s, r.renew)
	methodJoinTokens.Handle(s, r.list)
}

// vault returns the vault and the map as the leader has them.
func (r *registrar) vault(ctx context.Context) (vaultGroup, *placement.Vault, *placement.Map, error) {
	m := r.meta()
	if m == nil {
		return nil, nil, nil, remote.NotHere(ident.MetaGroup)
	}
	v, err := m.Vault(ctx)
	return m, v, m.Map(), err
}

// admit lets a node in by a join token, and signs its certificate. When a token ends is judged here, by the wall clock; everything
// else in the log.
func (r *registrar) admit(ctx context.Context, q *admitRequest) (*certified, error) {
	key, err := join.CheckRequest(q.CSR)
	if err != nil {
		return nil, err
	}
	group, vault, now, err := r.vault(ctx)
	if err != nil {
		return nil, err
	}
	if len(vault.CAKey) == 0 {
		return nil, noKey()
	}
	if cause := r.invalid(ctx, vault, q); cause != "" {
		return &certified{Refused: cause}, nil
	}
	pin := join.PinOf(key)
	n := q.Node
	n.Pins = [][]byte{pin[:]}
	old, known := now.Node(n.ID)
	if known && q.Fresh && n.Role == api.RoleServer && !old.HasPin(pin[:]) {
		return nil, forgotten(n.ID)
	}
	after, err := group.Propose(ctx, placement.Admit{Token: q.Token, Hash: q.Hash, Node: n, Level: q.Level})
	if api.CodeOf(err) == api.CodeUnauthenticated {
		return &certified{Refused: "spent or revoked meanwhile"}, nil
	}
	if err != nil {
		return nil, err
	}
	return r.sign(vault, after.Map, n.ID, key)
}

// noKey is the refusal of a planet whose nodes were all known beforehand.
func noKey() *api.Error {
	return api.Errorf(api.CodeConflict, "the key of this cluster's CA was not kept: no further node can join, and no certificate be renewed")
}

// forgotten is the refusal of a server that has lost its data: it may not vote under the name of what it was.
func forgotten(id api.NodeID) *api.Error {
	return api.Errorf(api.CodeConflict, "the cluster knows a node %s, but this data folder is new; start it with its old folder, or under a new id", id)
}

// invalid returns why a join token is not valid; "" if it is, as far as the leader knows before the log decides.
func (r *registrar) invalid(ctx context.Context, v *placement.Vault, q *admitRequest) string {
	t, ok := v.Token(q.Token)
	switch {
	case subtle.ConstantTimeCompare(t.Hash, q.Hash) != 1 && ok:
		return "its secret is wrong"
	case !ok:
		return "it is unknown or was revoked"
	case t.Ends != 0 && r.now().Unix() > t.Ends && r.clockIsRight(ctx):
		return "it has ended"
	}
	return ""
}

// clockIsRight reports whether this node's wall clock is near those of the other voters of the meta group.
func (r *registrar) clockIsRight(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	if clockAgrees(r.clocks(ctx), r.now()) {
		return true
	}
	r.log.Error("ALARM: this node's clock differs from those of the other voters of the meta group, or too few answer: no join token ends")
	return false
}

// sign makes the certificate of a node that the map has, with the leader's word for a server, so that servers whose map is older
// accept it.
func (r *registrar) sign(v *placement.Vault, m *placement.Map, id api.NodeID, key *ecdsa.PublicKey) (*certified, error) {
	n, ok := m.Node(id)
	if !ok || len(m.Roots) == 0 {
		return nil, api.Errorf(api.CodeUnavailable, "the placement map does not have node %s any more", id)
	}
	ca, err := join.OpenCA(m.Roots[0], v.CAKey)
	if err != nil {
		return nil, err
	}
	subject := join.Subject{Cluster: m.ClusterID, Region: n.Region, Role: n.Role, Node: n.ID}
	leaf, err := ca.Sign(join.Template{Subject: subject, Key: key, Names: certNames(n), Now: r.now()})
	if err != nil {
		return nil, err
	}
	c := &certified{Certificate: leaf, Map: placement.EncodeMap(m)}
	own := r.credentials.identity()
	if own == nil || n.Role != api.RoleServer || n.ID == r.cfg.ID {
		return c, nil
	}
	voucher, err := join.Vouch(own.Key, subject, key)
	c.Vouchers = [][]byte{voucher}
	return c, err
}

// certNames are the names under which a node serves HTTPS clients: those that the map has, and the host that the node advertises. An
// edge has a host that it only claims for itself left out, unless that is its own id or its join token allows it.
func certNames(n placement.Node) []string {
	host, _, err := net.SplitHostPort(n.Address)
	if host = strings.ToLower(host); err != nil || !placement.IsHost(host) || slices.Contains(n.Names, host) {
		return n.Names
	}
	if !n.MayBeNamed(host) && host != strings.ToLower(string(n.ID)) {
		return n.Names
	}
	return append(slices.Clone(n.Names), host)
}

// renew gives the calling node a certificate of a new key, which the map has beside the old one; or lets it drop the old one. No date
// counts: a node whose certificate has ended renews it like any other.
func (r *registrar) renew(ctx context.Context, q *renewRequest) (*certified, error) {
	group, vault, now, err := r.vault(ctx)
	if err != nil {
		return nil, err
	}
	c := peer.CallerFrom(ctx)
	id := c.Node
	if len(q.Drop) > 0 {
		after, err := r.rekey(ctx, group, c, placement.Rekey{Node: id, Pin: q.Drop, Drop: true})
		if err != nil {
			return nil, err
		}
		return &certified{Map: placement.EncodeMap(after.Map)}, nil
	}
	key, err := join.CheckRequest(q.CSR)
	if err != nil {
		return nil, err
	}
	if len(now.Roots) == 0 {
		return nil, placement.PlainCluster()
	}
	if len(vault.CAKey) == 0 {
		return nil, noKey()
	}
	pin := join.PinOf(key)
	after, err := r.rekey(ctx, group, c, placement.Rekey{Node: id, Pin: pin[:], Names: q.Names})
	if err != nil {
		return nil, err
	}
	return r.sign(vault, after.Map, id, key)
}

// rekey changes the keys of the calling node. One that has a key already proves that it is the node by it: over a connection without TLS
// it can only ask for the certificate of that key again.
func (r *registrar) rekey(ctx context.Context, group vaultGroup, c *peer.Caller, x placement.Rekey) (meta.Applied, error) {
	if n, ok := group.Map().Node(x.Node); ok && c.Plain && len(n.Pins) > 0 && (x.Drop || !n.HasPin(x.Pin)) {
		return meta.Applied{}, api.Errorf(api.CodeDenied, "node %s has a key already, which its connection does not prove: it renews the key over TLS, or gets a token with --for %s", x.Node, x.Node)
	}
	if err := r.pace.allow(group.Map(), x); err != nil {
		return meta.Applied{}, err
	}
	return group.Propose(ctx, x)
}

// list returns the join tokens without their hashes.
func (r *registrar) list(ctx context.Context, _ *peer.Nothing) (*joinTokenList, error) {
	_, v, _, err := r.vault(ctx)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(v.Tokens)
	for i := range all {
		all[i].Hash = nil
	}
	return &joinTokenList{all}, nil
}
