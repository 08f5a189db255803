package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/fsm/placement"
)

// endsSoon is how long before its end a certificate is reported. Nodes renew theirs a month before.
const endsSoon = 14 * 24 * time.Hour

// identity checks that the certificate in the data folder is of a key that the cluster has for the node, and is being renewed.
func identity(_ context.Context, x *exam) []Finding {
	if x.Data == "" {
		return noData()
	}
	text, err := os.ReadFile(filepath.Join(x.Data, "identity", "cert.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		return ok("the node has no certificate: its cluster is plain")
	}
	if err != nil {
		return skip("run doctor as the user that runs the node", "%v", err)
	}
	chain, err := join.DecodeCertificates(text)
	if err != nil {
		return fail("get a token with \"edgehold cluster token create --for NODE\", and start the node with it", "identity/cert.pem cannot be read: %v", err)
	}
	if found := pinned(x.Data, chain[0]); found != nil {
		return found
	}
	return ends("the node's certificate", chain[0], "see the log of the node: why can it not renew?")
}

// pinned checks the certificate against the map that the folder keeps. It returns nothing if the map has its key, or cannot be read.
func pinned(data string, leaf *x509.Certificate) []Finding {
	name, err1 := os.ReadFile(filepath.Join(data, "node"))
	kept, err2 := os.ReadFile(filepath.Join(data, "placement"))
	if err := errors.Join(err1, err2); err != nil {
		return skip("start the node, and run doctor as its user", "the key cannot be compared with the map: %v", err)
	}
	m, err := placement.DecodeMap(kept)
	if err != nil {
		return fail("see docs/operations/failures.md", "the placement map in the folder cannot be read: %v", err)
	}
	id, _, _ := strings.Cut(string(name), "\n")
	n, known := m.Node(api.NodeID(id))
	switch {
	case !known:
		return fail("the cluster has removed it: join under a new name, with an empty folder", "the map has no node %s", id)
	case !join.Fingerprint(leaf).In(n.Pins):
		return fail("is this folder an old copy? Then remove the node and join under a new name", "the key in the folder is not the one that the map has for %s", id)
	}
	return nil
}

// ends judges how long a certificate is still good for clients. Between nodes no date is compared.
func ends(what string, leaf *x509.Certificate, next string) []Finding {
	left := time.Until(leaf.NotAfter)
	day := leaf.NotAfter.Format(time.DateOnly)
	switch {
	case left < 0:
		return fail(next, "%s ended on %s: clients refuse it", what, day)
	case left < endsSoon:
		return warn(next, "%s ends on %s", what, day)
	}
	return ok("%s is good until %s", what, day)
}

// https checks what clients see at the addresses of the nodes: a chain to a root that they trust, the host's name, and the end.
func https(ctx context.Context, x *exam) []Finding {
	s, err := x.status()
	if err != nil {
		return unanswered("the nodes to reach", err)
	}
	all := make([][]Finding, len(s.Nodes))
	var wg sync.WaitGroup
	for i, n := range s.Nodes {
		if strings.HasPrefix(n.URL, "https://") && n.State != "unreachable" {
			wg.Go(func() { all[i] = x.shown(ctx, n) })
		}
	}
	wg.Wait()
	found := slices.Concat(all...)
	if len(found) == 0 {
		return ok("no node that answers speaks TLS with clients")
	}
	bad := slices.DeleteFunc(slices.Clone(found), func(f Finding) bool { return f.Verdict == OK })
	if len(bad) == 0 {
		return ok("clients can check the certificates of %d nodes", len(found))
	}
	return bad
}

// shown examines the certificate that a node shows to clients.
func (x *exam) shown(ctx context.Context, n api.NodeStatus) []Finding {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	host := hostOf(n.URL)
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: x.Roots, ServerName: host, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}}
	c, err := dialer.DialContext(ctx, "tcp", addressOf(n.URL))
	if err == nil {
		leaf := c.(*tls.Conn).ConnectionState().PeerCertificates[0]
		_ = c.Close() // nothing was said
		return ends(fmt.Sprintf("the certificate of %s", n.Node), leaf, "see the log of that node: why can it not renew?")
	}
	_, other := errors.AsType[x509.HostnameError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case other:
		return fail("start the node with --names "+host, "the certificate of %s is not for %s", n.Node, host)
	case unknown:
		return fail("give --ca DATA/identity/roots.pem of a server", "the certificate of %s leads to no root that is trusted here", n.Node)
	case isInvalid && invalid.Reason == x509.Expired:
		return fail("see the log of that node, and the date of this machine", "the certificate of %s is not good today: %v", n.Node, err)
	}
	return fail("see the check reach", "%s at %s: %v", n.Node, n.URL, err)
}

// addressOf is the HOST:PORT of a URL.
func addressOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Port() != "" {
		return strings.TrimPrefix(address, u.Scheme+"://")
	}
	return net.JoinHostPort(u.Hostname(), "443")
}

// plain checks that no node lets clients and nodes speak without TLS over a network.
func plain(_ context.Context, x *exam) []Finding {
	s, err := x.status()
	if err != nil {
		return unanswered("the nodes", err)
	}
	var open []string
	for _, n := range s.Nodes {
		if strings.HasPrefix(n.URL, "http://") && !isLoopback(hostOf(n.URL)) {
			open = append(open, string(n.Node))
		}
	}
	if len(open) > 0 {
		return fail("edgehold cluster set security both, then tls: docs/operations/secure.md", "%d nodes speak plain TCP outside loopback, and anyone who reaches them can read and write everything: %s", len(open), strings.Join(open, ", "))
	}
	return ok("no node speaks plain TCP outside loopback")
}
