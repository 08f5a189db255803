package kvconnect

import (
	"encoding/binary"

	"github.com/edgehold/edgehold/api"
)

// stampBytes is the size of a versionstamp.
const stampBytes = 10

// stampOf returns the versionstamp of a version: the version as one integer, big endian, and two zero bytes.
func stampOf(v api.Version) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, stampBytes), v.Integer()), 0, 0)
}

// versionOf returns the version of a versionstamp of stampBytes bytes; false if no version has it.
func versionOf(stamp []byte) (v api.Version, ok bool) {
	if stamp[8] != 0 || stamp[9] != 0 {
		return v, false
	}
	return api.VersionOf(binary.BigEndian.Uint64(stamp)), true
}
