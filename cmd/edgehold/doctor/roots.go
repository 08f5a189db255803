package doctor

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/fsm/placement"
)

// roots checks that the roots in the data folder, which clients are given, are those of the cluster, and that the node's certificate
// leads to one of them.
func roots(_ context.Context, x *exam) []Finding {
	if x.Data == "" {
		return noData()
	}
	have, err := readCertificates(x.Data, "roots.pem")
	if errors.Is(err, fs.ErrNotExist) {
		return ok("the node has no roots: its cluster is plain")
	}
	if errors.Is(err, fs.ErrPermission) {
		return skip("run doctor as the user that runs the node", "%v", err)
	}
	if err != nil {
		return fail("restart the node: it writes the file anew", "identity/roots.pem cannot be read: %v", err)
	}
	kept, err := os.ReadFile(filepath.Join(x.Data, "placement"))
	if err != nil {
		return skip("start the node, and run doctor as its user", "the roots cannot be compared with the map: %v", err)
	}
	m, err := placement.DecodeMap(kept)
	if err != nil {
		return fail("see docs/operations/failures.md", "the placement map in the folder cannot be read: %v", err)
	}
	for _, der := range m.Roots {
		if !slices.ContainsFunc(have, func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, der) }) {
			return fail("restart the node: it writes the file anew; then give clients the new file", "identity/roots.pem lacks a root of the cluster: clients that have it refuse nodes")
		}
	}
	return rooted(x.Data, m.Roots)
}

// rooted checks that the node's certificate was signed by one of the cluster's roots, whatever the date.
func rooted(data string, ders [][]byte) []Finding {
	chain, err := readCertificates(data, "cert.pem")
	if err != nil {
		return skip("see the check identity", "the node's certificate cannot be read: %v", err)
	}
	for _, der := range ders {
		if c, err := x509.ParseCertificate(der); err == nil && chain[0].CheckSignatureFrom(c) == nil {
			return ok("the node's certificate leads to one of the %d roots of the cluster, and clients are given all of them", len(ders))
		}
	}
	return fail("get a token with \"edgehold cluster token create --for NODE\", and start the node with it", "the node's certificate leads to no root of the cluster")
}

// readCertificates reads a file of the folder "identity". There is one certificate at least.
func readCertificates(data, name string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(filepath.Join(data, "identity", name))
	if err != nil {
		return nil, err
	}
	return join.DecodeCertificates(text)
}
