package cluster

import (
	"math"
	"time"
)

// identityFigures are what is measured of TLS.
type identityFigures struct {
	refused   func(n float64, why ...string)
	expired   func(n float64, _ ...string)
	broken    func(n float64, _ ...string) // certificates for clients that could not be read
	handshake func(kind string, took time.Duration, err error)
}

func noFigures() identityFigures {
	none := func(float64, ...string) {}
	return identityFigures{refused: none, expired: none, broken: none, handshake: func(string, time.Duration, error) {}}
}

// openSecurity registers what is measured of TLS, reads the certificate for clients, and keeps both in step: connections with the map,
// and the certificate with its files.
func (n *Node) openSecurity() (func() error, error) {
	s := n.membership.security
	s.measure(n.metrics)
	s.learn = n.refresher.learn
	s.members = n.members.configured
	s.edges = n.members.vaultGroup
	var err error
	if s.clients, err = openClientCertificate(n.cfg.TLSCert, n.cfg.TLSKey); err != nil {
		return nil, err
	}
	if s.clients != nil && s.clients.wide {
		s.log.Warn("others may read the key of the certificate for clients, and its file system is read-only", "file", n.cfg.TLSKey)
	}
	b := newBackground()
	b.every(plainGrace/4, s.view.Changed, s.links.Review)
	if s.clients != nil {
		b.every(clientCertificateEvery, never, s.reloadClients)
	}
	return ending(b.close), nil
}

// Reload reads again what the node was given in files: the certificate for clients. It logs what it cannot use, and goes on with
// what it had.
func (n *Node) Reload() { n.membership.security.reloadClients() }

func (s *security) reloadClients() {
	if s.clients == nil {
		return
	}
	const subject = "certificate for clients"
	changed, err := s.clients.reload()
	switch {
	case err != nil:
		s.figures.broken(1)
		if write, _ := s.said.Say(subject, err.Error()); write {
			s.log.Error("the certificate for clients cannot be read again; the one before stays in use", "error", err)
		}
	case changed:
		_, _ = s.said.Clear(subject)
		s.log.Info("clients are shown a new certificate", "file", s.cfg.TLSCert)
	}
}

func (s *security) measure(m metrics) {
	done := m.Counter("edgehold_identity_handshakes_total", "TLS handshakes that this node answered, by kind of caller and by outcome.", "whom", "outcome")
	took := m.Histogram("edgehold_identity_handshake_seconds", "Duration of a TLS handshake, without the wait for its slot.", "whom")
	s.figures = identityFigures{
		refused: m.Counter("edgehold_identity_refused_peers_total", "Nodes that were refused for what they have shown, by why.", "why"),
		expired: m.Counter("edgehold_identity_expired_peers_total", "Connections of nodes whose certificate was past its date; they are accepted."),
		broken:  m.Counter("edgehold_identity_client_cert_errors_total", "Failures to read the certificate for clients again; the one before stays in use."),
		handshake: func(kind string, d time.Duration, err error) {
			outcome := "ok"
			if err != nil {
				outcome = "failed"
			}
			done(1, kind, outcome)
			if err == nil {
				took(d.Seconds(), kind)
			}
		},
	}
	m.Gauge("edgehold_identity_not_after_seconds", "When the certificate of this node ends for HTTPS clients, in Unix seconds; NaN if it has none.", func() float64 {
		if id := s.credentials.identity(); id != nil {
			return float64(id.Leaf.NotAfter.Unix())
		}
		return math.NaN()
	})
}
