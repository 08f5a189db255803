package peertest

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
)

// Callers are the kinds of callers that a table of methods is tested with.
var Callers = []string{"server", "edge", "removed", "unknown"}

// Allowed reports whether a row of the table is for the kind of caller: what its column Who promises. plain: the callers come over
// connections without TLS, where those that a map does not name still reach what an election needs.
func Allowed(w peer.Who, caller string, plain bool) bool {
	switch w {
	case peer.Anyone:
		return true
	case peer.Nodes, peer.Holders:
		return caller == "server" || caller == "edge"
	case peer.Servers:
		return caller == "server"
	case peer.Members:
		return caller == "server" || plain && caller != "edge"
	}
	return false
}

// Probe calls a method of a node by its row, with an empty message, or opens the stream or the lane that the row stands for. It
// reports whether the node has refused the caller before anything was done, and the error; a message that is empty is often refused
// afterwards.
func Probe(ctx context.Context, r *peer.Remote, row peer.Row) (refused bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	switch {
	case row.Name == "Calls":
		_, err = r.Calls(ctx)
		return err != nil, err // what is refused there is not greeted
	case row.Stream:
		end, err := peer.NewStream[peer.Nothing, peer.Nothing](row.Name, row.Who).Open(ctx, r)
		if err != nil {
			return false, err
		}
		defer end.Close()
		if err = end.Send(&peer.Nothing{}); err == nil {
			_, err = end.Recv()
		}
		return api.CodeOf(err) == api.CodeDenied, err
	}
	_, err = peer.NewMethod[peer.Nothing, peer.Nothing](row.Name, row.Class, row.Who).Call(ctx, r, &peer.Nothing{})
	return api.CodeOf(err) == api.CodeDenied, err
}
