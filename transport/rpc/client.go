package rpc

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"
)

// ClientConfig describes a connection to one node. Dial is required; zero fields are the defaults named.
type ClientConfig struct {
	// Dial connects to the node's peer lane, with its preface sent.
	Dial func(ctx context.Context) (net.Conn, error)
	// Ping is how long the connection is silent before it is pinged, and how long the answer may take. Default 4 s.
	Ping time.Duration
	// Backoff bounds the pause between two attempts to connect. Default 1 s.
	Backoff time.Duration
}

// Client is a connection to one node, made when it is needed and made again when it breaks. Safe for concurrent use.
type Client struct{ conn *grpc.ClientConn }

// NewClient returns a client; it connects at the first call.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Ping == 0 {
		cfg.Ping = 4 * time.Second
	}
	if cfg.Backoff == 0 {
		cfg.Backoff = time.Second
	}
	conn, err := grpc.NewClient("passthrough:///peer",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return cfg.Dial(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: min(100*time.Millisecond, cfg.Backoff), Multiplier: 1.6, Jitter: 0.2, MaxDelay: cfg.Backoff},
			MinConnectTimeout: 3 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: cfg.Ping, Timeout: cfg.Ping, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{}),
			grpc.MaxCallRecvMsgSize(MaxMessageBytes), grpc.MaxCallSendMsgSize(MaxMessageBytes)),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithIdleTimeout(0), grpc.WithNoProxy(),
		grpc.WithStatsHandler(sentHandler{}),
	)
	if err != nil {
		return nil, err
	}
	return &Client{conn: conn}, nil
}

// Close ends the connection and every call and stream on it.
func (c *Client) Close() error { return c.conn.Close() }

// Call sends a request and waits for its answer, at most until ctx ends.
func Call[Req, Resp any](ctx context.Context, c *Client, method string, req *Req) (*Resp, error) {
	var sent atomic.Bool
	resp := new(Resp)
	err := c.conn.Invoke(context.WithValue(sendTrace(sendTries(ctx)), sentKey{}, &sent), "/"+service+"/"+method, req, resp)
	if err != nil {
		return nil, fromStatus(ctx, method, err, sent.Load())
	}
	return resp, nil
}

// Open opens a stream, which ends with ctx. It returns once the stream exists on this side; the other side may still be
// unreachable: then Recv returns an error.
func Open[Up, Down any](ctx context.Context, c *Client, method string) (*ClientStream[Up, Down], error) {
	desc := &grpc.StreamDesc{StreamName: method, ServerStreams: true, ClientStreams: true}
	st, err := c.conn.NewStream(ctx, desc, "/"+service+"/"+method)
	if err != nil {
		return nil, fromStatus(ctx, method, err, false)
	}
	return &ClientStream[Up, Down]{stream: st, method: method}, nil
}

// ClientStream is the client's end of a stream. End it by its context.
type ClientStream[Up, Down any] struct {
	stream grpc.ClientStream
	method string
}

// Send sends a message; one goroutine at a time. It waits while the other side does not read.
func (s *ClientStream[Up, Down]) Send(m *Up) error {
	if err := s.stream.SendMsg(m); err != nil {
		return fromStatus(s.stream.Context(), s.method, err, true)
	}
	return nil
}

// Recv returns the next message; one goroutine at a time.
func (s *ClientStream[Up, Down]) Recv() (*Down, error) {
	m := new(Down)
	if err := s.stream.RecvMsg(m); err != nil {
		return nil, fromStatus(s.stream.Context(), s.method, err, true)
	}
	return m, nil
}

// sentHandler notes in a call's context that its request was handed to a connection: from then on it may be carried out.
type sentHandler struct{}

type sentKey struct{}

func (sentHandler) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (sentHandler) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (sentHandler) HandleConn(context.Context, stats.ConnStats)                       {}
func (sentHandler) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutHeader); ok {
		if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
			sent.Store(true)
		}
	}
}
