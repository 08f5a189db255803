package cluster

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/cluster/router"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// What nodes ask of each other about the placement map. A node that joins polls, and proposes itself, before the map names it; any
// other proposal is for servers, see mayPropose.
var (
	methodPoll    = peer.NewMethod[poll, encodedMap]("Poll", admission.Waiting, peer.Anyone)
	methodMap     = peer.NewMethod[peer.Nothing, encodedMap]("Map", admission.Control, peer.Anyone)
	methodPropose = peer.NewMethod[proposal, encodedMap]("Propose", admission.Control, peer.Anyone)
)

// poll asks for a map newer than Since; the answer is empty if none came in time.
type poll struct {
	Since uint64 `cbor:"1,keyasint,omitempty"`
}

// encodedMap is a placement map as package placement writes it; empty is none.
type encodedMap struct {
	Map []byte `cbor:"1,keyasint,omitempty"`
}

func encoded(m *placement.Map) *encodedMap {
	if m == nil {
		return &encodedMap{}
	}
	return &encodedMap{placement.EncodeMap(m)}
}

func (e *encodedMap) decode(err error) (*placement.Map, error) {
	if err != nil || len(e.Map) == 0 {
		return nil, err
	}
	return placement.DecodeMap(e.Map)
}

// proposal is a command of the meta group, encoded.
type proposal struct {
	Command []byte `cbor:"1,keyasint"`
}

// pollPatience is how long a poll waits for news. It is shorter than the pollers' own time-out.
const pollPatience = 5 * time.Second

// metaGroup is the placement map's group at one of its voters; a *meta.Meta is one.
type metaGroup interface {
	Map() *placement.Map
	Get(ctx context.Context) (*placement.Map, error)
	Wait(ctx context.Context, since uint64) *placement.Map
	Propose(ctx context.Context, c placement.Command) (*placement.Map, error)
	Status() api.GroupStatus
}

// mapServer answers other nodes' questions about the placement map.
type mapServer struct {
	self api.NodeID
	view *meta.View
	meta func() metaGroup // of this node; nil if it has no voter of it
}

func (x mapServer) register(s *peer.Server) {
	methodPoll.Handle(s, x.poll)
	methodMap.Handle(s, x.get)
	methodPropose.Handle(s, x.propose)
}

// poll waits for news of the map: at a voter of the meta group for its own, else for the view's.
func (x mapServer) poll(ctx context.Context, p *poll) (*encodedMap, error) {
	patience := pollPatience
	if p.Since == 0 {
		patience = 0 // any map is news; if there is none, another node may have one
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var now *placement.Map
	if m := x.meta(); m != nil && m.Map() != nil {
		now = m.Wait(ctx, p.Since)
	} else {
		now, _ = x.view.Wait(ctx, p.Since) // its error says: nothing newer
	}
	if now == nil || now.Version <= p.Since {
		if p.Since == 0 {
			return nil, api.Errorf(api.CodeUnavailable, "node %s has no placement map yet", x.self)
		}
		return &encodedMap{}, nil
	}
	return encoded(now), nil
}

func (x mapServer) get(ctx context.Context, _ *peer.Nothing) (*encodedMap, error) {
	m := x.meta()
	if m == nil {
		return nil, remote.NotHere(ident.MetaGroup)
	}
	now, err := m.Get(ctx)
	if err != nil {
		return nil, err
	}
	return encoded(now), nil
}

func (x mapServer) propose(ctx context.Context, p *proposal) (*encodedMap, error) {
	m := x.meta()
	if m == nil {
		return nil, remote.NotHere(ident.MetaGroup)
	}
	c, err := placement.Decode(p.Command)
	if err != nil {
		return nil, err
	}
	if err := mayPropose(peer.CallerFrom(ctx), c); err != nil {
		return nil, err
	}
	now, err := m.Propose(ctx, c)
	if err != nil {
		return nil, err
	}
	return encoded(now), nil
}

// mayPropose refuses commands that are not for the caller: servers propose every command, other nodes their own joining alone.
func mayPropose(c *peer.Caller, command placement.Command) error {
	if c.Role == api.RoleServer {
		return nil
	}
	if j, ok := command.(placement.Join); ok && c.Node != "" && j.Node.ID == c.Node {
		return nil
	}
	return api.Errorf(api.CodeDenied, "only servers of the cluster may propose that; node %q may propose that it joins", c.Node)
}

// mapsAt is how a meta.Mirror reaches the nodes of a pool.
type mapsAt struct{ pool *peer.Pool }

var _ meta.Source = mapsAt{}

// Poll asks a node for a newer map.
func (x mapsAt) Poll(ctx context.Context, node api.NodeID, since uint64) (*placement.Map, error) {
	return pollAt(ctx, x.pool.Remote(node), since)
}

// PollAddress asks the node at an address for a newer map.
func (x mapsAt) PollAddress(ctx context.Context, address string, since uint64) (*placement.Map, error) {
	return pollAt(ctx, x.pool.RemoteAt(address), since)
}

// Get asks the node, if it leads the meta group, for the newest map.
func (x mapsAt) Get(ctx context.Context, node api.NodeID) (*placement.Map, error) {
	res, err := methodMap.Ask(ctx, x.pool.Remote(node), &peer.Nothing{})
	return res.decode(err)
}

// pollAt returns the node's placement map as soon as it is newer than since; nil if that takes longer than the node waits.
func pollAt(ctx context.Context, r *peer.Remote, since uint64) (*placement.Map, error) {
	res, err := methodPoll.Ask(ctx, r, &poll{since})
	return res.decode(err)
}

// propose carries out a command of the meta group at the node, which must lead it, and returns the map after it.
func (x mapsAt) propose(ctx context.Context, node api.NodeID, c placement.Command) (*placement.Map, error) {
	res, err := methodPropose.Call(ctx, x.pool.Remote(node), &proposal{placement.Encode(c)})
	return res.decode(err)
}

// newChanges carries changes of the placement map to the leader of its group. Its commands may be repeated.
func newChanges(r *router.Router, pool *peer.Pool, view *meta.View) *meta.Client[*fsm.Receipt] {
	at := mapsAt{pool}
	toLeader := func(ctx context.Context, op string, call func(ctx context.Context, leader api.NodeID) (*placement.Map, error)) (m *placement.Map, err error) {
		err = r.OnLeader(ctx, ident.MetaGroup, op, true, func(ctx context.Context, node api.NodeID) (err error) {
			m, err = call(ctx, node)
			return err
		})
		return m, err
	}
	return &meta.Client[*fsm.Receipt]{
		Get: func(ctx context.Context) (*placement.Map, error) { return toLeader(ctx, "map", at.Get) },
		Propose: func(ctx context.Context, c placement.Command) (*placement.Map, error) {
			return toLeader(ctx, "placement", func(ctx context.Context, leader api.NodeID) (*placement.Map, error) {
				return at.propose(ctx, leader, c)
			})
		},
		Mover:  &remote.Mover{Pool: pool, OnLeader: r.OnLeader},
		Update: func(m *placement.Map) { _ = view.Update(m) }, // it conflicts only if this node belongs to another cluster by now
	}
}
