package fsm

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/engine"
)

// The stream of a snapshot: the magic and the number of the format; then the rows in order, each as 1, key, value (with
// their lengths before them); then 0, the number of rows, and the SHA-256 of everything before it.
//
// The format rises with the level of the group, so that a program which does not know the level refuses the stream. Format 1
// had no Applied in the row of Meta, format 2 no transactions across groups.
const (
	snapshotMagic = "edgehold-fsm\x00"
	formatOfLevel = 2 // added to the level
	// maxRowBytes bounds a row: a receipt can be the longest.
	maxRowBytes = 64 << 20
)

// Snapshot is a machine's whole state at one index.
type Snapshot struct {
	engine.Snapshot
	level Level
}

// Snapshot returns the present state. It takes a moment, whatever the size, and does not stop Apply.
func (m *Machine) Snapshot() (*Snapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return &Snapshot{m.engine.Snapshot(), m.meta.Level}, nil
}

// WriteTo streams the state, in memory that does not depend on its size.
func (s *Snapshot) WriteTo(to io.Writer) (int64, error) {
	sum := sha256.New()
	count := &counter{to: to}
	out := bufio.NewWriterSize(count, 64<<10)
	both := io.MultiWriter(out, sum)
	if _, err := io.WriteString(both, snapshotMagic+string(rune(formatOfLevel+s.level))); err != nil {
		return count.n, err
	}
	var rows uint64
	var w codec.Writer
	var failed error
	err := s.Scan(nil, nil, false, func(k, v []byte) bool {
		w.B = append(w.B[:0], 1)
		w.Bytes(k)
		w.Uint(uint64(len(v)))
		if _, failed = both.Write(w.B); failed == nil {
			_, failed = both.Write(v)
		}
		rows++
		return failed == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return count.n, err
	}
	w.B = append(w.B[:0], 0)
	w.Uint(rows)
	if _, err := both.Write(w.B); err != nil {
		return count.n, err
	}
	if _, err := out.Write(sum.Sum(nil)); err != nil {
		return count.n, err
	}
	err = out.Flush()
	return count.n, err
}

// counter counts what goes through.
type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}

// Restore replaces the machine's state by what a snapshot's WriteTo wrote. If that is cut off, damaged or not a snapshot, it
// returns an error and the state stays what it was. It may read beyond the snapshot's last byte.
func (m *Machine) Restore(from io.Reader) error {
	load, err := m.engine.NewLoad()
	if err != nil {
		return err
	}
	defer load.Discard()
	sum := sha256.New()
	in := &source{in: bufio.NewReaderSize(from, 64<<10), sum: sum}
	if err := in.rows(load); err != nil {
		return fmt.Errorf("fsm: restore: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := load.Commit(); err != nil {
		return err
	}
	m.forgetClients()
	m.forgetReceipts()
	return m.load()
}

// source reads a stream and sums what it has read.
type source struct {
	in  *bufio.Reader
	sum hash.Hash
	one [1]byte
}

// rows loads all rows and checks the end.
func (s *source) rows(load engine.Load) error {
	format, err := s.format()
	if err != nil {
		return err
	}
	for n := uint64(0); ; n++ {
		more, err := s.ReadByte()
		if err != nil {
			return cutOff(err)
		}
		if more == 0 {
			return s.end(n)
		}
		if more != 1 {
			return errors.New("neither a row nor the end")
		}
		k, err := s.string()
		if err != nil {
			return err
		}
		v, err := s.string()
		if err != nil {
			return err
		}
		if err := checkRow(k, v); err != nil {
			return err
		}
		if format < formatOfLevel+Level1 && numberedAnchor(k) {
			continue // earlier formats had these
		}
		if err := load.Set(k, v); err != nil {
			return err
		}
	}
}

// format reads what stands before the rows.
func (s *source) format() (Level, error) {
	magic, err := s.next(uint64(len(snapshotMagic)))
	if err != nil {
		return 0, err
	}
	if string(magic) != snapshotMagic {
		return 0, errors.New("not a snapshot")
	}
	format, err := s.ReadByte()
	switch {
	case err != nil:
		return 0, cutOff(err)
	case format == 0 || format > formatOfLevel+byte(NewestLevel):
		return 0, fmt.Errorf("a snapshot of format %d, which this program does not know: upgrade this node", format)
	}
	return Level(format), nil
}

func (s *source) end(n uint64) error {
	rows, err := binary.ReadUvarint(s)
	if err != nil {
		return cutOff(err)
	}
	if rows != n {
		return fmt.Errorf("%d rows where %d are said to be", n, rows)
	}
	want := s.sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(s.in, got); err != nil {
		return cutOff(err)
	}
	if string(got) != string(want) {
		return fmt.Errorf("damaged: its checksum is %s, and should be %s", hex.EncodeToString(got[:4]), hex.EncodeToString(want[:4]))
	}
	return nil
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ReadByte makes source what binary.ReadUvarint reads from.
func (s *source) ReadByte() (byte, error) {
	b, err := s.in.ReadByte()
	if err == nil {
		s.one[0] = b
		s.sum.Write(s.one[:])
	}
	return b, err
}

func (s *source) string() ([]byte, error) {
	n, err := binary.ReadUvarint(s)
	if err != nil {
		return nil, cutOff(err)
	}
	return s.next(n)
}

// next reads n bytes, and takes no more memory than comes.
func (s *source) next(n uint64) ([]byte, error) {
	if n > maxRowBytes {
		return nil, errors.New("a row over its limit")
	}
	const step = 1 << 20
	b := make([]byte, 0, min(n, step))
	for uint64(len(b)) < n {
		at := len(b)
		b = append(b, make([]byte, min(n-uint64(at), step))...)
		if _, err := io.ReadFull(s.in, b[at:]); err != nil {
			return nil, cutOff(err)
		}
	}
	s.sum.Write(b)
	return b, nil
}

// Hash is over all of the state: equal on all replicas at the same index. It reads everything.
func (m *Machine) Hash() (sum [32]byte, err error) {
	s, err := m.Snapshot()
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	var w codec.Writer
	err = s.Scan(nil, nil, false, func(k, v []byte) bool {
		w.B = w.B[:0]
		w.Bytes(k)
		w.Uint(uint64(len(v)))
		h.Write(w.B)
		h.Write(v)
		return true
	})
	return [32]byte(h.Sum(nil)), errors.Join(err, s.Close())
}
