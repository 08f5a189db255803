package cluster

import (
	"path/filepath"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
)

// stateDir is the folder of a group's state, beside its log: checkpoints link the files of the one into the other.
const stateDir = "state"

// openStateCache makes the memory that the states on this node's disk share; nil if there are none.
func (c *Config) openStateCache() *engine.Cache {
	if c.Memory || c.Stores != nil || c.Role != api.RoleServer {
		return nil
	}
	return engine.NewCache(c.StateCacheBytes)
}

// openState opens the engine under a group's machine.
func (n *replicas) openState(g api.GroupID) (engine.Engine, error) {
	if n.cache == nil {
		return engine.NewMemory(), nil
	}
	log := n.log.Named("state").Named(string(g))
	return engine.OpenPebble(engine.Config{
		Dir: filepath.Join(n.groupDir(g), stateDir), Cache: n.cache,
		Log:    func(msg string) { log.Error("the state's storage", "error", msg) },
		Failed: func(err error) { n.fail(g, err) },
	})
}
