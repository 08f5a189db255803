package cluster

import (
	"path/filepath"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
)

// stateDir is the folder of a group's state, beside its log: checkpoints link the files of the one into the other.
const stateDir = "state"

// openState opens the engine under a group's machine.
func (n *Node) openState(g api.GroupID) (engine.Engine, error) {
	if n.cfg.Memory || n.cfg.Stores != nil {
		return engine.NewMemory(), nil
	}
	log := n.log.Named("state").Named(string(g))
	return engine.OpenPebble(engine.Config{
		Dir: filepath.Join(n.groupDir(g), stateDir), Cache: n.stateCache(),
		Log:    func(msg string) { log.Error("the state's storage", "error", msg) },
		Failed: func(err error) { n.fail(g, err) },
	})
}

// stateCache is the memory that the node's groups share.
func (n *Node) stateCache() *engine.Cache {
	n.cacheOnce.Do(func() { n.stateMemory = engine.NewCache(n.cfg.StateCacheBytes) })
	return n.stateMemory
}

func (n *Node) closeStateCache() {
	n.cacheOnce.Do(func() {})
	if n.stateMemory != nil {
		n.stateMemory.Close()
	}
}
