package rpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/edgehold/edgehold/api"
)

// service is part of the wire. Its number changes if what the methods say changes, so that older and newer programs do not
// take each other's words for their own.
const service = "edgehold.Peer2"

// ServerConfig bounds the load of other nodes. Zero fields are the defaults named.
type ServerConfig struct {
	// MaxStreams bounds the requests under way on one connection. Default 16,384.
	MaxStreams uint32
	// Handshake bounds the time of a connection's handshake. Default 5 s.
	Handshake time.Duration
	// Ping is how long a connection is silent before it is pinged, and how long the answer may take.
	// Default 4 s.
	Ping time.Duration
	// Peer returns what is known of the other end of a connection, for [PeerOf]; nil: nothing. It must not block.
	Peer func(net.Conn) any
}

// Server answers other nodes. Register methods with [Unary] and [Stream] before Serve.
type Server struct {
	grpc *grpc.Server
	desc grpc.ServiceDesc
	once sync.Once
}

// NewServer returns a server without methods.
func NewServer(cfg ServerConfig) *Server {
	if cfg.MaxStreams == 0 {
		cfg.MaxStreams = 16384
	}
	if cfg.Handshake == 0 {
		cfg.Handshake = 5 * time.Second
	}
	if cfg.Ping == 0 {
		cfg.Ping = 4 * time.Second
	}
	if cfg.Peer == nil {
		cfg.Peer = func(net.Conn) any { return nil }
	}
	return &Server{
		grpc: grpc.NewServer(
			grpc.ForceServerCodec(codec{}),
			grpc.MaxRecvMsgSize(MaxMessageBytes),
			grpc.MaxSendMsgSize(MaxMessageBytes),
			grpc.MaxConcurrentStreams(cfg.MaxStreams),
			grpc.ConnectionTimeout(cfg.Handshake),
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: cfg.Ping, Timeout: cfg.Ping}),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: cfg.Ping / 4, PermitWithoutStream: true}),
			grpc.WaitForHandlers(true),
			grpc.Creds(callers{cfg.Peer}),
			// Plain buffers: the pool keeps too much at the sizes of a burst.
			grpc.ReadBufferSize(32<<10), grpc.WriteBufferSize(32<<10),
		),
		desc: grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil)},
	}
}

// Serve answers connections of l until Close; it returns nil then. It closes l.
func (s *Server) Serve(l net.Listener) error {
	s.once.Do(func() { s.grpc.RegisterService(&s.desc, struct{}{}) })
	if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// Close ends every connection and request, and waits for the handlers: their contexts have ended.
func (s *Server) Close() { s.grpc.Stop() }

// Unary registers a method that takes one message and returns one.
func Unary[Req, Resp any](s *Server, method string, handle func(ctx context.Context, req *Req) (*Resp, error)) {
	s.desc.Methods = append(s.desc.Methods, grpc.MethodDesc{
		MethodName: method,
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			req := new(Req)
			if err := decode(req); err != nil {
				return nil, toStatus(&api.Error{Code: api.CodeInvalid, Op: method, Hint: "the message cannot be read", Err: err})
			}
			resp, err := handle(receiveTries(ctx), req)
			if err != nil {
				return nil, toStatus(err)
			}
			return resp, nil
		},
	})
}

// Stream registers a method that takes and sends any number of messages. The stream ends when handle returns.
func Stream[Up, Down any](s *Server, method string, handle func(st *ServerStream[Up, Down]) error) {
	s.desc.Streams = append(s.desc.Streams, grpc.StreamDesc{
		StreamName: method, ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, st grpc.ServerStream) error {
			return toStatus(handle(&ServerStream[Up, Down]{stream: st}))
		},
	})
}

// ServerStream is the server's end of a stream.
type ServerStream[Up, Down any] struct {
	stream grpc.ServerStream
}

// Context ends with the stream.
func (s *ServerStream[Up, Down]) Context() context.Context { return s.stream.Context() }

// Recv returns the next message; one goroutine at a time.
func (s *ServerStream[Up, Down]) Recv() (*Up, error) {
	m := new(Up)
	if err := s.stream.RecvMsg(m); err != nil {
		return nil, err
	}
	return m, nil
}

// Send sends a message; one goroutine at a time. It waits while the other side does not read.
func (s *ServerStream[Up, Down]) Send(m *Down) error {
	return s.stream.SendMsg(m)
}
