package checkpoint

import (
	"io"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// Maker is a machine whose state is files on disk.
type Maker interface {
	// Applied is the index of the newest entry that the state holds.
	Applied() uint64
	// Checkpoint makes the new folder dir a copy of the state on disk, at or after the last Apply before the call. Its
	// files do not change any more, and some may be shared with the state.
	Checkpoint(dir string) error
}

// taker takes a checkpoint instead of a stream.
type taker interface{ take(Maker) error }

// Of is the state of the machine as Raft sees it: nothing is captured before it is persisted, since a state that holds
// some entries more is as good.
func Of(state Maker) raft.FSMSnapshot { return snapshot{state} }

type snapshot struct{ state Maker }

// Persist leaves on disk all that Raft may drop from the log after it: a checkpoint is flushed before it is made.
func (c snapshot) Persist(sink raft.SnapshotSink) error {
	s, ok := sink.(taker)
	if !ok {
		return api.Errorf(api.CodeInternal, "the store of snapshots takes no checkpoints")
	}
	if err := s.take(c.state); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

func (c snapshot) Release() {}

// Folder returns where the files of a checkpoint are that r, which Raft may have wrapped, reads from a [Store] on this disk.
// ok is false if r reads anything else.
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
