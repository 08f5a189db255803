package peer

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/transport/rpc"
)

// Caller is the node that a request came from, as its connection shows it.
type Caller = words.Caller

// Identity is the other end of a connection.
type Identity = words.Identity

// CallerFrom returns the node that the request of a handler came from: this node itself, for its own. It is never nil.
func CallerFrom(ctx context.Context) *Caller { return words.CallerFrom(ctx) }

// Who names the callers that a method is for.
type Who uint8

// The callers. The zero value is none of them: a method without one cannot be made.
const (
	_       Who = iota
	Anyone      // also a node that is in no cluster yet
	Nodes       // the nodes of the cluster, servers and edges
	Holders     // the nodes of the cluster, each about its own sessions and leases alone
	Servers     // the servers of the cluster
	// Members are the servers of the cluster and, on a plain connection, nodes that the map known here does not name: the members
	// of a group may know maps of different age, and must elect a leader all the same.
	Members
)

func (w Who) String() string {
	return [...]string{"", "anyone", "nodes", "holders", "servers", "members"}[w]
}

// allows reports whether the method is for the caller.
func (w Who) allows(c *Caller) bool {
	switch w {
	case Anyone:
		return true
	case Nodes, Holders:
		return c.Role != ""
	case Servers:
		return c.Role == api.RoleServer
	case Members:
		return c.Role == api.RoleServer || c.Role == "" && c.Plain
	}
	return false
}

// denied is the refusal of a caller that the method is not for.
func (w Who) denied(self api.NodeID, c *Caller) *api.Error {
	switch {
	case c.Node == "":
		return api.Errorf(api.CodeDenied, "the caller does not say which node it is")
	case c.Role == "":
		return api.Errorf(api.CodeDenied, "the placement map that node %s knows does not name node %s", self, c.Node)
	}
	return api.Errorf(api.CodeDenied, "only servers of the cluster may ask that of a node, and node %s is an edge", c.Node)
}

// identityOf is the other end of the connection that a request of package rpc has come by.
func identityOf(ctx context.Context) Identity {
	if id, ok := rpc.PeerOf(ctx).(Identity); ok {
		return id
	}
	return &Caller{}
}

// known returns the caller, once all is done to know it: a caller that the map known here does not name may have joined since.
// CodeUnavailable if a newer map cannot be had.
func (s *Server) known(ctx context.Context, w Who, id Identity) (*Caller, error) {
	c := id.Caller()
	if c.Role != "" || c.Node == "" || w.allows(c) {
		return c, nil
	}
	err := s.cfg.Learn(ctx)
	if c = id.Caller(); c.Role == "" && err != nil {
		return nil, &api.Error{Code: api.CodeUnavailable, RetryAfter: learnRetry, Err: err,
			Hint: "the placement map that node " + string(s.cfg.Self) + " knows does not name node " + string(c.Node) + ", and a newer one cannot be had now"}
	}
	return c, nil
}
