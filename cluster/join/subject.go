package join

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// Pin is the SHA-256 of a public key, as a certificate holds it (SubjectPublicKeyInfo). The placement map has the pins of each
// node. The pin of a root is called its fingerprint.
type Pin [sha256.Size]byte

// PinOf returns the pin of a public key; the zero Pin, which is no key's, if X.509 cannot hold the key.
func PinOf(key crypto.PublicKey) Pin {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Pin{}
	}
	return sha256.Sum256(der)
}

// Fingerprint is the pin of a certificate's key.
func Fingerprint(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// In reports whether the pin is in a list as the placement map keeps it.
func (p Pin) In(pins [][]byte) bool {
	return slices.ContainsFunc(pins, func(o []byte) bool { return string(o) == string(p[:]) })
}

// String is "sha256:" and the pin in hexadecimal.
func (p Pin) String() string { return "sha256:" + hex.EncodeToString(p[:]) }

// Subject is the node that a certificate names.
type Subject struct {
	Cluster string
	Region  api.RegionID
	Role    api.Role
	Node    api.NodeID
}

const uriScheme = "spiffe://"

// URI is the subject as it stands in a certificate.
func (s Subject) URI() string {
	return uriScheme + s.Cluster + "/" + string(s.Region) + "/" + string(s.Role) + "/" + string(s.Node)
}

// The parts of a URI stand there as they are: no byte is ever escaped, so two spellings of one name do not exist.
var (
	clusterName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62})$`)
	regionName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,98}[a-z0-9])?$`)
	nodeName    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$`)
)

// Check returns CodeInvalid if a part of the subject cannot stand in a certificate.
func (s Subject) Check() error {
	switch {
	case !clusterName.MatchString(s.Cluster):
		return api.Errorf(api.CodeInvalid, "%q cannot be the id of a cluster in a certificate", s.Cluster)
	case !regionName.MatchString(string(s.Region)):
		return api.Errorf(api.CodeInvalid, "%q cannot be the name of a region: a region name has lower-case letters, digits and dashes", s.Region)
	case s.Role != api.RoleServer && s.Role != api.RoleEdge:
		return api.Errorf(api.CodeInvalid, "a node is a server or an edge, not %q", s.Role)
	case !nodeName.MatchString(string(s.Node)):
		return api.Errorf(api.CodeInvalid, "%q cannot be the name of a node: a node name has letters, digits, dots, dashes and underscores", s.Node)
	}
	return nil
}

// parseURI is the reverse of URI; false for every other spelling.
func parseURI(uri string) (Subject, bool) {
	path, ok := strings.CutPrefix(uri, uriScheme)
	parts := strings.Split(path, "/")
	if !ok || len(parts) != 4 {
		return Subject{}, false
	}
	s := Subject{Cluster: parts[0], Region: api.RegionID(parts[1]), Role: api.Role(parts[2]), Node: api.NodeID(parts[3])}
	return s, s.Check() == nil
}
