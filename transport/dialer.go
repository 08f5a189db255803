package transport

import (
	"context"
	"fmt"
	"net"
	"time"
)

// maxGroupName bounds the name of a group: its length goes in one byte.
const maxGroupName = 255

// Dialer is the other end of a [Port]: it connects and says which lane it wants. It does not wait for an answer: that the
// other end has no such lane shows when the connection closes.
type Dialer struct {
	// Dial connects to an address.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// DialRaft connects to the Raft lane of a group.
func (d Dialer) DialRaft(ctx context.Context, address, group string) (net.Conn, error) {
	if group == "" || len(group) > maxGroupName {
		return nil, fmt.Errorf("transport: the name of group %q has not 1 to %d bytes", group, maxGroupName)
	}
	return d.dial(ctx, address, append([]byte{laneRaft, byte(len(group))}, group...))
}

// DialPeer connects to the peer lane.
func (d Dialer) DialPeer(ctx context.Context, address string) (net.Conn, error) {
	return d.dial(ctx, address, []byte{lanePeer})
}

// dial connects and sends the preface; ctx bounds both.
func (d Dialer) dial(ctx context.Context, address string, preface []byte) (net.Conn, error) {
	c, err := d.Dial(ctx, address)
	if err != nil {
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
	return c, nil
}
