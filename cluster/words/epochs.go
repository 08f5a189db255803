package words

import (
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// DedupEpochs holds the newest dedup epochs of groups that this node has received from their leaders. Epochs only rise,
// and are never forgotten. The zero value is ready to use. DedupEpochs is safe for concurrent use, and nothing blocks.
type DedupEpochs struct {
	mu     sync.RWMutex
	groups map[api.GroupID]ident.DedupEpoch
}

// Heard notes an epoch that a leader of the group e.Group has sent. Answers may arrive out of order.
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

// Of returns the newest epoch of the group, or zero if none is known.
func (d *DedupEpochs) Of(g api.GroupID) ident.DedupEpoch {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.groups[g]
}
