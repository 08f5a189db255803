package checkpoint

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// stallGuard calls cut if a snapshot that is being written stops growing. Raft's main loop reads a snapshot from its
// connection without a deadline: if the sender vanished, it would hang until TCP notices. Members redial connections that were
// cut without need.
type stallGuard struct {
	raft.SnapshotStore
	limit time.Duration
	cut   func()
}

// CutStalled returns the store such that cut is called if a snapshot that is being written has not grown for limit. cut closes
// the incoming connections of Raft.
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

// take lets the machine create the checkpoint. Nothing is read from a connection then.
func (s *guardedSink) take(state Maker) error {
	s.timer.Stop()
	t, ok := s.SnapshotSink.(taker)
	if !ok {
		return api.Errorf(api.CodeInternal, "the snapshot store cannot hold checkpoints")
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
