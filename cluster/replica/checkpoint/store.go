package checkpoint

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

const (
	metaFile   = "meta.json" // of one checkpoint
	dataDir    = "state"     // the folder of its files
	halfSuffix = ".tmp"      // of the folder of an incomplete checkpoint
	// kept is how many checkpoints are kept, apart from those that are being sent. An older one would hold disk space of
	// files that the state has replaced.
	kept = 1
)

// Store is a store of checkpoints in a folder. Their files never change, so that a machine creates and adopts a checkpoint by
// linking files. Store is safe for concurrent use.
type Store struct {
	dir  string
	pace *pace

	mu   sync.Mutex
	made int
	used map[string]int // open readers by id
}

var _ raft.SnapshotStore = (*Store)(nil)

// manifest is the content of meta.json.
type manifest struct {
	Version int // of this file
	Meta    raft.SnapshotMeta
	// Reach is the index of the newest entry that the checkpoint may include. It includes all up to Meta.Index.
	Reach uint64
	Files []fileInfo
}

type fileInfo struct {
	Name string
	Size int64
}

const metaVersion = 1

// Open opens the store in the folder dir, creates it if it is missing, and removes incomplete checkpoints. All readers
// together read at most rate bytes a second.
func Open(dir string, rate int64) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	c := &Store{dir: dir, pace: newPace(rate), used: make(map[string]int)}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), halfSuffix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	c.reap()
	return c, syncDir(dir)
}

func (c *Store) path(id string) string { return filepath.Join(c.dir, id) }

// Create begins a checkpoint. It is in the store when its sink has been closed.
func (c *Store) Create(
	version raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	c.mu.Lock()
	c.made++
	id := fmt.Sprintf("%d-%d-%d-%d", term, index, time.Now().UnixMilli(), c.made)
	c.mu.Unlock()
	s := &sink{store: c, dir: c.path(id) + halfSuffix, info: manifest{
		Version: metaVersion,
		Meta: raft.SnapshotMeta{
			Version: version, ID: id, Index: index, Term: term, Configuration: conf, ConfigurationIndex: confIndex,
		},
	}}
	return s, os.Mkdir(s.dir, 0o750)
}

// List returns the checkpoints, newest first.
func (c *Store) List() ([]*raft.SnapshotMeta, error) {
	infos, err := c.infos()
	list := make([]*raft.SnapshotMeta, len(infos))
	for i, info := range infos {
		list[i] = &info.Meta
	}
	return list, err
}

func (c *Store) infos() ([]*manifest, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	var infos []*manifest
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), halfSuffix) {
			continue
		}
		info, err := c.info(e.Name())
		if errors.Is(err, os.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b *manifest) int {
		return cmp.Or(cmp.Compare(b.Meta.Term, a.Meta.Term), cmp.Compare(b.Meta.Index, a.Meta.Index), cmp.Compare(b.Meta.ID, a.Meta.ID))
	})
	return infos, nil
}

func (c *Store) info(id string) (*manifest, error) {
	b, err := os.ReadFile(filepath.Join(c.path(id), metaFile))
	if err != nil {
		return nil, err
	}
	info := new(manifest)
	if err := json.Unmarshal(b, info); err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", id, err)
	}
	if info.Version != metaVersion || info.Meta.ID != id {
		return nil, fmt.Errorf("checkpoint %s has a version that this program does not know, or the id of another", id)
	}
	return info, nil
}

// Reach returns the index of the newest entry that the checkpoint may include, or 0 if there is no such checkpoint.
func (c *Store) Reach(id string) uint64 {
	info, err := c.info(id)
	if err != nil {
		return 0
	}
	return info.Reach
}

// Open returns the checkpoint as a stream. The checkpoint is not removed before the stream is closed.
func (c *Store) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := c.info(id)
	if err != nil {
		return nil, nil, err
	}
	c.used[id]++
	return &info.Meta, &reader{store: c, info: info}, nil
}

func (c *Store) closed(id string) {
	c.mu.Lock()
	if c.used[id]--; c.used[id] == 0 {
		delete(c.used, id)
	}
	c.mu.Unlock()
	c.reap()
}

// reap removes all but the newest checkpoints. The next call tries again to remove those that could not be removed.
func (c *Store) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	infos, err := c.infos()
	if err != nil || len(infos) <= kept {
		return
	}
	for _, info := range infos[kept:] {
		id := info.Meta.ID
		if c.used[id] > 0 {
			continue
		}
		// The next start removes what a crash between the two leaves.
		if os.Rename(c.path(id), c.path(id)+halfSuffix) == nil {
			_ = os.RemoveAll(c.path(id) + halfSuffix)
		}
	}
}

// complete makes the folder a checkpoint of the store.
func (c *Store) complete(dir string, info *manifest) error {
	b, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(dir, metaFile), b); err != nil {
		return err
	}
	for _, d := range []string{filepath.Join(dir, dataDir), dir} {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	if err := os.Rename(dir, c.path(info.Meta.ID)); err != nil {
		return err
	}
	if err := syncDir(c.dir); err != nil {
		return err
	}
	c.reap()
	return nil
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// sink is a checkpoint that is being created: from this member's machine by take, or from another member's stream by Write.
type sink struct {
	store *Store
	dir   string
	info  manifest
	taken bool
	from  *receiver
	ended bool
	err   error // result of Close
}

func (s *sink) ID() string { return s.info.Meta.ID }

func (s *sink) data() string { return filepath.Join(s.dir, dataDir) }

// take lets the machine create the checkpoint.
func (s *sink) take(state Maker) error {
	if err := state.Checkpoint(s.data()); err != nil {
		return err
	}
	s.info.Reach = max(s.info.Meta.Index, state.Applied())
	entries, err := os.ReadDir(s.data())
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		s.info.Files = append(s.info.Files, fileInfo{e.Name(), info.Size()})
	}
	s.taken = true
	return nil
}

// Write consumes the next part of another member's stream.
func (s *sink) Write(p []byte) (int, error) {
	if s.from == nil {
		if err := os.Mkdir(s.data(), 0o750); err != nil {
			return 0, err
		}
		s.from = newReceiver(s.data())
	}
	return s.from.Write(p)
}

// Close puts the checkpoint into the store. It fails if the stream was incomplete.
func (s *sink) Close() error {
	if s.ended {
		return s.err
	}
	if s.err = s.finish(); s.err != nil {
		return errors.Join(s.err, s.Cancel())
	}
	s.ended = true
	return nil
}

func (s *sink) finish() error {
	switch {
	case s.taken:
	case s.from != nil && s.from.whole:
		s.info.Reach, s.info.Files = max(s.info.Meta.Index, s.from.reach), s.from.files
	default:
		return api.Errorf(api.CodeInternal, "the stream of checkpoint %s was cut off", s.info.Meta.ID)
	}
	s.info.Meta.Size = streamSize(&s.info)
	return s.store.complete(s.dir, &s.info)
}

// Cancel removes the checkpoint. It does nothing after Close.
func (s *sink) Cancel() error {
	if s.ended {
		return nil
	}
	s.ended = true
	if s.from != nil {
		s.from.abandon()
	}
	return os.RemoveAll(s.dir)
}
