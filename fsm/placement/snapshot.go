package placement

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// A snapshot is: the magic word, the version of its format, which is that of its map, the length of the body, the body, a checksum of all before it.
var (
	magic = []byte{'E', 'H', 'P', 'M'}
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
	b := append(slices.Clone(magic), s.s.level().version())
	b = binary.BigEndian.AppendUint64(b, uint64(len(body)))
	b = append(b, body...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, table))
	n, err := w.Write(b)
	return int64(n), err
}

// Close ends the snapshot.
func (s *Snapshot) Close() error { return nil }

// Restore replaces the state by a snapshot. On an error the state is as it was. ErrNewer if a newer version of the program made the
// snapshot.
func (m *Machine) Restore(r io.Reader) error {
	head := make([]byte, len(magic)+1+8)
	if _, err := io.ReadFull(r, head); err != nil {
		return broken(err)
	}
	version, size := head[len(magic)], binary.BigEndian.Uint64(head[len(magic)+1:])
	if !bytes.Equal(head[:len(magic)], magic) || size > maxSnapshot || version == 0 {
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
	if !knownVersion(version) {
		return ErrNewer // and not damaged: the checksum holds
	}
	s, err := decode[state](body)
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	if s.level().version() != version {
		return broken(nil)
	}
	m.state.Store(&s)
	return nil
}

// check returns the first contradiction in the state; nil if a machine may hold it.
func (s *state) check() error {
	if s.Map != nil {
		if err := s.Map.Check(); err != nil {
			return err
		}
	}
	if s.level() == Level0 && (s.Roll != nil || s.Vault != nil || len(s.Edges) > 0) {
		return bad("a state of level 0 has what only level %d has", LevelIdentity)
	}
	if s.Roll != nil {
		if err := s.Roll.Check(); err != nil {
			return err
		}
	}
	if s.Vault != nil {
		return s.Vault.Check()
	}
	return nil
}

func broken(err error) *api.Error {
	return &api.Error{Code: api.CodeInternal, Op: "restore", Hint: "the snapshot of the placement map is damaged", Err: err}
}
