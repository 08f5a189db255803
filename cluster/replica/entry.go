package replica

import (
	"encoding/binary"
	"errors"
)

// The data of a log entry: one byte of format, the number of commands, and each command behind its length. Numbers are
// unsigned varints.
const entryFormat = 1

var (
	errEntry      = errors.New("malformed log entry")
	errNewerEntry = errors.New("a log entry of an unknown format")
)

// encodeEntry packs commands into the data of one log entry.
func encodeEntry(commands [][]byte) []byte {
	size := 1 + binary.MaxVarintLen64
	for _, c := range commands {
		size += binary.MaxVarintLen64 + len(c)
	}
	b := make([]byte, 1, size)
	b[0] = entryFormat
	b = binary.AppendUvarint(b, uint64(len(commands)))
	for _, c := range commands {
		b = binary.AppendUvarint(b, uint64(len(c)))
		b = append(b, c...)
	}
	return b
}

// decodeEntry returns the commands of an entry. They share memory with b.
func decodeEntry(b []byte) ([][]byte, error) {
	switch {
	case len(b) == 0:
		return nil, errEntry
	case b[0] != entryFormat:
		return nil, errNewerEntry
	}
	count, b, err := cutUvarint(b[1:])
	if err != nil || count > uint64(len(b)) { // a command takes a byte at least
		return nil, errEntry
	}
	commands := make([][]byte, count)
	for i := range commands {
		var n uint64
		if n, b, err = cutUvarint(b); err != nil || n > uint64(len(b)) {
			return nil, errEntry
		}
		commands[i], b = b[:n:n], b[n:]
	}
	if len(b) != 0 {
		return nil, errEntry
	}
	return commands, nil
}

func cutUvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errEntry
	}
	return v, b[n:], nil
}
