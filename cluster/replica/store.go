package replica

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// Stores is the durable state of one replica.
type Stores struct {
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	// Close, where not nil, releases them, once, after their last use.
	Close func() error
}

const keptSnapshots = 2

// openFiles opens the stores below the folder, and makes them there where they are not. A log of another kind than the
// wanted one is made one of that kind before.
func openFiles(cfg *Config) (s Stores, err error) {
	dir := cfg.Dir
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return Stores{}, err
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return Stores{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unlock())
		}
	}()
	snapshots, err := openSnapshots(cfg)
	if err != nil {
		return Stores{}, err
	}
	m := &migration{dir: dir, logger: cfg.Logger}
	kind, err := m.settle(cfg.Log)
	if err != nil {
		return Stores{}, err
	}
	log, err := openLog(kind, m.path(kind), cfg.Logger)
	if err != nil {
		return Stores{}, err
	}
	if err := syncDir(dir); err != nil {
		return Stores{}, errors.Join(err, log.Close())
	}
	release := func() error { return errors.Join(log.Close(), unlock()) }
	return Stores{Log: log, Stable: log, Snapshots: snapshots, Close: release}, nil
}

func openSnapshots(cfg *Config) (raft.SnapshotStore, error) {
	if cfg.State != nil {
		return openCheckpoints(filepath.Join(cfg.Dir, checkpointsDir), cfg.Limits.SnapshotRate)
	}
	return raft.NewFileSnapshotStoreWithLogger(cfg.Dir, keptSnapshots, cfg.Logger)
}

// syncDir makes new names in dir survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// keyIdentity is where the stable store holds whose state it is.
var keyIdentity = []byte("edgehold/replica")

// identify claims fresh stores for this replica and refuses those of another.
func identify(stable raft.StableStore, group, node string) error {
	mine := group + "\x00" + node
	switch held, err := stable.Get(keyIdentity); {
	case err == nil && string(held) == mine:
		return nil
	case err == nil && len(held) > 0:
		return api.Errorf(api.CodeConflict, "the durable state is that of %q, not of node %s in group %s", held, node, group)
	case err != nil && !isNotFound(err):
		return err
	}
	return stable.Set(keyIdentity, []byte(mine))
}

// isNotFound knows the error of an absent key: raft's interface has none but this text, which raft itself compares.
func isNotFound(err error) bool { return err.Error() == errNotFound.Error() }

var errNotFound = errors.New("not found")

// bootstrap founds the group with these voters, unless there is state already.
func bootstrap(cfg *Config, conf *raft.Config, s Stores, t raft.Transport) error {
	servers := founders(cfg.Members)
	err := raft.BootstrapCluster(conf, s.Log, s.Stable, s.Snapshots, t, raft.Configuration{Servers: servers})
	if !errors.Is(err, raft.ErrCantBootstrap) {
		return err
	}
	return finishBootstrap(s, servers)
}

// finishBootstrap writes the founding entry where a crash came between the term, which is 1 only then, and the entry.
func finishBootstrap(s Stores, servers []raft.Server) error {
	last, err := s.Log.LastIndex()
	if err != nil || last > 0 {
		return err
	}
	snapshots, err := s.Snapshots.List()
	if err != nil || len(snapshots) > 0 {
		return err
	}
	term, err := s.Stable.GetUint64([]byte(keyTerm))
	if err != nil || term != 1 {
		return err
	}
	return s.Log.StoreLog(&raft.Log{
		Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{Servers: servers}),
	})
}
