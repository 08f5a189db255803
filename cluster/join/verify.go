package join

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// Limits of what a node shows.
const (
	MaxChain    = 4 // the node's certificate and those of CAs
	MaxVouchers = 4
	MaxRoots    = 4
)

// Why says why a node is refused; it is the label of a metric.
type Why string

// The reasons, in the order in which they are looked for.
const (
	WhyNone    Why = "none"    // no certificate
	WhyChain   Why = "chain"   // no root of the cluster signed the certificate, or it is no certificate of a node
	WhyName    Why = "name"    // it does not name exactly one node
	WhyCluster Why = "cluster" // it names a node of another cluster
	WhyOther   Why = "other"   // another node answers than the one that was dialled
	WhyRemoved Why = "removed" // the node was removed from the cluster
	WhyUnknown Why = "unknown" // the placement map has no such node
	WhyKey     Why = "key"     // the node has another key, or another region or role
)

// RefusedError is why a node at the other end of a connection is refused. It holds no secret.
type RefusedError struct {
	Why  Why
	Text string
}

func (e *RefusedError) Error() string { return e.Text }

func refused(why Why, format string, args ...any) *RefusedError {
	return &RefusedError{why, fmt.Sprintf(format, args...)}
}

// Shown is what the certificates of a node prove by themselves: a root of the cluster signed that the key with this pin is the
// subject's. Whether the cluster knows the node with this key is for [Accept].
type Shown struct {
	Subject
	Pin      Pin
	Vouchers []Voucher
	Leaf     *x509.Certificate
}

// VerifyChain checks what a node has shown: its certificate first, then those of CAs and vouchers in any order. One of roots must
// have signed the certificate itself. "" for cluster accepts any cluster. No date is compared. The error is a *RefusedError.
func VerifyChain(chain, roots []*x509.Certificate, cluster string) (*Shown, error) {
	if len(chain) == 0 {
		return nil, refused(WhyNone, "no certificate was shown")
	}
	leaf := chain[0]
	var cas int
	var vouchers []*x509.Certificate
	for _, c := range chain[1:] {
		if c.IsCA {
			cas++
		} else {
			vouchers = append(vouchers, c)
		}
	}
	if cas >= MaxChain || len(vouchers) > MaxVouchers {
		return nil, refused(WhyChain, "more than %d certificates or %d vouchers were shown", MaxChain, MaxVouchers)
	}
	if err := checkLeaf(leaf); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(roots, func(r *x509.Certificate) bool { return leaf.CheckSignatureFrom(r) == nil }) {
		return nil, refused(WhyChain, "the certificate is not signed by a root of the cluster")
	}
	subject, err := subjectOf(leaf)
	if err != nil {
		return nil, err
	}
	if cluster != "" && subject.Cluster != cluster {
		return nil, refused(WhyCluster, "the certificate is that of a node of cluster %s", subject.Cluster)
	}
	s := &Shown{Subject: subject, Pin: Fingerprint(leaf), Leaf: leaf}
	for _, c := range vouchers {
		v, err := parseVoucher(c, subject)
		if err != nil {
			return nil, err
		}
		s.Vouchers = append(s.Vouchers, v)
	}
	return s, nil
}

// checkLeaf checks that a certificate is one that Sign makes.
func checkLeaf(c *x509.Certificate) error {
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	switch {
	case c.IsCA:
		return refused(WhyChain, "the certificate is that of a CA, not of a node")
	case !ok || key.Curve != elliptic.P256():
		return refused(WhyChain, "the key of the certificate is not P-256")
	case c.KeyUsage&x509.KeyUsageDigitalSignature == 0,
		!slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth), !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return refused(WhyChain, "the certificate is not meant for the connections of nodes")
	case len(c.UnhandledCriticalExtensions) > 0:
		return refused(WhyChain, "the certificate has an extension that is not known")
	}
	return nil
}

var oidAltNames = asn1.ObjectIdentifier{2, 5, 29, 17}

// subjectOf reads the subject of the certificate: its one URI, byte for byte.
func subjectOf(c *x509.Certificate) (Subject, error) {
	var uris []string
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidAltNames) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &names); err != nil || len(rest) > 0 {
			return Subject{}, refused(WhyName, "the names of the certificate cannot be read")
		}
		for _, n := range names {
			if n.Class == asn1.ClassContextSpecific && n.Tag == 6 {
				uris = append(uris, string(n.Bytes))
			}
		}
	}
	if len(uris) != 1 {
		return Subject{}, refused(WhyName, "the certificate names %d nodes", len(uris))
	}
	s, ok := parseURI(uris[0])
	if !ok {
		return Subject{}, refused(WhyName, "the certificate names %.200q, which is no node", uris[0])
	}
	return s, nil
}

// Known is what a node knows of the cluster, in order to judge others. Its functions must not block.
type Known struct {
	// Node returns the node as the placement map has it, and its pins; false if the map does not have it.
	Node func(api.NodeID) (region api.RegionID, role api.Role, pins [][]byte, ok bool)
	// Removed reports whether the id belonged to a node that was removed.
	Removed func(api.NodeID) bool
	// Server reports whether the pin is that of a server in the map.
	Server func(Pin) bool
}

// Accept decides whether a node that has shown its certificate is one of the cluster: the map has it, in the same region and role,
// with its key or with one that vouches for its key; or the map does not have it, it is a server, and another server of the map
// vouches for its key. The error is a *RefusedError. A holder of the CA's key can make certificates, but neither pins nor
// vouchers.
func Accept(s *Shown, k Known) error {
	region, role, pins, ok := k.Node(s.Node)
	switch {
	case !ok && k.Removed(s.Node):
		return refused(WhyRemoved, "node %s was removed from the cluster", s.Node)
	case ok && (region != s.Region || role != s.Role):
		return refused(WhyKey, "node %s is a %s in region %s, not a %s in region %s", s.Node, role, region, s.Role, s.Region)
	case ok && (s.Pin.In(pins) || s.vouchedBy(func(p Pin) bool { return p.In(pins) })):
		return nil
	case ok && guardPin:
		return refused(WhyKey, "the certificate of node %s has another key than the cluster knows", s.Node)
	case ok:
		return nil
	case s.Role == api.RoleServer && s.vouchedBy(k.Server):
		return nil
	}
	return refused(WhyUnknown, "the cluster knows no node %s", s.Node)
}
