package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/fsm/placement"
)

const testCluster = "0123456789abcdef"

// issued is the identity of the server s1, signed at a time, with names for clients.
func issued(t *testing.T, ca *join.CA, at time.Time, names ...string) *join.Identity {
	t.Helper()
	id, err := ca.Issue(join.Template{Subject: join.Subject{Cluster: testCluster, Region: "r", Role: api.RoleServer, Node: "s1"}, Names: names, Now: at})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newCA(t *testing.T) *join.CA {
	t.Helper()
	ca, err := join.NewCA(testCluster)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// TestIdentity checks the certificate in a data folder against the map that the folder keeps, and its end.
func TestIdentity(t *testing.T) {
	ca := newCA(t)
	mine := issued(t, ca, time.Now())
	pin := mine.Pin()
	for _, c := range []struct {
		name  string
		id    *join.Identity
		node  string
		pins  [][]byte
		want  Verdict
		words string
	}{
		{"good", mine, "s1", [][]byte{pin[:]}, OK, "good until"},
		{"of another key", issued(t, ca, time.Now()), "s1", [][]byte{pin[:]}, Fail, "old copy"},
		{"removed", mine, "s9", nil, Fail, "the map has no node s9"},
	} {
		x := examOf(t, &fakeNode{})
		planned, err := cluster.Plan(cluster.Planned{ClusterID: testCluster, Nodes: []cluster.PlannedNode{{ID: "s1", Region: "r", Role: api.RoleServer, Address: "s1:1"}}}, 1, 3)
		if err != nil {
			t.Fatal(err)
		}
		m := *planned
		m.Nodes = []placement.Node{m.Nodes[0]}
		m.Nodes[0].Pins = c.pins
		write(t, x.Data, "placement", string(placement.EncodeMap(&m)), 0o600)
		write(t, x.Data, "node", c.node+"\nr\nserver\n\n", 0o600)
		write(t, x.Data, "identity/cert.pem", string(join.EncodeCertificates(c.id.Leaf)), 0o644)
		found := identity(t.Context(), x)
		says(t, found, c.want, c.words)
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
	x := examOf(t, &fakeNode{})
	says(t, identity(t.Context(), x), OK, "plain")
	write(t, x.Data, "identity/cert.pem", "nonsense", 0o644)
	says(t, identity(t.Context(), x), Fail, "--for NODE")
	x.Data = ""
	says(t, identity(t.Context(), x), Skip, "--data")
}

func TestCertificatesEnd(t *testing.T) {
	for left, want := range map[time.Duration]Verdict{-time.Hour: Fail, 24 * time.Hour: Warn, 30 * 24 * time.Hour: OK} {
		says(t, ends("it", &x509.Certificate{NotAfter: time.Now().Add(left)}, "renew it"), want, "it ")
	}
}

// TestHTTPS shows certificates to a client: one that it can check, one of another host, one of a root that it does not know.
func TestHTTPS(t *testing.T) {
	ca := newCA(t)
	serve := func(id *join.Identity, host string) *api.Status {
		t.Helper()
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Skip("this system has no " + host)
		}
		_ = s.Listener.Close()
		s.Listener = l
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{*id.ForClients()}}
		s.StartTLS()
		t.Cleanup(s.Close)
		return &api.Status{Nodes: []api.NodeStatus{
			{Node: "s1", Role: api.RoleServer, URL: s.URL, State: "up"},
			{Node: "s2", Role: api.RoleServer, URL: "https://127.0.0.1:1", State: "unreachable"},
		}}
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	for _, c := range []struct {
		status *api.Status
		roots  *x509.CertPool
		want   Verdict
		words  string
	}{
		{serve(issued(t, ca, time.Now()), "127.0.0.1"), roots, OK, "of 1 nodes"},
		{serve(issued(t, ca, time.Now()), "127.0.0.2"), roots, Fail, "--names 127.0.0.2"},
		{serve(issued(t, ca, time.Now().Add(-2*365*24*time.Hour)), "127.0.0.1"), roots, Fail, "not good today"},
		{serve(issued(t, ca, time.Now().Add(-85*24*time.Hour)), "127.0.0.1"), roots, Warn, "ends on"},
		{serve(issued(t, ca, time.Now()), "127.0.0.1"), x509.NewCertPool(), Fail, "--ca DATA/identity/roots.pem"},
		{planet("127.0.0.1:1"), roots, OK, "no node that answers speaks TLS"},
	} {
		x := examOf(t, &fakeNode{status: c.status})
		x.Roots = c.roots
		says(t, https(t.Context(), x), c.want, c.words)
	}
}

func TestPlain(t *testing.T) {
	says(t, plain(t.Context(), examOf(t, &fakeNode{status: planet("10.0.0.1:1", "10.0.0.2:1")})), Fail, "2 nodes speak plain TCP outside loopback")
	says(t, plain(t.Context(), examOf(t, &fakeNode{status: planet("127.0.0.1:1", "localhost:1", "[::1]:1")})), OK, "no node")
	tls := planet("10.0.0.1:1")
	tls.Nodes[0].URL = "https://10.0.0.1:1"
	says(t, plain(t.Context(), examOf(t, &fakeNode{status: tls})), OK, "no node")
}
