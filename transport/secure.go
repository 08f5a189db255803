package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"time"
)

// The protocols that nodes name when a connection begins (ALPN). Everything else is a client.
const (
	ALPNNode = "edgehold/1"
	ALPNJoin = "edgehold-join/1"
)

// Secure is TLS on a port. What a connection is follows from the protocol that its client names: a node, a node that joins, or a
// client. Its functions are called for each connection, and must not block; a nil one, or one that returns nil, offers nothing to
// such connections.
type Secure struct {
	// Node is the TLS of connections between nodes. It demands a certificate, gives no tickets, and offers ALPNNode alone.
	Node func() *tls.Config
	// Join is the TLS of nodes that join.
	Join func() *tls.Config
	// Client is the TLS of clients.
	Client func() *tls.Config
	// Plain reports whether connections without TLS are taken too; nil: they are not.
	Plain func() bool
	// Known reports whether nodes are known to be at the address. Their handshakes do not wait for those of others. nil: at none.
	Known func(net.Addr) bool
	// Done is called with the end of each handshake that began to compute: the kind of caller ("node", "join", "client"), and how long it took
	// since, without the wait for its slot; err is nil if it succeeded. nil: nothing is called.
	Done func(kind string, took time.Duration, err error)
}

// via is how a connection arrived.
type via uint8

const (
	viaPlain via = iota
	viaNode
	viaJoin
	viaClient
)

func (v via) String() string { return [...]string{"plain", "node", "join", "client"}[v] }

// nodes reports whether the lanes between nodes are for such connections, and http whether the lane of clients is.
func (v via) nodes() bool { return v == viaPlain || v == viaNode }
func (v via) http() bool  { return v != viaNode }

// resp reports whether the lane of RESP is for the connection: a client that names a protocol on TLS means HTTP.
func (c *conn) resp() bool {
	switch c.via {
	case viaPlain:
		return true
	case viaClient:
		return c.tls.ConnectionState().NegotiatedProtocol == ""
	}
	return false
}

// recordHandshake is the first byte of a connection that begins with TLS.
const recordHandshake = 0x16

var (
	errNotOffered = errors.New("transport: no TLS is offered to such connections")
	errPlain      = errors.New("transport: connections without TLS are not taken")
)

// useHTTPS is the answer to a client without TLS, if it is needed.
const useHTTPS = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\r\nuse https://\n"

// useTLS is the same for a client that speaks RESP.
const useTLS = "-ERR this port takes connections with TLS only: use rediss:// or redis-cli --tls\r\n"

// offers reports whether there is TLS for any connection.
func (s *Secure) offers() bool {
	return s.config(viaNode) != nil || s.config(viaJoin) != nil || s.config(viaClient) != nil
}

func (s *Secure) config(v via) *tls.Config {
	of := map[via]func() *tls.Config{viaNode: s.Node, viaJoin: s.Join, viaClient: s.Client}[v]
	if of == nil {
		return nil
	}
	return of()
}

// viaOf returns how a client that names these protocols connects. A node names its own protocol and nothing else.
func viaOf(protocols []string) (via, error) {
	for name, v := range map[string]via{ALPNNode: viaNode, ALPNJoin: viaJoin} {
		if slices.Contains(protocols, name) {
			if len(protocols) > 1 {
				return 0, errNotOffered
			}
			return v, nil
		}
	}
	return viaClient, nil
}

// begin reads the first byte of a connection, and begins TLS if it is that of TLS.
func (c *conn) begin() error {
	s := c.p.cfg.Secure
	var first [1]byte
	if _, err := io.ReadFull(c.Conn, first[:]); err != nil {
		return err
	}
	c.below.unread, c.below.has = first[0], true
	switch {
	case first[0] == recordHandshake && s.offers():
		return c.handshake()
	case s.Plain != nil && s.Plain():
		c.stream = &c.below
		return nil
	case isText(first[0]):
		c.redirect(first[0])
	}
	return errPlain
}

// redirect answers a client without TLS that it must use TLS, as [Port.refuse] answers a node.
func (c *conn) redirect(first byte) {
	if c.SetDeadline(time.Now().Add(refusalLinger)) != nil {
		return
	}
	text := useHTTPS
	if first == laneRESP {
		text = useTLS
	}
	if _, err := c.Conn.Write([]byte(text)); err == nil {
		drain(c.Conn)
	}
}

// handshake carries out the server's side of TLS.
func (c *conn) handshake() error {
	ctx, cancel := context.WithTimeout(c.p.ctx, c.p.cfg.Preface+slotTimeout)
	defer cancel()
	t := tls.Server(&c.below, c.p.tls)
	err := t.HandshakeContext(ctx)
	c.below.giveBack()
	if done := c.p.cfg.Secure.Done; done != nil && c.via != viaPlain {
		done(c.via.String(), time.Since(c.since), err)
	}
	if err != nil {
		return err
	}
	c.tls, c.stream = t, t
	return nil
}

// tlsConfig is what every handshake begins with. There is one, because the keys of the tickets that clients get are in it.
func (p *Port) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12, // that of the chosen configuration holds
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return hello.Conn.(*socket).of.chosen(hello) },
	}
}

// chosen returns the configuration for the client's protocol, once the handshake has its slot: after the client's first message and
// before the costly computation. The connection's time begins anew with the slot, so that a client is not closed because it waited
// for others.
func (c *conn) chosen(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	v, err := viaOf(hello.SupportedProtos)
	if err != nil {
		return nil, err
	}
	cfg := c.p.cfg.Secure.config(v)
	if cfg == nil {
		return nil, errNotOffered
	}
	if err := c.p.awaitSlot(hello.Context(), c, v); err != nil {
		return nil, err
	}
	c.via, c.since = v, time.Now()
	return cfg, c.SetDeadline(c.since.Add(c.p.cfg.Preface))
}

// slotTimeout bounds the wait of a handshake for its slot.
const slotTimeout = 15 * time.Second

// handshakesAtOnce is how many handshakes of one kind compute at a time.
func handshakesAtOnce() int { return 2 * runtime.GOMAXPROCS(0) }

// awaitSlot waits until the handshake may compute. Nodes at addresses where nodes are known to be have slots of their own, so that
// a storm of clients does not delay a heartbeat. The slot is released when the server has written its first answer: a slow client
// holds none.
func (p *Port) awaitSlot(ctx context.Context, c *conn, v via) error {
	slots := p.slots
	if known := p.cfg.Secure.Known; v == viaNode && known != nil && known(c.RemoteAddr()) {
		slots = p.nodeSlots
	}
	// A client that waits for its slot cannot send anything: the time for that begins later.
	if err := c.SetDeadline(time.Now().Add(slotTimeout)); err != nil {
		return err
	}
	select {
	case slots <- struct{}{}:
		c.below.slots = slots
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
