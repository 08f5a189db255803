package join

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

const testCluster = "0123456789abcdef"

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func server(node api.NodeID) Subject {
	return Subject{Cluster: testCluster, Region: "us-east", Role: api.RoleServer, Node: node}
}

func edge(node api.NodeID) Subject {
	return Subject{Cluster: testCluster, Region: "us-east", Role: api.RoleEdge, Node: node}
}

func (ca *CA) issue(t *testing.T, s Subject) *Identity {
	t.Helper()
	id, err := ca.Issue(Template{Subject: s, Now: epoch})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// chain is what the identity shows to nodes.
func (x *Identity) chain() []*x509.Certificate {
	return must(ParseCertificates(x.ForNodes().Certificate))
}

// renewed is the identity under a new key that the old one vouches for.
func (ca *CA) renewed(t *testing.T, x *Identity) *Identity {
	t.Helper()
	key := must(NewKey())
	leaf := must(ca.Sign(Template{Subject: x.Subject, Key: &key.PublicKey, Now: epoch}))
	id, err := NewIdentity(key, leaf, must(x.NextVouchers(&key.PublicKey)), [][]byte{ca.Certificate.Raw})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func vouched(t *testing.T, x *Identity, by *ecdsa.PrivateKey) *Identity {
	t.Helper()
	v, err := x509.ParseCertificate(must(Vouch(by, x.Subject, &x.Key.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	y := *x
	y.Vouchers = []*x509.Certificate{v}
	return &y
}

func expectWhy(t *testing.T, what string, err error, want Why) {
	t.Helper()
	var e *RefusedError
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: refused: %v", what, err)
	case want != "" && (!errors.As(err, &e) || e.Why != want):
		t.Errorf("%s: got %v, want a refusal of the kind %s", what, err, want)
	}
}

// book is a placement map in small.
type book struct {
	nodes   map[api.NodeID]*Identity
	removed map[api.NodeID]bool
}

func bookOf(ids ...*Identity) *book {
	b := &book{nodes: map[api.NodeID]*Identity{}, removed: map[api.NodeID]bool{}}
	for _, x := range ids {
		b.nodes[x.Node] = x
	}
	return b
}

func (b *book) known() Known {
	return Known{
		Node: func(id api.NodeID) (api.RegionID, api.Role, [][]byte, bool) {
			x, ok := b.nodes[id]
			if !ok {
				return "", "", nil, false
			}
			pin := x.Pin()
			return x.Region, x.Role, [][]byte{pin[:]}, true
		},
		Removed: func(id api.NodeID) bool { return b.removed[id] },
		Server: func(p Pin) bool {
			for _, x := range b.nodes {
				if x.Role == api.RoleServer && x.Pin() == p {
					return true
				}
			}
			return false
		},
	}
}
