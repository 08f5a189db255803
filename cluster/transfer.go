package cluster

import (
	"context"
	"fmt"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/fsm/placement"
)

var methodTransfer = peer.NewMethod[transferLead, peer.Nothing]("Transfer", admission.Control, peer.Servers)

// transferLead asks a group's leader to have another voter lead.
type transferLead struct {
	Group api.GroupID `cbor:"1,keyasint"`
	To    api.NodeID  `cbor:"2,keyasint"`
}

// registerTransfer has the server answer as the leader of the groups here.
func (n *Node) registerTransfer(s *peer.Server) {
	methodTransfer.Handle(s, func(ctx context.Context, q *transferLead) (*peer.Nothing, error) {
		x := n.members.get(q.Group)
		if x == nil {
			return nil, remote.NotHere(q.Group)
		}
		return &peer.Nothing{}, x.raft.Transfer(ctx, string(q.To))
	})
}

// Transfer implements api.Members.
func (n *Node) Transfer(ctx context.Context, group api.GroupID, to api.NodeID) (*api.Progress, error) {
	p, err := n.prospect(ctx, "transfer")
	if err != nil {
		return nil, err
	}
	if _, ok := p.Group(group); !ok {
		return nil, api.Errorf(api.CodeNotFound, "the cluster has no group %q", group)
	}
	led, known := p.groups[group]
	if !known {
		return nil, conflict("%s has no leader that answers", group)
	}
	leader := p.leader(led)
	if to == leader {
		return &api.Progress{Done: true, Note: fmt.Sprintf("%s leads %s", to, group)}, nil
	}
	if to == "" {
		to = p.successor(led, leader)
	}
	x, member := led.member(to)
	o, _ := p.Node(to)
	switch {
	case to == "":
		return nil, noneCaughtUp(group)
	case !member || !x.Voter:
		return nil, conflict("%s has no vote in %s", to, group)
	case o.State != placement.Active:
		return nil, conflict("%s is %s", to, o.State)
	case !x.CaughtUp:
		return nil, conflict("%s has not caught up in %s", to, group)
	}
	if _, err := methodTransfer.Ask(ctx, n.pool.Remote(leader), &transferLead{group, to}); err != nil {
		return nil, err
	}
	return &api.Progress{Done: true, Note: fmt.Sprintf("%s leads %s", to, group)}, nil
}

// leader is the server that has said that it leads the group.
func (p *prospect) leader(g ledGroup) api.NodeID {
	for id, h := range p.answers {
		for _, x := range h.Led {
			if x.Group == g.Group && x.Term == g.Term {
				return id
			}
		}
	}
	return ""
}

// successor is a voter beside the leader that has caught up and is to stay; "" if there is none.
func (p *prospect) successor(g ledGroup, leader api.NodeID) api.NodeID {
	for _, x := range g.Members {
		if o, _ := p.Node(x.Node); x.Node != leader && x.Voter && x.CaughtUp && o.State == placement.Active {
			return x.Node
		}
	}
	return ""
}
