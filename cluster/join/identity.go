package join

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"

	"github.com/edgehold/edgehold/api"
)

// Identity is what a node proves itself with. It is not changed after it was made.
type Identity struct {
	// Subject is the node that the certificate names.
	Subject
	Key *ecdsa.PrivateKey
	// Leaf is the node's certificate.
	Leaf *x509.Certificate
	// Vouchers are those for the node's key, the newest first.
	Vouchers []*x509.Certificate
	// Root signed the certificate.
	Root *x509.Certificate
}

// NewKey makes a node's key.
func NewKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// NewIdentity checks what a cluster has given to a node, in DER: the certificate for the key, signed by one of roots, and at most
// MaxVouchers vouchers, which may be none. The error is a *RefusedError, or CodeInvalid for what cannot be read.
func NewIdentity(key *ecdsa.PrivateKey, certificate []byte, vouchers, roots [][]byte) (*Identity, error) {
	chain, err := ParseCertificates(append([][]byte{certificate}, vouchers...))
	if err != nil {
		return nil, err
	}
	trusted, err := ParseCertificates(roots)
	if err != nil {
		return nil, err
	}
	return newIdentity(key, chain, trusted)
}

func newIdentity(key *ecdsa.PrivateKey, chain, roots []*x509.Certificate) (*Identity, error) {
	s, err := VerifyChain(chain, roots, "")
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(s.Leaf.PublicKey) {
		return nil, refused(WhyKey, "the certificate is for another key than the node's")
	}
	id := &Identity{Subject: s.Subject, Key: key, Leaf: s.Leaf}
	for _, c := range chain[1:] {
		if !c.IsCA {
			id.Vouchers = append(id.Vouchers, c)
		}
	}
	for _, r := range roots {
		if s.Leaf.CheckSignatureFrom(r) == nil {
			id.Root = r
			break
		}
	}
	return id, nil
}

// Pin is the pin of the node's key.
func (x *Identity) Pin() Pin { return Fingerprint(x.Leaf) }

// ForNodes is what the node shows to other nodes: its certificate, the vouchers, and the root.
func (x *Identity) ForNodes() *tls.Certificate { return x.shown(x.Vouchers...) }

// ForClients is what the node shows to clients and to nodes that join: its certificate and the root.
func (x *Identity) ForClients() *tls.Certificate { return x.shown() }

func (x *Identity) shown(vouchers ...*x509.Certificate) *tls.Certificate {
	c := &tls.Certificate{Certificate: [][]byte{x.Leaf.Raw}, PrivateKey: x.Key, Leaf: x.Leaf}
	for _, v := range append(vouchers, x.Root) {
		c.Certificate = append(c.Certificate, v.Raw)
	}
	return c
}

// NextVouchers returns the vouchers to show with a new key: one by the present key, and the newest of those that there are.
func (x *Identity) NextVouchers(next *ecdsa.PublicKey) ([][]byte, error) {
	first, err := Vouch(x.Key, x.Subject, next)
	if err != nil {
		return nil, err
	}
	all := [][]byte{first}
	for _, v := range x.Vouchers[:min(len(x.Vouchers), MaxVouchers-1)] {
		all = append(all, v.Raw)
	}
	return all, nil
}

// Issue makes an identity at once, with the CA at hand, for planets whose nodes are known beforehand.
func (ca *CA) Issue(t Template) (*Identity, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	t.Key = &key.PublicKey
	leaf, err := ca.Sign(t)
	if err != nil {
		return nil, err
	}
	return NewIdentity(key, leaf, nil, [][]byte{ca.Certificate.Raw})
}

// ParseCertificates reads certificates in DER; CodeInvalid if one cannot be read.
func ParseCertificates(ders [][]byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, &api.Error{Code: api.CodeInvalid, Hint: "a certificate cannot be read", Err: err}
		}
		all = append(all, c)
	}
	return all, nil
}

// EncodeCertificates writes certificates in PEM.
func EncodeCertificates(certs ...*x509.Certificate) []byte {
	var text []byte
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

// DecodeCertificates reads the certificates of a text in PEM; CodeInvalid if there is none, or one cannot be read.
func DecodeCertificates(text []byte) ([]*x509.Certificate, error) {
	var ders [][]byte
	for b, rest := pem.Decode(text); b != nil; b, rest = pem.Decode(rest) {
		if b.Type == "CERTIFICATE" {
			ders = append(ders, b.Bytes)
		}
	}
	if len(ders) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "no certificate in PEM")
	}
	return ParseCertificates(ders)
}
