package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// MaxName bounds the name of a lane, of the node that a connection is for, and of the node that dials: one byte holds its length.
const MaxName = 255

// Dialer is the other end of a [Port]: it connects and names the lane. It does not wait for an answer. If another node answers,
// or has no such lane, the first read returns a [RefusedError] or io.EOF.
type Dialer struct {
	// Dial connects to an address.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Caller is the name of the node that dials, which each connection gives; "" gives none.
	Caller string
	// Secure is TLS with other nodes; nil: there is none.
	Secure *DialSecure
	// Answered, if not nil, is called with the first answer on each connection that names a node or has TLS; refused is nil if that node
	// answers. It must not block.
	Answered func(address string, refused *RefusedError)
}

// DialRaft connects to the Raft lane of that name.
func (d Dialer) DialRaft(ctx context.Context, address, name string) (net.Conn, error) {
	if name == "" {
		return nil, errors.New("transport: a Raft lane without a name")
	}
	return d.dial(ctx, address, laneRaft, name)
}

// DialPeer connects to the peer lane of the node that name means ([Config].Answers); "" means any node at the address.
func (d Dialer) DialPeer(ctx context.Context, address, name string) (net.Conn, error) {
	return d.dial(ctx, address, lanePeer, name)
}

// DialCalls connects to the lane of calls of the node that name means.
func (d Dialer) DialCalls(ctx context.Context, address, name string) (net.Conn, error) {
	if name == "" {
		return nil, errors.New("transport: a lane of calls without a name")
	}
	return d.dial(ctx, address, laneCalls, name)
}

// dial connects and sends the preface; ctx bounds both.
func (d Dialer) dial(ctx context.Context, address string, lane byte, name string) (net.Conn, error) {
	preface := []byte{lane}
	for _, s := range []string{name, d.Caller} {
		if len(s) > MaxName {
			return nil, fmt.Errorf("transport: the name %q is over the limit of %d bytes", s, MaxName)
		}
		preface = append(append(preface, byte(len(s))), s...)
	}
	c, err := d.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if c, err = d.secured(ctx, c, name); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Unix(1, 0)) })
	_, err = c.Write(preface)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	if _, secure := c.(*secured); secure || name != "" {
		return &named{Conn: c, address: address, name: name, answered: d.Answered}, nil
	}
	return c, nil
}
