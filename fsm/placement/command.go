package placement

import "github.com/edgehold/edgehold/api"

// Command is one change of what the meta group keeps, in the form that its log has. Each command is a struct with its effect in the
// same file, and has a row in the table.
type Command interface{ kind() byte }

// The kinds, as they stand in the log: never renumbered.
const (
	kindInit byte = iota + 1
	kindJoin
	kindSetRange
	kindTermStart
	kindSetLevel
	kindRetire
	kindSetState
	kindPlace
	kindSet
	kindTouch
	kindSecure
	kindAdmit
	kindRekey
	kindPutJoinToken
	kindDropJoinToken
	kindPutPolicy
	kindDropPolicy
	kindPutToken
	kindDropToken
	kindDropRegion
)

// commands has a row for each kind of command. A new kind takes the next number.
var commands = [...]row{
	kindInit:      of("init", Level0, (*state).init).early(),
	kindJoin:      of("join", Level0, (*state).join),
	kindSetRange:  of("set range", Level0, (*state).setRange),
	kindTermStart: of("term start", Level0, func(*state, TermStart) (changes, error) { return nothing, nil }).early(),
	kindSetLevel:  of("set level", Level0, (*state).setLevel),
	kindRetire:    of("retire", LevelIdentity, (*state).retire),
	kindSetState:  of("set state", LevelIdentity, (*state).setState),
	kindPlace:     of("place", LevelIdentity, (*state).place),
	kindSet:       of("set", LevelIdentity, (*state).set),
	kindTouch:     of("touch", LevelIdentity, (*state).touch),

	kindSecure:        of("secure", LevelIdentity, (*state).secure),
	kindAdmit:         of("admit", LevelIdentity, (*state).admit),
	kindRekey:         of("rekey", LevelIdentity, (*state).rekey),
	kindPutJoinToken:  of("put join token", LevelIdentity, (*state).putJoinToken),
	kindDropJoinToken: of("drop join token", LevelIdentity, (*state).dropJoinToken),

	kindPutPolicy:  of("put policy", LevelIdentity, (*state).putPolicy),
	kindDropPolicy: of("drop policy", LevelIdentity, (*state).dropPolicy),
	kindPutToken:   of("put token", LevelIdentity, (*state).putToken),
	kindDropToken:  of("drop token", LevelIdentity, (*state).dropToken),

	kindDropRegion: of("drop region", LevelIdentity, (*state).dropRegion),
}

// changes names the documents that a command has changed: each has a version of its own.
type changes uint8

const (
	ofMap    changes = 1 << iota // the map, whose Version rises
	ofRoll                       // the roll, whose Revision rises
	ofVault                      // the vault
	ofEdges                      // the edges that were removed
	founding                     // the first map, which keeps its version

	nothing changes = 0
)

// row is a row of the table.
type row struct {
	name  string
	since Level // the least level of a map that admits it
	first bool  // it is also admitted before there is a map
	read  func(body []byte) (Command, error)
	// run carries out the command. The state and its documents are the command's own copies, whose slices and maps are shared
	// with the state before: they are replaced, not changed. After an error the copies are not used.
	run func(*state, Command) (changes, error)
}

// of returns the row of a kind.
func of[C Command](name string, since Level, run func(*state, C) (changes, error)) row {
	return row{
		name: name, since: since,
		read: func(body []byte) (Command, error) { return decode[C](body) },
		run:  func(s *state, c Command) (changes, error) { return run(s, c.(C)) },
	}
}

func (r row) early() row { r.first = true; return r }

// known reports whether the table has the kind.
func known(kind byte) bool { return int(kind) < len(commands) && commands[kind].run != nil }

// Name returns the name of the command's kind in logs.
func Name(c Command) string { return commands[c.kind()].name }

// needs returns the least level of a map that admits the command.
func needs(c Command) Level {
	switch c := c.(type) {
	case Init:
		if c.Vault != nil {
			return LevelIdentity
		}
		if c.Map != nil {
			return c.Map.Level
		}
	case Join:
		if !c.Node.plain() {
			return LevelIdentity
		}
	case Set:
		if row, ok := SettingNamed(c.Name); ok {
			return max(row.Since, LevelIdentity)
		}
	}
	return commands[c.kind()].since
}

// apply carries out one command. What it changes is replaced; after an error all is as it was.
func (s *state) apply(c Command) error {
	r := commands[c.kind()]
	if s.Map == nil && !r.first {
		return api.Errorf(api.CodeUnavailable, "the cluster has no placement map yet")
	}
	if s.Map != nil && needs(c) > s.Map.Level && c.kind() != kindInit {
		return api.Errorf(api.CodeConflict, "%q needs level %d and the cluster is at level %d: upgrade the nodes that hold it up (edgehold cluster level)",
			r.name, needs(c), s.Map.Level)
	}
	next := s.copied()
	changed, err := r.run(next, c)
	if err != nil {
		return err
	}
	if changed&ofRoll != 0 {
		if n := len(encode(nil, next.Roll)); n > MaxRollBytes {
			return api.Errorf(api.CodeTooLarge, "tokens and policies of %d bytes are over the limit of %d bytes", n, MaxRollBytes)
		}
	}
	if changed&(ofMap|founding) != 0 {
		s.Map = next.Map
	}
	if changed&ofMap != 0 {
		s.Map.Version++
	}
	if changed&ofRoll != 0 {
		s.Roll = next.Roll
		s.Roll.Revision++
	}
	if changed&ofVault != 0 {
		s.Vault = next.Vault
	}
	if changed&ofEdges != 0 {
		s.Edges = next.Edges
	}
	return nil
}
