package cluster

import (
	"context"
	"math"
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
	methodPoll    = peer.NewMethod[poll, polled]("Poll", admission.Waiting, peer.Anyone).PerNode(pollsPerNode)
	methodMap     = peer.NewMethod[peer.Nothing, encodedMap]("Map", admission.Control, peer.Anyone)
	methodPropose = peer.NewMethod[proposal, encodedMap]("Propose", admission.Control, peer.Anyone)
)

// poll asks for a map newer than Since or a roll newer than SinceRoll; the answer has neither if none came in time.
type poll struct {
	Since     uint64 `cbor:"1,keyasint,omitempty"`
	SinceRoll uint64 `cbor:"2,keyasint,omitempty"`
	// AtOnce asks for an answer that does not wait for news: the poller does not know how old its roll is.
	AtOnce bool `cbor:"3,keyasint,omitempty"`
}

// polled is a meta.News. The vault is no part of it, nor of any other message.
type polled struct {
	Map   []byte        `cbor:"1,keyasint,omitempty"`
	Roll  []byte        `cbor:"2,keyasint,omitempty"`
	Known bool          `cbor:"3,keyasint,omitempty"`
	Fresh time.Duration `cbor:"4,keyasint,omitempty"`
}

// encodedMap is a placement map as package placement writes it, empty for none, and the revision of the roll beside it.
type encodedMap struct {
	Map  []byte `cbor:"1,keyasint,omitempty"`
	Roll uint64 `cbor:"2,keyasint,omitempty"`
}

func encoded(m *placement.Map) *encodedMap {
	if m == nil {
		return &encodedMap{}
	}
	return &encodedMap{Map: placement.EncodeMap(m)}
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

// pollsPerNode bounds the polls of one node that wait here.
const pollsPerNode = 4

// pollPatience is how long a poll waits for news. It is shorter than the pollers' own time-out.
const pollPatience = 5 * time.Second

// metaGroup is the placement map's group at one of its voters; a *meta.Meta is one.
type metaGroup interface {
	Map() *placement.Map
	Get(ctx context.Context) (*placement.Map, error)
	Roll() *placement.Roll
	Wait(ctx context.Context, seen meta.Seen)
	Propose(ctx context.Context, c placement.Command) (meta.Applied, error)
	Heard() time.Time
	Status() api.GroupStatus
}

// mapServer answers other nodes' questions about the placement map.
type mapServer struct {
	self api.NodeID
	view *meta.View
	meta func() metaGroup // of this node; nil if it has no voter of it
	pace *touches         // of nodes that change their own entries; nil is not bounded
	// suspends are those of this machine: a voter that was suspended claims no age toward other nodes that its process did not see pass.
	suspends *suspends
}

func (x mapServer) register(s *peer.Server) {
	methodPoll.Handle(s, x.poll)
	methodMap.Handle(s, x.get)
	methodPropose.Handle(s, x.propose)
}

// poll waits for news of the map and the roll: at a voter of the meta group for its own, else for the view's.
func (x mapServer) poll(ctx context.Context, p *poll) (*polled, error) {
	arrived, patience := time.Now(), pollPatience
	if p.Since == 0 || p.AtOnce {
		patience = 0 // any map is news; if there is none, another node may have one
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	seen := meta.Seen{Map: p.Since, Roll: p.SinceRoll}
	if peer.CallerFrom(ctx).Role == "" { // the roll is for nodes that the map names
		seen.Roll = math.MaxUint64
	}
	now, roll, fresh := x.wait(ctx, seen)
	if now == nil {
		if p.Since == 0 {
			return nil, api.Errorf(api.CodeUnavailable, "node %s has no placement map yet", x.self)
		}
		return &polled{}, nil
	}
	answer := &polled{}
	if now.Version > p.Since {
		answer.Map = placement.EncodeMap(now)
	}
	if roll.Revision > seen.Roll {
		answer.Roll = placement.EncodeRollChange(roll.Since(now.ClusterID, p.SinceRoll))
	}
	if !fresh.IsZero() && fresh.After(x.doubted()) {
		answer.Known, answer.Fresh = true, fresh.Sub(arrived)
	}
	return answer, nil
}

// resumeDoubt is for how long after a suspend a voter does not say how old its roll is: longer than a leader that was suspended needs
// to notice that others have elected another.
const resumeDoubt = 5 * time.Second

// doubted returns the instant of the last suspend of this machine, and at a voter a little later: what it heard until then may be
// of any age.
func (x mapServer) doubted() time.Time {
	ended := x.suspends.last()
	if !ended.IsZero() && x.meta() != nil {
		ended = ended.Add(resumeDoubt)
	}
	return ended
}

// wait returns this node's map and roll as soon as one is newer than what was seen, or as they are when ctx ends, and when the roll
// was last known to be the newest.
func (x mapServer) wait(ctx context.Context, seen meta.Seen) (now *placement.Map, roll *placement.Roll, fresh time.Time) {
	if m := x.meta(); m != nil && m.Map() != nil {
		m.Wait(ctx, seen)
		heard := m.Heard() // before the roll is read, which is then at least as new
		return m.Map(), m.Roll(), heard
	}
	_, _, _ = x.view.Wait(ctx, seen) // its error says: nothing newer
	if age, known := x.view.RollAge(); known {
		fresh = time.Now().Add(-age)
	}
	return x.view.Map(), x.view.Roll(), fresh
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
	if err := x.pace.allow(m.Map(), c); err != nil {
		return nil, err
	}
	done, err := m.Propose(ctx, c)
	if err != nil {
		return nil, err
	}
	answer := encoded(done.Map)
	answer.Roll = done.Roll
	return answer, nil
}

// mayPropose refuses commands that are not for the caller: servers propose every command, other nodes their own joining and what they
// may say of themselves.
func mayPropose(c *peer.Caller, command placement.Command) error {
	if c.Role == api.RoleServer {
		return nil
	}
	if j, ok := command.(placement.Join); ok && c.Node != "" && j.Node.ID == c.Node {
		return j.Node.CheckAddresses() // the machine leaves those of known nodes as they are given: old ones may be odd
	}
	if x, ok := command.(placement.Touch); ok && c.Role != "" && x.Node == c.Node {
		return nil
	}
	return api.Errorf(api.CodeDenied, "only servers of the cluster may propose that; node %q may propose that it joins", c.Node)
}

// mapsAt is how a meta.Mirror reaches the nodes of a pool.
type mapsAt struct{ pool *peer.Pool }

var _ meta.Source = mapsAt{}

// Poll asks a node for news.
func (x mapsAt) Poll(ctx context.Context, node api.NodeID, seen meta.Seen) (meta.News, error) {
	return pollAt(ctx, x.pool.Remote(node), seen)
}

// PollAddress asks the node at an address for news.
func (x mapsAt) PollAddress(ctx context.Context, address string, seen meta.Seen) (meta.News, error) {
	return pollAt(ctx, x.pool.RemoteAt(address), seen)
}

// Get asks the node, if it leads the meta group, for the newest map.
func (x mapsAt) Get(ctx context.Context, node api.NodeID) (*placement.Map, error) {
	res, err := methodMap.Ask(ctx, x.pool.Remote(node), &peer.Nothing{})
	return res.decode(err)
}

// pollAt asks the node for news: of neither the map nor the roll if that takes longer than the node waits.
func pollAt(ctx context.Context, r *peer.Remote, seen meta.Seen) (news meta.News, err error) {
	res, err := methodPoll.Ask(ctx, r, &poll{seen.Map, seen.Roll, seen.Ageless})
	if err != nil {
		return news, err
	}
	news.Known, news.Fresh = res.Known, res.Fresh
	if len(res.Map) > 0 {
		if news.Map, err = placement.DecodeMap(res.Map); err != nil {
			return news, err
		}
	}
	if len(res.Roll) > 0 {
		news.Roll, err = placement.DecodeRollChange(res.Roll)
	}
	return news, err
}

// propose carries out a command of the meta group at the node, which must lead it.
func (x mapsAt) propose(ctx context.Context, node api.NodeID, c placement.Command) (meta.Applied, error) {
	res, err := methodPropose.Call(ctx, x.pool.Remote(node), &proposal{placement.Encode(c)})
	now, err := res.decode(err)
	if err != nil {
		return meta.Applied{}, err
	}
	return meta.Applied{Map: now, Roll: res.Roll}, nil
}

// newChanges carries changes of the placement map and of the roll to the leader of their group. Its commands may be repeated.
func newChanges(r *router.Router, pool *peer.Pool, view *meta.View) *meta.Client[*fsm.Receipt] {
	at := mapsAt{pool}
	toLeader := func(ctx context.Context, op string, call func(ctx context.Context, leader api.NodeID) error) error {
		return r.OnLeader(ctx, ident.MetaGroup, op, true, call)
	}
	return &meta.Client[*fsm.Receipt]{
		Get: func(ctx context.Context) (m *placement.Map, err error) {
			err = toLeader(ctx, "map", func(ctx context.Context, leader api.NodeID) (err error) {
				m, err = at.Get(ctx, leader)
				return err
			})
			return m, err
		},
		Propose: func(ctx context.Context, c placement.Command) (done meta.Applied, err error) {
			err = toLeader(ctx, "placement", func(ctx context.Context, leader api.NodeID) (err error) {
				done, err = at.propose(ctx, leader, c)
				return err
			})
			return done, err
		},
		Mover:  &remote.Mover{Pool: pool, OnLeader: r.OnLeader},
		Update: func(m *placement.Map) { _ = view.Update(m) }, // it conflicts only if this node belongs to another cluster by now
	}
}
