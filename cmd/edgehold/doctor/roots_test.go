package doctor

import (
	"crypto/x509"
	"path/filepath"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/fsm/placement"
)

// TestRoots compares the roots that clients are given with those of the map, and the node's certificate with them.
func TestRoots(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	planned, err := cluster.Plan(cluster.Planned{ClusterID: testCluster, Nodes: []cluster.PlannedNode{{ID: "s1", Region: "r", Role: api.RoleServer, Address: "s1:1"}}}, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		inMap  []*x509.Certificate
		inFile []*x509.Certificate
		by     *join.CA
		want   Verdict
		words  string
	}{
		{"good", []*x509.Certificate{ca.Certificate}, []*x509.Certificate{ca.Certificate}, ca, OK, "one of the 1 roots"},
		{"while roots change", []*x509.Certificate{other.Certificate, ca.Certificate}, []*x509.Certificate{other.Certificate, ca.Certificate}, ca, OK, "one of the 2 roots"},
		{"an old file", []*x509.Certificate{other.Certificate, ca.Certificate}, []*x509.Certificate{ca.Certificate}, ca, Fail, "lacks a root"},
		{"another CA", []*x509.Certificate{other.Certificate}, []*x509.Certificate{other.Certificate}, ca, Fail, "leads to no root"},
	} {
		x := examOf(t, &fakeNode{})
		m := *planned
		m.Roots = nil
		for _, r := range c.inMap {
			m.Roots = append(m.Roots, r.Raw)
		}
		write(t, x.Data, "placement", string(placement.EncodeMap(&m)), 0o600)
		write(t, x.Data, "identity/roots.pem", string(join.EncodeCertificates(c.inFile...)), 0o644)
		// Long past: no date counts between nodes.
		write(t, x.Data, "identity/cert.pem", string(join.EncodeCertificates(issued(t, c.by, time.Now().Add(-365*24*time.Hour)).Leaf)), 0o644)
		says(t, roots(t.Context(), x), c.want, c.words)
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
	x := examOf(t, &fakeNode{})
	says(t, roots(t.Context(), x), OK, "plain")
	write(t, x.Data, "identity/roots.pem", "nonsense", 0o644)
	says(t, roots(t.Context(), x), Fail, "cannot be read")
	write(t, x.Data, "identity/roots.pem", string(join.EncodeCertificates(ca.Certificate)), 0o644)
	says(t, roots(t.Context(), x), Skip, "start the node")
	write(t, x.Data, "placement", "nonsense", 0o600)
	says(t, roots(t.Context(), x), Fail, "placement map in the folder")
	x.Data = filepath.Join(x.Data, "nothing")
	says(t, roots(t.Context(), x), OK, "plain")
	x.Data = ""
	says(t, roots(t.Context(), x), Skip, "--data")
}
