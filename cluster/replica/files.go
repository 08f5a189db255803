package replica

import (
	"errors"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/cluster/replica/checkpoint"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

const (
	checkpointsDir = "checkpoints" // within Config.Dir
	keptSnapshots  = 2             // of a machine without durable state
)

// openStores opens Config.Stores, or the stores in Config.Dir. There it creates those that are missing, and converts a log of
// another kind than Config.Log.
func openStores(cfg *Config) (s logstore.Stores, err error) {
	if cfg.Stores != nil {
		return cfg.Stores()
	}
	unlock, err := logstore.Lock(cfg.Dir)
	if err != nil {
		return s, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unlock())
		}
	}()
	snapshots, err := openSnapshots(cfg)
	if err != nil {
		return s, err
	}
	log, err := logstore.Open(cfg.Dir, cfg.Log, cfg.Logger)
	if err != nil {
		return s, err
	}
	release := func() error { return errors.Join(log.Close(), unlock()) }
	return logstore.Stores{Log: log, Stable: log, Snapshots: snapshots, Close: release}, nil
}

func openSnapshots(cfg *Config) (raft.SnapshotStore, error) {
	if cfg.State != nil {
		return checkpoint.Open(filepath.Join(cfg.Dir, checkpointsDir), cfg.Limits.SnapshotRate)
	}
	return raft.NewFileSnapshotStoreWithLogger(cfg.Dir, keptSnapshots, cfg.Logger)
}

// bootstrap founds the group with the configured voters, unless there is state already.
func bootstrap(cfg *Config, conf *raft.Config, s logstore.Stores, t raft.Transport) error {
	servers := founders(cfg.Members)
	err := raft.BootstrapCluster(conf, s.Log, s.Stable, s.Snapshots, t, raft.Configuration{Servers: servers})
	if !errors.Is(err, raft.ErrCantBootstrap) {
		return err
	}
	return finishBootstrap(s, servers)
}

// finishBootstrap writes the founding entry if a crash came between the term and the entry. Only then the term is 1 and the
// log is empty.
func finishBootstrap(s logstore.Stores, servers []raft.Server) error {
	last, err := s.Log.LastIndex()
	if err != nil || last > 0 {
		return err
	}
	snapshots, err := s.Snapshots.List()
	if err != nil || len(snapshots) > 0 {
		return err
	}
	term, err := s.Term()
	if err != nil || term != 1 {
		return err
	}
	return s.Log.StoreLog(&raft.Log{
		Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{Servers: servers}),
	})
}
