package placement

import (
	"crypto/sha256"
	"slices"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
)

// Machine keeps the one true map. Apply and Restore belong to one goroutine; everything else may be called at any time.
type Machine struct {
	state atomic.Pointer[state]
}

// state is all that the machine knows. It is replaced, never changed.
type state struct {
	Map     *Map     `cbor:"1,keyasint,omitempty"`
	Counter uint64   `cbor:"2,keyasint,omitempty"`
	Term    api.Term `cbor:"3,keyasint,omitempty"`
}

// Result is the result of a command: the map after it, nil before Init, and the error if the command was refused.
type Result struct {
	Index uint64
	Map   *Map
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
		results[i] = Result{Index: s.Counter, Map: s.Map}
		if err != nil {
			results[i].Err = api.AsError(err)
		}
	}
	m.state.Store(&s)
	return results, nil
}

// apply carries out one command on a copy of the map, which replaces the map if something changed.
func (s *state) apply(c Command) error {
	if c, ok := c.(Init); ok && s.Map == nil {
		if err := c.Map.Check(); err != nil {
			return err
		}
		s.Map = c.Map
		return nil
	}
	if _, ok := c.(TermStart); ok {
		return nil
	}
	if s.Map == nil {
		return api.Errorf(api.CodeUnavailable, "the cluster has no placement map yet")
	}
	next := *s.Map
	changed, err := next.change(c)
	if err != nil || !changed {
		return err
	}
	next.Version++
	s.Map = &next
	return nil
}

// change carries out a command. m is a copy whose slices are shared with the map before: they are replaced, not changed.
func (m *Map) change(c Command) (changed bool, err error) {
	switch c := c.(type) {
	case Join:
		return m.join(c.Node)
	case SetRange:
		return m.setRange(Span(c))
	}
	return false, nil
}
