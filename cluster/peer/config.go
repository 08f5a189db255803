package peer

import (
	"cmp"
	"context"
	"net"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/api/wire"
)

// ServerConfig makes a Server. Self and Role are required.
type ServerConfig struct {
	Self   api.NodeID
	Role   api.Role
	Logger hclog.Logger // nil: nowhere

	// Identify returns the other end of a connection. It must not block. nil, or a nil Identity: nothing is known of it, and it may
	// call what is for anyone alone.
	Identify func(net.Conn) Identity
	// Own is this node as the caller of its own methods; nil: Self and Role.
	Own Identity
	// Learn fetches the newest placement map, as of an instant after the call, for a caller that the present one does not name. It
	// must be shared and bounded. nil: there is no newer one.
	Learn func(context.Context) error

	// Tracer continues the traces of other nodes; nil: none.
	Tracer *trace.Tracer
	// Room lets the calls of nodes in, or refuses them for load; nil: one with the defaults of [admission.Config].
	Room *admission.Room
	// Faults catches the panics of requests; nil: they are not reported.
	Faults *fault.Catcher
	// Workers carry out the small calls that share connections; nil: each gets a goroutine of its own.
	Workers *wire.Workers
}

func (c *ServerConfig) complete() error {
	if c.Self == "" || c.Role == "" {
		return api.Errorf(api.CodeInvalid, "a peer server needs its node and its role")
	}
	c.Logger = cmp.Or[hclog.Logger](c.Logger, hclog.NewNullLogger())
	identify := c.Identify
	c.Identify = func(conn net.Conn) Identity {
		if identify != nil {
			if id := identify(conn); id != nil {
				return id
			}
		}
		return &Caller{}
	}
	if c.Own == nil {
		c.Own = &Caller{Node: c.Self, Role: c.Role}
	}
	if c.Learn == nil {
		c.Learn = func(context.Context) error { return nil }
	}
	if c.Room == nil {
		c.Room = admission.New(admission.Config{})
	}
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
	// Way says how a node is dialled now. Connections that were dialled in another way are replaced: new calls go over new
	// connections, and those under way have some time to end. It must not block. nil: there is one way.
	Way func(node api.NodeID) Way
	// DialAddress connects to the peer lane of a node of which only the address is known; nil: no such calls.
	DialAddress func(ctx context.Context, address string) (net.Conn, error)
	Logger      hclog.Logger // nil: nowhere
}

// Way is how a node is dialled: by what the two ends prove themselves with. The zero value is without proof.
type Way struct {
	Own  any    // this node's; comparable
	Peer string // the other node's
}

func (c *PoolConfig) complete() error {
	if c.Server == nil || c.Dial == nil || c.DialCalls == nil {
		return api.Errorf(api.CodeInvalid, "a peer pool needs its server and its dialers")
	}
	if c.Way == nil {
		c.Way = func(api.NodeID) Way { return Way{} }
	}
	if c.DialAddress == nil {
		c.DialAddress = func(context.Context, string) (net.Conn, error) {
			return nil, api.Errorf(api.CodeUnavailable, "this node cannot dial addresses")
		}
	}
	c.Logger = cmp.Or[hclog.Logger](c.Logger, hclog.NewNullLogger())
	return nil
}
