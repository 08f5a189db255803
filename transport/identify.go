package transport

import (
	"crypto/tls"
	"net"
)

// The names of the lanes between nodes, as an [Arrival] has them.
const (
	LaneRaft  = "raft"
	LanePeer  = "peer"
	LaneCalls = "calls"
)

// Arrival is a connection of a lane between nodes whose preface has come. The lane exists, and has not taken it yet.
type Arrival struct {
	Lane string // LaneRaft, LanePeer or LaneCalls
	// Target is the name that the connection is for: of the Raft lane, or of the node; "" means any node.
	Target string
	// Caller is the name that the other end gives itself; "" if it gives none. It proves nothing.
	Caller string
	// TLS is the state of the connection's TLS; nil if it has none.
	TLS    *tls.ConnectionState
	Remote net.Addr
}

// PeerOf returns what [Config.Identify] returned for the connection, which a lane's Accept has returned; nil if there is nothing.
// It looks through connections that wrap this one and have a method NetConn.
func PeerOf(c net.Conn) any {
	for {
		switch x := c.(type) {
		case sorted:
			return x.peer
		case interface{ NetConn() net.Conn }:
			c = x.NetConn()
		default:
			return nil
		}
	}
}
