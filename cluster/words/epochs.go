package words

import (
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// DedupEpochs are the newest dedup epochs of groups that their leaders have told this node. They only rise, and are never
// forgotten. The zero value is ready. Safe for concurrent use; nothing blocks.
type DedupEpochs struct {
	mu     sync.RWMutex
	groups map[api.GroupID]ident.DedupEpoch
}

// Heard notes what a leader of the group e.Group has said. Answers may overtake each other.
func (d *DedupEpochs) Heard(e ident.DedupEpoch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, known := d.groups[e.Group]
	if known && (old.Incarnation > e.Incarnation || old.Incarnation == e.Incarnation && old.Count >= e.Count) {
		return
	}
	if d.groups == nil {
		d.groups = map[api.GroupID]ident.DedupEpoch{}
	}
	d.groups[e.Group] = e
}

// Of is the newest epoch of the group; zero if none is known.
func (d *DedupEpochs) Of(g api.GroupID) ident.DedupEpoch {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.groups[g]
}
