package placement

import (
	"crypto/sha256"
	"slices"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
)

// Machine keeps the one true map, the roll and the vault. Apply and Restore belong to one goroutine; everything else may be called at any time.
type Machine struct {
	state atomic.Pointer[state]
}

// state is all that the machine knows. It is replaced, never changed.
type state struct {
	Map     *Map     `cbor:"1,keyasint,omitempty"`
	Counter uint64   `cbor:"2,keyasint,omitempty"`
	Term    api.Term `cbor:"3,keyasint,omitempty"`
	Roll    *Roll    `cbor:"4,keyasint,omitempty"`
	Vault   *Vault   `cbor:"5,keyasint,omitempty"`
	// Edges are the last edges that were removed, the newest last.
	Edges []api.NodeID `cbor:"6,keyasint,omitempty"`
}

// copied returns a state for one command to change, with copies of the documents; a missing roll or vault is empty.
func (s *state) copied() *state {
	next, roll, vault := *s, Roll{}, Vault{}
	if s.Map != nil {
		m := *s.Map
		next.Map = &m
	}
	if s.Roll != nil {
		roll = *s.Roll
	}
	if s.Vault != nil {
		vault = *s.Vault
	}
	next.Roll, next.Vault = &roll, &vault
	return &next
}

// level is that of the map; Level0 before there is one.
func (s *state) level() Level {
	if s.Map == nil {
		return Level0
	}
	return s.Map.Level
}

// Result is the result of a command: the map after it, nil before Init, the revision of the roll after it, and the error if the
// command was refused.
type Result struct {
	Index uint64
	Map   *Map
	Roll  uint64
	Err   *api.Error
}

// New returns a machine without a map.
func New() *Machine {
	m := &Machine{}
	m.state.Store(&state{})
	return m
}

// Map returns the present map; nil before Init.
func (m *Machine) Map() *Map { return m.state.Load().Map }

// Roll returns the present roll; it is never nil and never changes.
func (m *Machine) Roll() *Roll {
	if r := m.state.Load().Roll; r != nil {
		return r
	}
	return &Roll{}
}

// Vault returns the present vault; it is never nil and never changes. It must not leave the voters of the meta group.
func (m *Machine) Vault() *Vault {
	if v := m.state.Load().Vault; v != nil {
		return v
	}
	return &Vault{}
}

// RemovedEdge reports whether the id is that of one of the last edges that were removed.
func (m *Machine) RemovedEdge(id api.NodeID) bool { return slices.Contains(m.state.Load().Edges, id) }

// Term returns the term of the newest entry that was applied. If it is a leader's own term, the leader has applied all that
// was acknowledged before.
func (m *Machine) Term() api.Term { return m.state.Load().Term }

// Counter returns the number of commands applied.
func (m *Machine) Counter() uint64 { return m.state.Load().Counter }

// Hash returns a hash of the whole state. It is equal on replicas whose counters are equal.
func (m *Machine) Hash() [32]byte { return sha256.Sum256(encode(nil, m.state.Load())) }

// Apply carries out the commands of one log entry, in order; one Result each. A malformed command gives a Result with an
// error, the same on every replica. [ErrNewer] means that a newer version of the program wrote a command: nothing of the
// entry was applied, and nothing after it may be.
func (m *Machine) Apply(term api.Term, commands [][]byte) ([]Result, error) {
	if slices.ContainsFunc(commands, newer) {
		return nil, ErrNewer
	}
	results := make([]Result, len(commands))
	s := *m.state.Load()
	s.Term = max(s.Term, term)
	for i, b := range commands {
		s.Counter++
		c, err := Decode(b)
		if err == nil {
			err = s.apply(c)
		}
		results[i] = Result{Index: s.Counter, Map: s.Map, Roll: s.Roll.revision()}
		if err != nil {
			results[i].Err = api.AsError(err)
		}
	}
	m.state.Store(&s)
	return results, nil
}
