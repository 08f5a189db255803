package logstore

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Memory is a simulated disk for one replica: a log, a stable store and a store of snapshots. Its contents survive the
// replica, and [Memory.Clone] is the disk after a crash at that instant. It is safe for concurrent use, and holds no mutex
// while time passes.
type Memory struct {
	mu        sync.Mutex
	sync      time.Duration
	hang      chan struct{} // not nil: writes wait until it is closed
	first     uint64        // index of logs[0]; 0 if there are none
	logs      []raft.Log
	stable    map[string][]byte
	snapshots []*memorySnapshot // oldest first, complete ones only
	made      int
}

// NewMemory returns an empty disk on which every durable write takes the duration sync.
func NewMemory(sync time.Duration) *Memory {
	return &Memory{sync: sync, stable: make(map[string][]byte)}
}

// Stores returns the disk as the stores of a replica.
func (m *Memory) Stores() (Stores, error) {
	return Stores{Log: m, Stable: m, Snapshots: m}, nil
}

// Clone returns an independent disk with what is durable at this instant. A write under way is on it as a whole or not at
// all.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMemory(m.sync)
	c.first, c.made = m.first, m.made
	c.logs = slices.Clone(m.logs)
	maps.Copy(c.stable, m.stable)
	c.snapshots = slices.Clone(m.snapshots)
	return c
}

// SetSync changes how long every later write takes.
func (m *Memory) SetSync(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sync = d
}

// Hang makes every later write wait for Unhang.
func (m *Memory) Hang() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hang == nil {
		m.hang = make(chan struct{})
	}
}

// Unhang lets all writes proceed.
func (m *Memory) Unhang() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hang != nil {
		close(m.hang)
		m.hang = nil
	}
}

// write makes a change durable halfway through the time that it takes, so that a crash may come before or after it.
func (m *Memory) write(change func()) {
	m.mu.Lock()
	hang, d := m.hang, m.sync
	m.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if d > 0 {
		time.Sleep(d / 2)
	}
	m.mu.Lock()
	change()
	m.mu.Unlock()
	if d > 0 {
		time.Sleep(d - d/2)
	}
}

// The log:

func (m *Memory) IsMonotonic() bool { return true }

func (m *Memory) FirstIndex() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.first, nil
}

func (m *Memory) LastIndex() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last(), nil
}

func (m *Memory) last() uint64 {
	if m.first == 0 {
		return 0
	}
	return m.first + uint64(len(m.logs)) - 1
}

func (m *Memory) GetLog(index uint64, log *raft.Log) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.first == 0 || index < m.first || index > m.last() {
		return raft.ErrLogNotFound
	}
	*log = m.logs[index-m.first]
	return nil
}

func (m *Memory) StoreLog(log *raft.Log) error { return m.StoreLogs([]*raft.Log{log}) }

func (m *Memory) StoreLogs(logs []*raft.Log) (err error) {
	m.write(func() { err = m.append(logs) })
	return err
}

func (m *Memory) append(logs []*raft.Log) error {
	for _, log := range logs {
		switch {
		case m.first == 0:
			m.first, m.logs = log.Index, nil
		case log.Index != m.last()+1:
			return fmt.Errorf("entry %d does not follow %d", log.Index, m.last())
		}
		m.logs = append(m.logs, *log)
	}
	return nil
}

func (m *Memory) DeleteRange(low, high uint64) error {
	m.write(func() { m.cut(low, high) })
	return nil
}

// cut removes the beginning, the end, or all of the log.
func (m *Memory) cut(low, high uint64) {
	if m.first == 0 || high < m.first || low > m.last() {
		return
	}
	switch {
	case low <= m.first && high >= m.last():
		m.first, m.logs = 0, nil
	case low <= m.first:
		m.logs = slices.Clone(m.logs[high+1-m.first:])
		m.first = high + 1
	default:
		m.logs = slices.Clone(m.logs[:low-m.first])
	}
}

// The stable store:

func (m *Memory) Set(key, value []byte) error {
	v := bytes.Clone(value)
	m.write(func() { m.stable[string(key)] = v })
	return nil
}

func (m *Memory) Get(key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.stable[string(key)]
	if !ok {
		return nil, errNotFound
	}
	return bytes.Clone(v), nil
}

func (m *Memory) SetUint64(key []byte, value uint64) error {
	return m.Set(key, fmt.Append(nil, value))
}

func (m *Memory) GetUint64(key []byte) (value uint64, err error) {
	b, err := m.Get(key)
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(string(b), &value)
	return value, err
}

// The store of snapshots:

const keptInMemory = 2

type memorySnapshot struct {
	meta raft.SnapshotMeta
	data []byte
}

func (m *Memory) Create(
	version raft.SnapshotVersion, index, term uint64, c raft.Configuration, cIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.made++
	meta := raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%d-%d-%d", term, index, m.made), Index: index, Term: term,
		Configuration: c.Clone(), ConfigurationIndex: cIndex,
	}
	return &memorySink{m: m, meta: meta}, nil
}

func (m *Memory) List() ([]*raft.SnapshotMeta, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*raft.SnapshotMeta
	for _, snap := range slices.Backward(m.snapshots) {
		meta := snap.meta
		list = append(list, &meta)
	}
	return list, nil
}

func (m *Memory) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, snap := range m.snapshots {
		if snap.meta.ID == id {
			meta := snap.meta
			return &meta, io.NopCloser(bytes.NewReader(snap.data)), nil
		}
	}
	return nil, nil, fmt.Errorf("no snapshot %s", id)
}

// memorySink is a snapshot that is being written. It is stored when it is closed.
type memorySink struct {
	m     *Memory
	meta  raft.SnapshotMeta
	data  []byte
	ended bool
}

func (s *memorySink) ID() string { return s.meta.ID }

func (s *memorySink) Write(p []byte) (int, error) {
	s.data = append(s.data, p...)
	return len(p), nil
}

func (s *memorySink) Cancel() error {
	s.ended = true
	return nil
}

func (s *memorySink) Close() error {
	if s.ended {
		return nil
	}
	s.ended = true
	s.meta.Size = int64(len(s.data))
	s.m.write(func() { s.m.keep(&memorySnapshot{meta: s.meta, data: s.data}) })
	return nil
}

func (m *Memory) keep(snap *memorySnapshot) {
	m.snapshots = append(m.snapshots, snap)
	slices.SortStableFunc(m.snapshots, func(a, b *memorySnapshot) int {
		if a.meta.Term != b.meta.Term {
			return int(a.meta.Term) - int(b.meta.Term)
		}
		return int(a.meta.Index) - int(b.meta.Index)
	})
	if len(m.snapshots) > keptInMemory {
		m.snapshots = slices.Delete(m.snapshots, 0, len(m.snapshots)-keptInMemory)
	}
}
