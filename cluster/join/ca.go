package join

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"time"

	"github.com/edgehold/edgehold/api"
)

// CA signs the certificates of a cluster's nodes. Its certificate is the cluster's root. Safe for concurrent use.
type CA struct {
	// Certificate is the root.
	Certificate *x509.Certificate
	key         crypto.Signer
}

// The life of a root that Edgehold makes.
var (
	rootBegin = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	rootEnd   = time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC)
)

// NewCA makes the CA of a new cluster: a P-256 key, and a certificate that it signs itself.
func NewCA(cluster string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root := &x509.Certificate{
		Subject: pkix.Name{CommonName: "edgehold " + cluster}, NotBefore: rootBegin, NotAfter: rootEnd,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return open(der, key)
}

// OpenCA returns the CA with the certificate and the key (PKCS #8) in DER.
func OpenCA(certificate, key []byte) (*CA, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return nil, notCA("its key cannot be read", err)
	}
	return open(certificate, parsed)
}

// ParseCA returns a CA of your own, in PEM: the first certificate, whichever CA signed it, becomes the root. Its key is P-256 or P-384.
func ParseCA(certificate, key []byte) (*CA, error) {
	c, _ := pem.Decode(certificate)
	if c == nil || c.Type != "CERTIFICATE" {
		return nil, notCA("the file has no certificate in PEM", nil)
	}
	k, err := parseKey(key)
	if err != nil {
		return nil, notCA("its key cannot be read", err)
	}
	return open(c.Bytes, k)
}

func open(der []byte, key any) (*CA, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, notCA("its certificate cannot be read", err)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	switch {
	case !ok || signer.Curve != elliptic.P256() && signer.Curve != elliptic.P384():
		return nil, notCA("its key is neither P-256 nor P-384", nil)
	case !signer.PublicKey.Equal(c.PublicKey):
		return nil, notCA("its key is that of another certificate", nil)
	case !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, notCA("its certificate may not sign others (CA:TRUE is missing)", nil)
	}
	return &CA{Certificate: c, key: signer}, nil
}

func notCA(hint string, err error) error {
	return &api.Error{Code: api.CodeInvalid, Op: "ca", Hint: "this is not a CA that Edgehold can use: " + hint, Err: err}
}

// Key is the CA's key in PKCS #8, a secret.
func (ca *CA) Key() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(ca.key) }

// parseKey reads a private key in PEM, in any of the usual forms.
func parseKey(text []byte) (any, error) {
	for b, rest := pem.Decode(text); b != nil; b, rest = pem.Decode(rest) {
		switch b.Type {
		case "PRIVATE KEY":
			return x509.ParsePKCS8PrivateKey(b.Bytes)
		case "EC PRIVATE KEY":
			return x509.ParseECPrivateKey(b.Bytes)
		}
	}
	return nil, api.Errorf(api.CodeInvalid, "no private key in PEM")
}
