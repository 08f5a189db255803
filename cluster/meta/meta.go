package meta

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Replica is what this room needs of the meta group's log; a *replica.Replica[placement.Result] is one.
type Replica interface {
	Propose(ctx context.Context, command []byte) (placement.Result, error)
	QuorumConfirm(ctx context.Context, term uint64) error
	// Leader is the leader that this replica knows ("" if none) and its term.
	Leader() (node string, term uint64)
	// Heard is when this replica was last known to be up to date; false if it is not known to be at present.
	Heard() (at time.Time, known bool)
}

var _ Replica = (*replica.Replica[placement.Result])(nil)

// Config describes the meta group at one node.
type Config struct {
	Node api.NodeID
	// Init, if not nil, founds the cluster: a leader whose machine has no map proposes it.
	Init *placement.Map
	// Vault is that of a cluster that is founded with TLS; nil is none.
	Vault *placement.Vault
}

// Meta is the meta group at one of its voters. Safe for concurrent use. It starts nothing.
type Meta struct {
	cfg     Config
	machine *placement.Machine

	mu      sync.Mutex
	replica Replica       // nil until Attach
	heard   time.Time     // when this voter was last known to be up to date
	changed chan struct{} // closed and replaced when an entry has applied
}

// New makes the group's machine, which may begin to apply. Calls are served once Attach has given it a log.
func New(cfg Config) (*Meta, error) {
	if cfg.Node == "" {
		return nil, api.Errorf(api.CodeInvalid, "the meta group needs to know its node")
	}
	return &Meta{cfg: cfg, machine: placement.New(), changed: make(chan struct{})}, nil
}

// Attach gives the group its log, once.
func (m *Meta) Attach(r Replica) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replica = r
	m.announceLocked()
}

// OnLeadership is the first command of a new leader. It fits replica.Config.OnLeadership.
func (m *Meta) OnLeadership(uint64) []byte {
	if m.machine.Map() == nil && m.cfg.Init != nil {
		return placement.Encode(placement.Init{Map: m.cfg.Init, Vault: m.cfg.Vault})
	}
	return placement.Encode(placement.TermStart{})
}

// Map returns the newest map that this voter has applied; nil if there is none. It may be old: see Get.
func (m *Meta) Map() *placement.Map { return m.machine.Map() }

// Applied returns how many commands this voter has applied.
func (m *Meta) Applied() uint64 { return m.machine.Counter() }

// Roll returns the newest roll that this voter has applied; it is never nil. It may be old: see Heard.
func (m *Meta) Roll() *placement.Roll { return m.machine.Roll() }

// Heard returns when this voter was last known to have applied all that the group's leader had; the zero time if it never was.
func (m *Meta) Heard() time.Time {
	r, _ := m.log()
	if r == nil {
		return time.Time{}
	}
	at, known := r.Heard()
	m.mu.Lock()
	defer m.mu.Unlock()
	if known && at.After(m.heard) {
		m.heard = at
	}
	return m.heard
}

// Get returns the map as it was at some instant after the call. CodeNotLeader if this voter does not lead.
func (m *Meta) Get(ctx context.Context) (*placement.Map, error) {
	if err := m.confirm(ctx); err != nil {
		return nil, err
	}
	return m.machine.Map(), nil
}

// Vault returns the vault as it was at some instant after the call. CodeNotLeader if this voter does not lead. It must not leave this
// process.
func (m *Meta) Vault(ctx context.Context) (*placement.Vault, error) {
	if err := m.confirm(ctx); err != nil {
		return nil, err
	}
	return m.machine.Vault(), nil
}

// confirm returns nil once the machine has all that was acknowledged before the call, and a map.
func (m *Meta) confirm(ctx context.Context) error {
	for {
		r, changed := m.log()
		if r == nil {
			return notOpen()
		}
		node, term := r.Leader()
		if node != string(m.cfg.Node) {
			return notLeader(node)
		}
		if m.machine.Term() < api.Term(term) {
			// Elected, but what earlier leaders acknowledged may not all have applied here yet.
			if err := await(ctx, changed); err != nil {
				return err
			}
			continue
		}
		if err := r.QuorumConfirm(ctx, term); err != nil {
			return certain(err)
		}
		if m.machine.Map() == nil {
			return noMap()
		}
		return nil
	}
}

// Seen is what a copy of the map and the roll has already.
type Seen struct {
	Map, Roll uint64
	// Ageless means that the poller does not know how old its roll is, and wants an answer at once.
	Ageless bool
}

// Wait returns as soon as this voter's map or roll is newer than what was seen, or when ctx ends. Newer ones may have been
// acknowledged.
func (m *Meta) Wait(ctx context.Context, seen Seen) {
	for {
		_, changed := m.log()
		if now := m.machine.Map(); now != nil && now.Version > seen.Map || m.machine.Roll().Revision > seen.Roll {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// Applied is what a command has led to: the map and the revision of the roll after it.
type Applied struct {
	Map  *placement.Map
	Roll uint64
}

// Propose carries out a command at the leader. CodeAmbiguous if the outcome is unknown;
// after any other error the command was not applied.
func (m *Meta) Propose(ctx context.Context, c placement.Command) (Applied, error) {
	r, _ := m.log()
	if r == nil {
		return Applied{}, notOpen()
	}
	res, err := r.Propose(ctx, placement.Encode(c))
	if err != nil {
		return Applied{}, err
	}
	if res.Err != nil {
		return Applied{}, res.Err
	}
	return Applied{res.Map, res.Roll}, nil
}

// Raise raises the map to the level that known returns, if that is above the present level and this voter leads. known asks all
// members of the group's newest configuration. Raise calls it after this leader's first entry has applied, so that no change of
// members by an earlier leader can come later.
func (m *Meta) Raise(ctx context.Context, known func(context.Context) placement.Level) error {
	if err := m.confirm(ctx); err != nil {
		return err
	}
	level := known(ctx)
	if level <= m.machine.Map().Level {
		return nil
	}
	_, err := m.Propose(ctx, placement.SetLevel{Level: level})
	return err
}

// Status returns what this voter knows of the group, without waiting.
func (m *Meta) Status() api.GroupStatus {
	s := api.GroupStatus{Group: ident.MetaGroup, Term: m.machine.Term(), Applied: m.machine.Counter()}
	if r, _ := m.log(); r != nil {
		node, term := r.Leader()
		s.Leader, s.Term = api.NodeID(node), api.Term(term)
	}
	return s
}

// log returns the replica, and a channel that is closed when an entry has applied.
func (m *Meta) log() (Replica, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.replica, m.changed
}

func (m *Meta) announceLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// await waits for the next entry, for 50 ms at most: a replica does not announce that it steps down.
func await(ctx context.Context, changed <-chan struct{}) error {
	again := time.NewTimer(50 * time.Millisecond)
	defer again.Stop()
	select {
	case <-changed:
	case <-again.C:
	case <-ctx.Done():
		return unavailable("the meta group's new leader has not begun its term yet")
	}
	return nil
}

// Machine is the machine as the replica sees it.
type Machine struct{ m *Meta }

var _ replica.Machine[placement.Result] = (*Machine)(nil)

// Machine is what to give to replica.Open.
func (m *Meta) Machine() *Machine { return &Machine{m} }

// Apply applies one log entry. Only the replica calls it.
func (x *Machine) Apply(_, term uint64, commands [][]byte) ([]placement.Result, error) {
	results, err := x.m.machine.Apply(api.Term(term), commands)
	x.changed()
	return results, err
}

// Snapshot is the present state.
func (x *Machine) Snapshot() (replica.Snapshot, error) { return x.m.machine.Snapshot() }

// Restore replaces the state.
func (x *Machine) Restore(r io.Reader) error {
	err := x.m.machine.Restore(r)
	x.changed()
	return err
}

func (x *Machine) changed() {
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	x.m.announceLocked()
}

func notLeader(node string) *api.Error {
	return &api.Error{Code: api.CodeNotLeader, Leader: api.NodeID(node), Hint: "this node does not lead the meta group"}
}

func unavailable(hint string) *api.Error {
	return &api.Error{Code: api.CodeUnavailable, Hint: hint, RetryAfter: 100 * time.Millisecond}
}

func notOpen() *api.Error { return unavailable("the meta group is not open yet on this node") }

func noMap() *api.Error { return unavailable("the cluster has no placement map yet") }

// certain: a read changes nothing, so its outcome is never unknown.
func certain(err error) error {
	if api.CodeOf(err) != api.CodeAmbiguous {
		return err
	}
	return &api.Error{Code: api.CodeUnavailable, Hint: "the placement map was not confirmed in time", Err: err}
}
