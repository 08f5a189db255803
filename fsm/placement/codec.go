package placement

import (
	"errors"

	"github.com/fxamacker/cbor/v2"

	"github.com/edgehold/edgehold/api"
)

// formatVersion is the first byte of every command, map and snapshot. A change of meaning takes the next number, and
// the old one stays readable.
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
	return encode([]byte{formatVersion, c.kind()}, c)
}

// Decode reads what Encode wrote; CodeInvalid for anything else.
func Decode(b []byte) (Command, error) {
	if len(b) < 2 || b[0] != formatVersion {
		return nil, bad("unknown version of a placement command")
	}
	switch b[1] {
	case kindInit:
		c, err := decode[Init](b[2:])
		if err == nil && c.Map == nil {
			return nil, bad("the command has no map")
		}
		return c, err
	case kindJoin:
		return command[Join](b[2:])
	case kindSetRange:
		return command[SetRange](b[2:])
	case kindTermStart:
		return command[TermStart](b[2:])
	}
	return nil, bad("unknown kind of placement command: %d", b[1])
}

// ErrNewer says that a log entry holds a command that only a newer version of this program knows.
var ErrNewer = errors.New("placement: an entry of a newer version")

// newer reports whether the command's version or kind is one that this program does not know.
func newer(b []byte) bool {
	return len(b) > 0 && b[0] != formatVersion || len(b) > 1 && (b[1] == 0 || b[1] >= kindEnd)
}

func command[C Command](b []byte) (Command, error) { return decode[C](b) }

// EncodeMap is the map for a wire or a file.
func EncodeMap(m *Map) []byte { return encode([]byte{formatVersion}, m) }

// DecodeMap reads what EncodeMap wrote, and checks it; CodeInvalid for anything else.
func DecodeMap(b []byte) (*Map, error) {
	if len(b) < 1 || b[0] != formatVersion {
		return nil, bad("unknown version of a placement map")
	}
	m, err := decode[Map](b[1:])
	if err != nil {
		return nil, err
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
