package checkpoint

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// stallGuard ends the incoming connections where a snapshot that is being written stops growing. Raft's main loop reads a
// snapshot that is installed straight from its connection, without a deadline: where the sender vanished, it would hang
// until TCP notices. Connections that are cut for nothing are dialled anew.
type stallGuard struct {
	raft.SnapshotStore
	limit time.Duration
	cut   func()
}

// CutStalled returns the store; cut is called where a snapshot that is being written has not grown for limit.
func CutStalled(s raft.SnapshotStore, limit time.Duration, cut func()) raft.SnapshotStore {
	return &stallGuard{SnapshotStore: s, limit: limit, cut: cut}
}

func (g *stallGuard) Create(
	version raft.SnapshotVersion, index, term uint64, c raft.Configuration, cIndex uint64, t raft.Transport,
) (raft.SnapshotSink, error) {
	sink, err := g.SnapshotStore.Create(version, index, term, c, cIndex, t)
	if err != nil {
		return nil, err
	}
	return &guardedSink{SnapshotSink: sink, limit: g.limit, timer: time.AfterFunc(g.limit, g.cut)}, nil
}

type guardedSink struct {
	raft.SnapshotSink
	limit time.Duration
	timer *time.Timer
}

// take is for machines with checkpoints: nothing is read from a connection.
func (s *guardedSink) take(state Maker) error {
	s.timer.Stop()
	t, ok := s.SnapshotSink.(taker)
	if !ok {
		return api.Errorf(api.CodeInternal, "the store of snapshots takes no checkpoints")
	}
	return t.take(state)
}

func (s *guardedSink) Write(p []byte) (int, error) {
	s.timer.Reset(s.limit)
	return s.SnapshotSink.Write(p)
}

func (s *guardedSink) Close() error {
	s.timer.Stop()
	return s.SnapshotSink.Close()
}

func (s *guardedSink) Cancel() error {
	s.timer.Stop()
	return s.SnapshotSink.Cancel()
}
