package kvconnect

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// maxNameBytes bounds the name of a database.
const maxNameBytes = 64

// metaFolder is where the sibling keys of a database are. It is above every key that a client of Deno can make: those begin with the
// code of a type, of which 0x27 is the highest.
const metaFolder = ".meta/"

// database is the keys of one database: those that begin with "deno/NAME/". A database is one shard of a range of the placement map: so
// its versions rise over all its keys, and a write has one version for all of them.
type database struct{ name string }

// newDatabase returns CodeInvalid for a name that no database has.
func newDatabase(name string) (database, error) {
	wrong := name == "" || len(name) > maxNameBytes || name[0] == '.' || strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-", c)
	})
	if wrong {
		return database{}, api.Errorf(api.CodeInvalid,
			"%.80q names no database: a name has 1 to %d letters, digits, dots, dashes and underscores, and begins with no dot", name, maxNameBytes)
	}
	return database{name}, nil
}

// id is the database's id, in the form of a UUID. It is the same at every node.
func (d database) id() string {
	b := sha256.Sum256([]byte("kvconnect/" + d.name))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // version 8: by a rule of our own
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// prefix begins all keys of the database.
func (d database) prefix() api.Key { return api.Key("deno/" + d.name + "/") }

// data returns the key at which the value of a client's key is.
func (d database) data(k []byte) api.Key { return d.prefix() + api.Key(k) }

// meta returns the key at which the encoding of a client's key is, unless that is V8.
func (d database) meta(k []byte) api.Key { return d.prefix() + metaFolder + api.Key(k) }

// client returns the client's key whose value is at k.
func (d database) client(k api.Key) []byte { return []byte(k[len(d.prefix()):]) }

// ranges returns where the values and the encodings of a client's range are; ok is false if no key is in the range.
func (d database) ranges(start, end []byte) (data, meta api.Range, ok bool) {
	until := min(string(end), metaFolder)
	if string(start) >= until {
		return api.Range{}, api.Range{}, false
	}
	data = api.Range{Start: d.data(start), End: d.data([]byte(until))}
	meta = api.Range{Start: d.meta(start), End: d.meta([]byte(until))}
	return data, meta, true
}

// checkWritten returns what is wrong with a key that is to be written.
func checkWritten(k []byte) error {
	switch {
	case len(k) == 0:
		return api.Errorf(api.CodeInvalid, "a key is empty")
	case len(k) > maxKeyBytes:
		return api.Errorf(api.CodeTooLarge, "a key of %d bytes is over the limit of %d bytes", len(k), maxKeyBytes)
	case k[0] >= metaFolder[0]:
		return api.Errorf(api.CodeInvalid, "a key begins with the byte 0x%02x, which is not the code of a type of key parts", k[0])
	}
	return nil
}

// checkRead returns what is wrong with a key that is read, checked or watched.
func checkRead(k []byte) error {
	if len(k) > maxKeyBytes+1 {
		return api.Errorf(api.CodeTooLarge, "a key of %d bytes is over the limit of %d bytes", len(k), maxKeyBytes+1)
	}
	return nil
}

// encoding says how a value is encoded.
type encoding uint8

// The encodings, as the protocol numbers them.
const (
	encodingV8 encoding = iota + 1
	encodingLE64
	encodingBytes
)

// What the sibling key of a value holds. A value in V8 has none.
const (
	metaLE64  = "u64"
	metaBytes = "bytes"
)

// text is what the sibling key of a value with the encoding holds; "" if there is none.
func (e encoding) text() string {
	switch e {
	case encodingLE64:
		return metaLE64
	case encodingBytes:
		return metaBytes
	}
	return ""
}

// encodingOf returns the encoding of a value whose sibling is meta. An unknown text, which no front has written, is bytes.
func encodingOf(meta *api.Entry) encoding {
	switch {
	case !meta.Exists:
		return encodingV8
	case string(meta.Value) == metaLE64:
		return encodingLE64
	}
	return encodingBytes
}
