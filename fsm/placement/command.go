package placement

import "github.com/edgehold/edgehold/api"

// Command is one of [Init], [Join], [SetRange] and [TermStart].
type Command interface{ kind() byte }

// Init gives a new meta group its first map; if there is a map, it does nothing.
type Init struct {
	Map *Map `cbor:"1,keyasint"`
}

// Join registers a node or updates its addresses, and gives a new server its places among the voters. CodeConflict if
// the id belongs to a node of another region or role.
type Join struct {
	Node Node `cbor:"1,keyasint"`
}

// SetRange notes that the region's groups have adopted the range at the epoch. Refused (CodeConflict) at an epoch at or
// below that of any part of it; repeated, it does nothing.
type SetRange struct {
	Range  api.Range     `cbor:"1,keyasint"`
	Epoch  uint64        `cbor:"2,keyasint"`
	Region api.RegionID  `cbor:"3,keyasint"`
	Groups []api.GroupID `cbor:"4,keyasint"`
}

// TermStart is a new leader's first command; it changes nothing but [Machine.Term].
type TermStart struct{}

// The kinds, as they stand in the log: never renumbered.
const (
	kindInit byte = iota + 1
	kindJoin
	kindSetRange
	kindTermStart
	kindEnd // one above the last
)

func (Init) kind() byte      { return kindInit }
func (Join) kind() byte      { return kindJoin }
func (SetRange) kind() byte  { return kindSetRange }
func (TermStart) kind() byte { return kindTermStart }
