package replica

import (
	"encoding/binary"
	"errors"
	"slices"
)

// The data of a log entry is one byte of format, the number of commands, and each command after its length. Numbers are
// unsigned varints. The first byte of a command is its version: see [Machine].
const (
	// firstFormat is the format of entries whose commands all have version 1.
	firstFormat = 1
	// laterFormat is the format of all other entries. A program that knows only version 1 would skip a later command, and its
	// state would silently diverge. It stops at an entry of an unknown format instead.
	laterFormat = 2
)

var (
	errEntry      = errors.New("malformed log entry")
	errNewerEntry = errors.New("a log entry of an unknown format")
)

// encodeEntry returns the data of a log entry of the commands.
func encodeEntry(commands [][]byte) []byte {
	size := 1 + binary.MaxVarintLen64
	for _, c := range commands {
		size += binary.MaxVarintLen64 + len(c)
	}
	b := make([]byte, 1, size)
	b[0] = formatOf(commands)
	b = binary.AppendUvarint(b, uint64(len(commands)))
	for _, c := range commands {
		b = binary.AppendUvarint(b, uint64(len(c)))
		b = append(b, c...)
	}
	return b
}

// formatOf returns the format of an entry of the commands.
func formatOf(commands [][]byte) byte {
	if slices.ContainsFunc(commands, func(c []byte) bool { return len(c) > 0 && c[0] > 1 }) {
		return laterFormat
	}
	return firstFormat
}

// decodeEntry returns the commands of an entry. They share memory with b.
func decodeEntry(b []byte) ([][]byte, error) {
	switch {
	case len(b) == 0:
		return nil, errEntry
	case b[0] == 0 || b[0] > laterFormat:
		return nil, errNewerEntry
	}
	count, b, err := cutUvarint(b[1:])
	if err != nil || count > uint64(len(b)) { // a command takes at least one byte
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
