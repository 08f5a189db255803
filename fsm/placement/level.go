package placement

import "github.com/edgehold/edgehold/api"

// Level numbers what the nodes of a cluster have agreed to write into the meta group's log and to keep in the map. A command that
// needs a higher level than the map's is refused with CodeConflict. The levels of groups are counted apart: see package fsm.
type Level uint8

// The levels.
const (
	// Level0 is that of clusters founded before the map had levels.
	Level0 Level = 0
	// LevelIdentity gives every node a number, and has pins, the roll and the vault. New clusters begin with it.
	LevelIdentity Level = 3
	// LevelHistory has the settings of histories. All nodes of the map know it, and groups may keep histories.
	LevelHistory Level = 4
	// LevelTime keeps the locks of a directory together. All nodes of the map know it, and groups may have deadlines.
	LevelTime Level = 5
	// LevelFunctions says that all nodes of the map know the functions of bytes, and groups may carry them out.
	LevelFunctions Level = 6

	// NewestLevel is the highest that this program knows.
	NewestLevel = LevelFunctions
)

// known reports whether a map can be at the level.
func (l Level) known() bool { return l == Level0 || l >= LevelIdentity && l <= NewestLevel }

// version is the format's version of what needs the level: the first byte of its encoding. What needs no level keeps the first.
func (l Level) version() byte { return max(formatVersion, byte(l)) }

// SetLevel raises the level of the map. The leader of the meta group proposes it when all voters of the group, and above
// LevelIdentity all nodes of the map, have reported that they know the level. It never lowers a level; repeated, it does nothing.
// LevelIdentity gives a number to every node.
type SetLevel struct {
	Level Level `cbor:"1,keyasint"`
}

func (SetLevel) kind() byte { return kindSetLevel }

func (s *state) setLevel(c SetLevel) (changes, error) {
	switch {
	case !c.Level.known():
		return nothing, bad("there is no level %d of the placement map", c.Level)
	case c.Level <= s.Map.Level:
		return nothing, nil
	}
	return ofMap, s.Map.raise(c.Level)
}

// raise brings the map to the level. m is the caller's own copy.
func (m *Map) raise(l Level) error {
	before := m.Level
	if m.Level = l; before >= LevelIdentity {
		return nil
	}
	nodes := m.Nodes
	m.Nodes = nil
	for _, n := range nodes {
		if err := m.number(&n); err != nil {
			return err
		}
		m.Nodes = append(m.Nodes, n)
	}
	return nil
}

// number gives the node the next number, which no other node has had or will have. m is the caller's own copy.
func (m *Map) number(n *Node) error {
	if m.NextNum == ^uint32(0) {
		return api.Errorf(api.CodeTooLarge, "the cluster has had %d nodes, and has no number for another", m.NextNum-1)
	}
	m.NextNum = max(m.NextNum, 1)
	n.Num = m.NextNum
	m.NextNum++
	return nil
}
