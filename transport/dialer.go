package transport

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Dialer is the other end of a [Port]: it connects and says which lane it wants.
type Dialer struct {
	// Dial connects to an address.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// DialRaft connects to the Raft lane of a group.
func (d Dialer) DialRaft(ctx context.Context, address, group string) (net.Conn, error) {
	if len(group) > 255 {
		return nil, fmt.Errorf("transport: the name of group %q is longer than 255 bytes", group)
	}
	return d.dial(ctx, address, append([]byte{laneRaft, byte(len(group))}, group...))
}

// DialPeer connects to the peer lane.
func (d Dialer) DialPeer(ctx context.Context, address string) (net.Conn, error) {
	return d.dial(ctx, address, []byte{lanePeer})
}

func (d Dialer) dial(ctx context.Context, address string, preface []byte) (net.Conn, error) {
	c, err := d.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetWriteDeadline(deadline)
	}
	if _, err := c.Write(preface); err != nil {
		_ = c.Close()
		return nil, err
	}
	_ = c.SetWriteDeadline(time.Time{})
	return c, nil
}
