package rpc

import (
	"github.com/fxamacker/cbor/v2"
	"google.golang.org/grpc/encoding"
)

// MaxMessageBytes bounds one message: the largest answer of a read, with its keys, and the largest transaction, with its results.
const MaxMessageBytes = 20 << 20

// codec is CBOR with keys as byte strings, since a key is any bytes.
type codec struct{}

var (
	_       encoding.Codec = codec{}
	encoder                = must(cbor.EncOptions{String: cbor.StringToByteString}.EncMode())
	decoder                = must(cbor.DecOptions{
		ByteStringToString: cbor.ByteStringToStringAllowed,
		MaxNestedLevels:    16,
		MaxArrayElements:   1 << 20,
		MaxMapPairs:        1 << 16,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options above are constants
	}
	return v
}

func (codec) Name() string                       { return "edgehold-cbor" }
func (codec) Marshal(v any) ([]byte, error)      { return encoder.Marshal(v) }
func (codec) Unmarshal(data []byte, v any) error { return decoder.Unmarshal(data, v) }
