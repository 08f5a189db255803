package rpc

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// PeerOf returns what [ServerConfig.Peer] returned for the connection of the request with this context; nil if there is
// nothing.
func PeerOf(ctx context.Context) any {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(authInfo); ok {
			return info.peer
		}
	}
	return nil
}

// authInfo is how gRPC carries what is known of a connection to its requests.
type authInfo struct{ peer any }

func (authInfo) AuthType() string { return "edgehold" }

// callers is gRPC's view of a connection that has been identified before: it takes the connection as it is.
type callers struct{ of func(net.Conn) any }

var _ credentials.TransportCredentials = callers{}

func (c callers) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, authInfo{c.of(conn)}, nil
}

func (callers) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("rpc: the credentials are for servers alone")
}

func (callers) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "edgehold"}
}

func (c callers) Clone() credentials.TransportCredentials { return c }
func (callers) OverrideServerName(string) error           { return nil }
