package transport

import (
	"context"
	"crypto/tls"
	"net"
)

// DialSecure is TLS with the nodes that a [Dialer] dials.
type DialSecure struct {
	// Config returns the TLS of a connection to what the name means ("" means any node), or nil for one without TLS. Its error ends
	// the dial. It must not block.
	Config func(name string) (*tls.Config, error)
	// Identify returns what is known of the other end, for Links, once it has proved its identity. Its error ends the dial.
	Identify func(name string, state tls.ConnectionState) (peer any, err error)
	// Links, if not nil, has the open connections, with what Identify has returned, or Unproven without TLS.
	Links *Links
}

// secured returns the connection under TLS, if it is to be, and closes it on an error.
func (d Dialer) secured(ctx context.Context, c net.Conn, name string) (net.Conn, error) {
	if d.Secure == nil {
		return c, nil
	}
	cfg, err := d.Secure.Config(name)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	if cfg == nil {
		x := &unproven{c, d.Secure.Links}
		if !x.links.add(x, Unproven{}) {
			x.cut()
			return nil, net.ErrClosed
		}
		return x, nil
	}
	x := &secured{below: &socket{Conn: c}, links: d.Secure.Links}
	x.Conn = tls.Client(x.below, cfg)
	if err = x.HandshakeContext(ctx); err == nil {
		var peer any
		if peer, err = d.Secure.Identify(name, x.ConnectionState()); err == nil && !x.links.add(x, peer) {
			err = net.ErrClosed
		}
	}
	if err != nil {
		x.cut()
		return nil, err
	}
	return x, nil
}

// Unproven is what Links know of the other end of a connection that was dialled without TLS.
type Unproven struct{}

// unproven is the dialer's end of such a connection.
type unproven struct {
	net.Conn
	links *Links
}

// NetConn returns the wrapped connection, for its socket.
func (x *unproven) NetConn() net.Conn { return x.Conn }

func (x *unproven) Close() error {
	x.links.drop(x)
	return x.Conn.Close()
}

func (x *unproven) cut() { _ = x.Close() } // the connection is broken in any case

// secured is the dialer's end of a connection under TLS.
type secured struct {
	*tls.Conn
	below *socket
	links *Links
}

// Close ends TLS too.
func (x *secured) Close() error {
	x.links.drop(x)
	return x.below.closeTLS(x.Conn)
}

// cut closes the socket, and waits for nothing.
func (x *secured) cut() {
	x.links.drop(x)
	_ = x.below.Close() // the connection is broken in any case
}
