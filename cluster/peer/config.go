package peer

import (
	"cmp"
	"context"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/api/wire"
)

// ServerConfig makes a Server. Self and Role are required.
type ServerConfig struct {
	Self    api.NodeID
	Role    api.Role
	Metrics observe.Metrics // nil: observe.NoMetrics
	Logger  hclog.Logger    // nil: nowhere

	// MaxRequests bounds the calls of the share Requests that are under way; one over it gets CodeUnavailable.
	MaxRequests int // 0: 2048
	// MaxControl bounds those of the share Control, and MaxPolls those of the share Polls.
	MaxControl int // 0: 4096
	MaxPolls   int // 0: 4096
	// Busy reports whether the processors cannot keep up: then one more request than CalmRequests gets CodeUnavailable. It must
	// not block. nil: never.
	Busy func() bool
	// CalmRequests is how many requests under way are never too many.
	CalmRequests int // 0: 512
	// Faults catches the panics of requests; nil: they are not reported.
	Faults *fault.Catcher
	// Workers carry out the small calls that share connections; nil: each gets a goroutine of its own.
	Workers *wire.Workers
}

func (c *ServerConfig) complete() error {
	if c.Self == "" || c.Role == "" {
		return api.Errorf(api.CodeInvalid, "a peer server needs its node and its role")
	}
	c.Metrics = cmp.Or[observe.Metrics](c.Metrics, observe.NoMetrics{})
	c.Logger = cmp.Or[hclog.Logger](c.Logger, hclog.NewNullLogger())
	if c.Busy == nil {
		c.Busy = func() bool { return false }
	}
	c.MaxRequests = cmp.Or(c.MaxRequests, 2048)
	c.CalmRequests = cmp.Or(c.CalmRequests, 512)
	c.MaxControl = cmp.Or(c.MaxControl, 4096)
	c.MaxPolls = cmp.Or(c.MaxPolls, 4096)
	return nil
}

// PoolConfig makes a Pool. Server, Dial and DialCalls are required.
type PoolConfig struct {
	// Server is this node's. It answers what the node asks of itself.
	Server *Server
	// Dial connects to a node's peer lane, at its newest known address.
	Dial func(ctx context.Context, node api.NodeID) (net.Conn, error)
	// DialCalls connects to a node's lane of calls, likewise.
	DialCalls func(ctx context.Context, node api.NodeID) (net.Conn, error)
	// DialAddress connects to the peer lane of a node of which only the address is known; nil: no such calls.
	DialAddress func(ctx context.Context, address string) (net.Conn, error)
	Logger      hclog.Logger // nil: nowhere
}

func (c *PoolConfig) complete() error {
	if c.Server == nil || c.Dial == nil || c.DialCalls == nil {
		return api.Errorf(api.CodeInvalid, "a peer pool needs its server and its dialers")
	}
	if c.DialAddress == nil {
		c.DialAddress = func(context.Context, string) (net.Conn, error) {
			return nil, api.Errorf(api.CodeUnavailable, "this node cannot dial addresses")
		}
	}
	c.Logger = cmp.Or[hclog.Logger](c.Logger, hclog.NewNullLogger())
	return nil
}

// retryAfter is how long a caller that a limit has refused is asked to stay away.
const retryAfter = 100 * time.Millisecond
