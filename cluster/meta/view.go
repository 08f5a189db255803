package meta

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

// View is the placement map as a node knows it, without the means to renew it: a [Mirror] does that. Its version only rises;
// maps of another cluster are refused. Safe for concurrent use.
type View struct {
	file File           // keeps the map over restarts; nil keeps nothing
	kept *placement.Map // what the file held when it was opened; nil is none
	now  atomic.Pointer[placement.Map]

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each new map
}

// OpenView reads the map that the file keeps, if any; a nil file keeps nothing. The newer of it and initial, which may be nil,
// is the first map.
func OpenView(file File, initial *placement.Map) (*View, error) {
	v := &View{file: file, changed: make(chan struct{})}
	if file != nil {
		err := load(file, func(b []byte) error {
			kept, err := placement.DecodeMap(b)
			if err == nil {
				v.now.Store(kept)
			}
			return err
		})
		if err != nil {
			return nil, &api.Error{Code: api.CodeInternal, Op: "open", Hint: "the placement map kept by this node cannot be read", Err: err}
		}
	}
	v.kept = v.now.Load()
	if initial != nil {
		if err := v.Update(initial); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// Map is the newest map known here; nil while there is none. It does not block.
func (v *View) Map() *placement.Map { return v.now.Load() }

// Changed is closed when a newer map than the present one has come. Ask for it before Map.
func (v *View) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// Wait returns the map as soon as it is newer than since. When ctx ends it returns CodeUnavailable.
func (v *View) Wait(ctx context.Context, since uint64) (*placement.Map, error) {
	for {
		changed := v.Changed()
		if now := v.Map(); now != nil && now.Version > since {
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, unavailable("no newer placement map has come")
		}
	}
}

// Address returns the node's address in the map; false if the map does not have the node.
func (v *View) Address(n api.NodeID) (string, bool) {
	if now := v.Map(); now != nil {
		if x, ok := now.Node(n); ok && x.Address != "" {
			return x.Address, true
		}
	}
	return "", false
}

// Found makes first the map of a new cluster. claim, a write to a file, makes that durable before another node can see the map.
// CodeConflict if a map has come from elsewhere: then claim is not called.
func (v *View) Found(first *placement.Map, claim func() error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if old := v.now.Load(); old != nil {
		return api.Errorf(api.CodeConflict, "this node belongs to cluster %s and founds no other", old.ClusterID)
	}
	if err := claim(); err != nil {
		return err
	}
	v.setLocked(first)
	return nil
}

// Update takes a map from anywhere; an older one changes nothing. CodeConflict if it is of another cluster.
func (v *View) Update(now *placement.Map) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.now.Load()
	switch {
	case old != nil && old.ClusterID != now.ClusterID:
		return api.Errorf(api.CodeConflict, "this node belongs to cluster %s, not %s", old.ClusterID, now.ClusterID)
	case old != nil && old.Version >= now.Version:
		return nil
	}
	v.setLocked(now)
	return nil
}

func (v *View) setLocked(now *placement.Map) {
	v.now.Store(now)
	close(v.changed)
	v.changed = make(chan struct{})
}
