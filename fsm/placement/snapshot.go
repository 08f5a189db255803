package placement

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// A snapshot is: the magic word with the format's version, the length of the body, the body, a checksum of all before it.
var (
	magic = []byte{'E', 'H', 'P', 'M', formatVersion}
	table = crc32.MakeTable(crc32.Castagnoli)
)

// maxSnapshot bounds what Restore reads: many times the largest map that the limits allow in practice.
const maxSnapshot = 1 << 30

// Snapshot is the machine's state at one instant. Taking and keeping one costs nothing: state is never changed in place.
type Snapshot struct{ s *state }

// Snapshot returns the present state. It does not stop Apply.
func (m *Machine) Snapshot() (*Snapshot, error) { return &Snapshot{m.state.Load()}, nil }

// WriteTo writes the snapshot.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	body := encode(nil, s.s)
	b := append(slices.Clone(magic), make([]byte, 8)...)
	binary.BigEndian.PutUint64(b[len(magic):], uint64(len(body)))
	b = append(b, body...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, table))
	n, err := w.Write(b)
	return int64(n), err
}

// Close ends the snapshot.
func (s *Snapshot) Close() error { return nil }

// Restore replaces the state by a snapshot. On an error the state is as it was.
func (m *Machine) Restore(r io.Reader) error {
	head := make([]byte, len(magic)+8)
	if _, err := io.ReadFull(r, head); err != nil {
		return broken(err)
	}
	size := binary.BigEndian.Uint64(head[len(magic):])
	if !bytes.Equal(head[:len(magic)], magic) || size > maxSnapshot {
		return broken(nil)
	}
	// Read as much as there is, not as much as is promised: a damaged length must not cost memory.
	var rest bytes.Buffer
	if _, err := io.CopyN(&rest, r, int64(size)+4); err != nil {
		return broken(err)
	}
	body, sum := rest.Bytes()[:size], rest.Bytes()[size:]
	if crc32.Update(crc32.Checksum(head, table), table, body) != binary.BigEndian.Uint32(sum) {
		return broken(nil)
	}
	s, err := decode[state](body)
	if err != nil {
		return err
	}
	if s.Map != nil {
		if err := s.Map.Check(); err != nil {
			return err
		}
	}
	m.state.Store(&s)
	return nil
}

func broken(err error) *api.Error {
	return &api.Error{Code: api.CodeInternal, Op: "restore", Hint: "the snapshot of the placement map is damaged", Err: err}
}
