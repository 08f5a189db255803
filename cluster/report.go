package cluster

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/placement"
)

// methodReport asks a node for its report. Nodes of older versions ignore what the question says.
var methodReport = peer.NewMethod[reportQuestion, report]("Report", admission.Control, peer.Nodes)

// reportQuestion says what the report is to have.
type reportQuestion struct {
	// Activity: also what the node has done.
	Activity bool `cbor:"1,keyasint,omitempty"`
}

// report is a node's own description of itself.
type report struct {
	Node     api.NodeID        `cbor:"1,keyasint"`
	Region   api.RegionID      `cbor:"2,keyasint,omitempty"`
	Role     api.Role          `cbor:"3,keyasint,omitempty"`
	Groups   []api.GroupStatus `cbor:"4,keyasint,omitempty"`  // those with a replica here
	Sessions int               `cbor:"5,keyasint,omitempty"`  // of the groups led here
	Leases   int               `cbor:"6,keyasint,omitempty"`  // of the groups led here
	Level    fsm.Level         `cbor:"7,keyasint,omitempty"`  // the newest of groups that the node's program knows
	Map      uint64            `cbor:"8,keyasint,omitempty"`  // version of the placement map that the node goes by
	Roll     uint64            `cbor:"9,keyasint,omitempty"`  // revision of the roll by which it judges clients
	Pin      []byte            `cbor:"13,keyasint,omitempty"` // of the key that the node proves itself with
	Clock    int64             `cbor:"12,keyasint,omitempty"` // its wall clock, in Unix milliseconds
	MapLevel placement.Level   `cbor:"10,keyasint,omitempty"` // the newest of the map that its program knows
	// Drained: the node was ordered to lead nothing and to hold no lease, and does so.
	Drained bool `cbor:"20,keyasint,omitempty"`
	// Refused is why the cluster does not take the node, in words.
	Refused string `cbor:"21,keyasint,omitempty"`
	// Troubles are what an operator has to do something about: from the leader of the meta group alone.
	Troubles []string `cbor:"22,keyasint,omitempty"`
	// Told are the reports that edges without a port have sent to this server, and Age how old such a report is, in milliseconds.
	Told []report `cbor:"23,keyasint,omitempty"`
	Age  int64    `cbor:"24,keyasint,omitempty"`
	// Activity is what the node has done, if it was asked for.
	Activity *activity `cbor:"25,keyasint,omitempty"`

	at time.Time // when it arrived at the node that has asked
}

// registerReport has the server answer for this node, without waiting.
func (n *Node) registerReport(s *peer.Server) {
	methodReport.Handle(s, func(_ context.Context, q *reportQuestion) (*report, error) {
		r := n.report()
		if q.Activity {
			r.Activity = n.activity()
		}
		return r, nil
	})
}

// report describes this node, and the edges that have sent it their reports.
func (n *Node) report() *report {
	r := n.members.report(&n.cfg)
	view := n.membership.view
	r.Roll, _, _ = n.warden.Revision()
	r.MapLevel, r.Clock = n.cfg.mapLevel, time.Now().UnixMilli()
	if m := view.Map(); m != nil {
		r.Map = m.Version
	}
	r.Drained, r.Refused, r.Troubles = n.drainedAt.Load(), n.membership.refusedWhy(), n.steward.words()
	if id := n.membership.credentials.identity(); id != nil {
		pin := id.Pin()
		r.Pin = pin[:]
	}
	r.Told = n.told.newest(time.Now())
	return r
}

func (m *members) report(cfg *Config) *report {
	r := &report{Node: cfg.ID, Region: cfg.Region, Role: cfg.Role, Level: cfg.level}
	for _, x := range m.all() {
		if x.authority == nil {
			continue
		}
		status, sessions, leases := x.authority.Status()
		r.Groups = append(r.Groups, status)
		if status.Leader == cfg.ID {
			r.Sessions += sessions
			r.Leases += leases
		}
	}
	if g := m.metaGroup(); g != nil {
		r.Groups = append(r.Groups, g.Status())
	}
	return r
}

// reportOf asks a node for its report.
func reportOf(ctx context.Context, r *peer.Remote) (*report, error) {
	return answerOf(ctx, r, reportQuestion{})
}

// answerOf is reportOf, with what the question asks for.
func answerOf(ctx context.Context, r *peer.Remote, q reportQuestion) (*report, error) {
	answer, err := methodReport.Ask(ctx, r, &q)
	if err != nil {
		return nil, err
	}
	answer.at = time.Now()
	return answer, nil
}
