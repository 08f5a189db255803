package join

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

const (
	// Life is how long the certificate of a node is valid, for HTTPS clients: nodes compare no date.
	Life = 90 * 24 * time.Hour
	// MaxRequestBytes bounds a request for a certificate.
	MaxRequestBytes = 4 << 10
	// MaxNames bounds the names and addresses of a certificate, those that each has included.
	MaxNames = 32

	backdated = time.Hour // for clients whose clocks are behind
)

// NewRequest returns a request for a certificate of the key (PKCS #10, DER). It holds the key and the proof of having it.
func NewRequest(key *ecdsa.PrivateKey) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}

// CheckRequest returns the key of a request. CodeTooLarge over MaxRequestBytes; CodeInvalid if the key is not P-256, the request
// is not signed by it, or asks for anything but a certificate of the key: names and uses are the cluster's to give.
func CheckRequest(der []byte) (*ecdsa.PublicKey, error) {
	if len(der) > MaxRequestBytes {
		return nil, api.Errorf(api.CodeTooLarge, "a request for a certificate has at most %d bytes", MaxRequestBytes)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, &api.Error{Code: api.CodeInvalid, Hint: "not a request for a certificate", Err: err}
	}
	key, ok := r.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || key.Curve != elliptic.P256():
		return nil, api.Errorf(api.CodeInvalid, "a node's key is P-256")
	case len(r.Extensions) > 0 || len(r.ExtraExtensions) > 0:
		return nil, api.Errorf(api.CodeInvalid, "a request for a certificate names a key, and nothing else")
	case r.CheckSignature() != nil:
		return nil, api.Errorf(api.CodeInvalid, "the request for a certificate is not signed by its key")
	}
	return key, nil
}

// Template is what the certificate of a node says.
type Template struct {
	Subject Subject
	Key     *ecdsa.PublicKey
	// Names are host names and IP addresses at which HTTPS clients reach the node, beside those that every certificate has:
	// localhost, its addresses, and the node's own name ([ServerName]). Nodes never look at them.
	Names []string
	Now   time.Time
}

// Sign returns the certificate of a node in DER. CodeInvalid if a name of the template cannot stand in a certificate, or there are
// more than MaxNames.
func (ca *CA) Sign(t Template) ([]byte, error) {
	if err := t.Subject.Check(); err != nil {
		return nil, err
	}
	uri, err := url.Parse(t.Subject.URI())
	if err != nil {
		return nil, err
	}
	root := ca.Certificate
	now := t.Now
	if last := root.NotAfter.Add(-Life); now.After(last) {
		now = last
	}
	if first := root.NotBefore.Add(backdated); now.Before(first) {
		now = first
	}
	end := now.Add(Life)
	if end.After(root.NotAfter) {
		end = root.NotAfter
	}
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: string(t.Subject.Node)}, URIs: []*url.URL{uri},
		NotBefore: now.Add(-backdated), NotAfter: end, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if leaf.DNSNames, leaf.IPAddresses, err = t.names(); err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, leaf, root, t.Key, ca.key) // the serial number is random
}

// ServerName is the name of the node that only this cluster uses: with it a client is shown the node's own certificate, even if
// the node has another for clients. "" if the node's id cannot stand in a host name.
func ServerName(s Subject) string {
	label := strings.ToLower(string(s.Node))
	if len(label) > 63 || !IsHostName(label) {
		return ""
	}
	return label + OwnSuffix(s.Cluster)
}

// OwnSuffix is what the [ServerName] of each node of a cluster ends with.
func OwnSuffix(cluster string) string { return "." + cluster + ".edgehold" }

// names are the names and addresses of the certificate.
func (t Template) names() (hosts []string, ips []net.IP, err error) {
	hosts, ips = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}
	if own := ServerName(t.Subject); own != "" {
		hosts = append(hosts, own)
	}
	for _, n := range t.Names {
		ip := net.ParseIP(n)
		switch {
		case ip != nil && !slices.ContainsFunc(ips, ip.Equal):
			ips = append(ips, ip)
		case ip != nil || slices.Contains(hosts, n):
		case !IsHostName(n):
			return nil, nil, api.Errorf(api.CodeInvalid, "%q is neither a host name in lower case nor an IP address", n)
		default:
			hosts = append(hosts, n)
		}
	}
	if len(hosts)+len(ips) > MaxNames {
		return nil, nil, api.Errorf(api.CodeInvalid, "a certificate has at most %d names and addresses", MaxNames)
	}
	return hosts, ips, nil
}

// IsHostName reports whether a certificate of a node may name the host: labels of lower-case ASCII letters, digits, dashes and
// underscores.
func IsHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
