package checkpoint

import (
	"io"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// Maker is a machine that creates checkpoints.
type Maker interface {
	// Applied returns the index of the newest log entry that the state includes.
	Applied() uint64
	// Checkpoint creates the folder dir with a copy of the state, as of the last Apply before the call or later. Its files
	// are on disk and never change. The state may share some of them.
	Checkpoint(dir string) error
}

// taker takes a checkpoint instead of a stream.
type taker interface{ take(Maker) error }

// Of returns the state of the machine as a snapshot for Raft. The state is captured when the snapshot is persisted: one that
// includes later entries does no harm.
func Of(state Maker) raft.FSMSnapshot { return snapshot{state} }

type snapshot struct{ state Maker }

// Persist makes durable all that Raft may drop from the log after it: a checkpoint is on disk.
func (c snapshot) Persist(sink raft.SnapshotSink) error {
	s, ok := sink.(taker)
	if !ok {
		return api.Errorf(api.CodeInternal, "the snapshot store cannot hold checkpoints")
	}
	if err := s.take(c.state); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

func (c snapshot) Release() {}

// Folder returns the folder with the files of the checkpoint that r reads from a [Store]. Raft may have wrapped r. ok is false
// if r reads anything else.
func Folder(r io.Reader) (dir string, ok bool) {
	for {
		if c, ok := r.(*reader); ok {
			return c.folder(), true
		}
		w, ok := r.(raft.ReadCloserWrapper)
		if !ok {
			return "", false
		}
		r = w.WrappedReadCloser()
	}
}
