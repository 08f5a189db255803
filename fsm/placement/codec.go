package placement

import (
	"github.com/fxamacker/cbor/v2"

	"github.com/edgehold/edgehold/api"
)

// formatVersion is the first byte of every command, map and snapshot that needs no level. What needs one begins with the level,
// so that a program that does not know it stops instead of guessing; see [Level].
const formatVersion = 1

// Keys are any bytes, so all strings travel as byte strings; the order of fields is fixed, so that equal values have
// equal bytes.
var (
	encoding = must(cbor.EncOptions{
		Sort: cbor.SortBytewiseLexical, String: cbor.StringToByteString, IndefLength: cbor.IndefLengthForbidden,
	}.EncMode())
	decoding = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, ByteStringToString: cbor.ByteStringToStringAllowed,
		IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, MaxNestedLevels: 16,
		MaxArrayElements: 1 << 20, MaxMapPairs: 64, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode())
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic(err) // the options above contradict each other
	}
	return mode
}

// Encode is the command as it stands in the log: version, kind, body.
func Encode(c Command) []byte {
	return encode([]byte{needs(c).version(), c.kind()}, c)
}

// Decode reads what Encode wrote; CodeInvalid for anything else.
func Decode(b []byte) (Command, error) {
	if len(b) < 2 || !knownVersion(b[0]) {
		return nil, bad("unknown version of a placement command")
	}
	if !known(b[1]) {
		return nil, bad("unknown kind of placement command: %d", b[1])
	}
	c, err := commands[b[1]].read(b[2:])
	switch {
	case err != nil:
		return nil, err
	case c.kind() == kindInit && c.(Init).Map == nil:
		return nil, bad("the command has no map")
	case needs(c).version() != b[0]:
		return nil, bad("the command %q is not of version %d", Name(c), b[0])
	}
	return c, nil
}

// ErrNewer means that a log entry, a map or a snapshot has something that only a newer version of this program knows.
var ErrNewer error = newerError{}

type newerError struct{}

func (newerError) Error() string { return "placement: an entry of a newer version" }

// NewerVersion marks the error for the replica: an upgrade of the program helps, and nothing is damaged.
func (newerError) NewerVersion() {}

// knownVersion reports whether the first byte of an encoding is one that this program knows.
func knownVersion(b byte) bool { return b == formatVersion || b != 0 && Level(b).known() }

// newer reports whether the command's version or kind, or the level that it sets, is one that this program does not know. A
// malformed command is not newer: all replicas refuse it alike.
func newer(b []byte) bool {
	switch {
	case len(b) == 0:
		return false
	case !knownVersion(b[0]):
		return true
	case len(b) == 1:
		return false
	case !known(b[1]):
		return true
	}
	if b[1] != kindSetLevel {
		return false
	}
	c, err := Decode(b)
	return err == nil && c.(SetLevel).Level > NewestLevel
}

// EncodeMap is the map for a wire or a file.
func EncodeMap(m *Map) []byte { return encode([]byte{m.Level.version()}, m) }

// DecodeMap reads what EncodeMap wrote, and checks it; CodeInvalid for anything else.
func DecodeMap(b []byte) (*Map, error) {
	if len(b) < 1 || !knownVersion(b[0]) {
		return nil, bad("unknown version of a placement map")
	}
	m, err := decode[Map](b[1:])
	if err != nil {
		return nil, err
	}
	if m.Level.version() != b[0] {
		return nil, bad("a placement map of level %d is not of version %d", m.Level, b[0])
	}
	return &m, m.Check()
}

func encode(head []byte, v any) []byte {
	b, err := encoding.Marshal(v)
	if err != nil {
		panic(err) // these types always encode
	}
	return append(head, b...)
}

func decode[T any](b []byte) (T, error) {
	var v T
	if err := decoding.Unmarshal(b, &v); err != nil {
		return v, &api.Error{Code: api.CodeInvalid, Hint: "not a placement message", Err: err}
	}
	return v, nil
}
