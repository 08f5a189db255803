package meta

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

// View is the placement map and the roll as a node knows them, without the means to renew them: a [Mirror] does that. Their versions
// only rise; those of another cluster are refused. Safe for concurrent use.
type View struct {
	files Files
	// keptMap and keptRoll are what the files held when they were opened; nil is none.
	keptMap  *placement.Map
	keptRoll *placement.Roll
	now      atomic.Pointer[placement.Map]
	roll     atomic.Pointer[placement.Roll]
	fresh    atomic.Pointer[time.Time] // when the roll was last known to be the newest; nil is never

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each new map and roll
}

// Files keep what a node knows over restarts; a nil file keeps nothing.
type Files struct {
	Map, Roll File
}

// OpenView reads what the files keep, if anything. The newer of the map there and initial, which may be nil, is the first map.
// CodeInternal if a file cannot be read.
func OpenView(files Files, initial *placement.Map) (*View, error) {
	v := &View{files: files, changed: make(chan struct{})}
	v.roll.Store(&placement.Roll{})
	if err := v.load(); err != nil {
		return nil, err
	}
	v.keptMap = v.now.Load()
	if initial != nil {
		if err := v.Update(initial); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// load reads the files. A roll without the map of its cluster is not used.
func (v *View) load() error {
	err := load(v.files.Map, func(b []byte) error {
		kept, err := placement.DecodeMap(b)
		if err == nil {
			v.now.Store(kept)
		}
		return err
	})
	if err != nil {
		return &api.Error{Code: api.CodeInternal, Op: "open", Hint: "the placement map kept by this node cannot be read", Err: err}
	}
	err = load(v.files.Roll, func(b []byte) error {
		c, err := placement.DecodeRollChange(b)
		if err != nil {
			return err
		}
		roll, err := v.Roll().With(c)
		if m := v.Map(); err == nil && m != nil && m.ClusterID == c.ClusterID {
			v.roll.Store(roll)
			v.keptRoll = roll
		}
		return err
	})
	if err != nil {
		return &api.Error{Code: api.CodeInternal, Op: "open", Err: err,
			Hint: "the tokens and policies kept by this node (the file roll) cannot be read; remove the file, and the node fetches them again"}
	}
	return nil
}

// Map is the newest map known here; nil while there is none. It does not block.
func (v *View) Map() *placement.Map { return v.now.Load() }

// Roll is the newest roll known here; it is never nil. It does not block.
func (v *View) Roll() *placement.Roll { return v.roll.Load() }

// RollAge returns for how long the roll may have been outdated: a newer one that this node does not know is younger than that. It is
// false if the age is not known: since the start of the process no voter of the meta group has been heard, even by way of others.
func (v *View) RollAge() (time.Duration, bool) {
	if at := v.fresh.Load(); at != nil {
		return max(time.Since(*at), 0), true
	}
	return 0, false
}

// Changed is closed when a newer map or roll than the present ones has come. Ask for it before Map and Roll.
func (v *View) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// Wait returns the map and the roll as soon as one of them is newer than what was seen. When ctx ends it returns CodeUnavailable.
func (v *View) Wait(ctx context.Context, seen Seen) (*placement.Map, *placement.Roll, error) {
	for {
		changed := v.Changed()
		now, roll := v.Map(), v.Roll()
		if now != nil && now.Version > seen.Map || roll.Revision > seen.Roll {
			return now, roll, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, unavailable("no newer placement map has come")
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
	v.now.Store(first)
	v.announceLocked()
	return nil
}

// Update takes a map from anywhere; an older one changes nothing. CodeConflict if it is of another cluster.
func (v *View) Update(now *placement.Map) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.now.Load()
	switch {
	case old != nil && old.ClusterID != now.ClusterID:
		return otherCluster(old.ClusterID, now.ClusterID)
	case old != nil && old.Version >= now.Version:
		return nil
	}
	v.now.Store(now)
	v.announceLocked()
	return nil
}

// UpdateRoll takes a change of the roll, nil for none. If fresh is not zero, the roll was the newest at that instant, and Roll had
// all of it then. CodeConflict if the change is of another cluster or does not fit: nothing is taken.
func (v *View) UpdateRoll(c *placement.RollChange, fresh time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c != nil {
		m, old := v.now.Load(), v.roll.Load()
		switch {
		case m == nil:
			return unavailable("this node knows no cluster yet, and takes no roll of one")
		case m.ClusterID != c.ClusterID:
			return otherCluster(m.ClusterID, c.ClusterID)
		}
		roll, err := old.With(c)
		if err != nil {
			return err
		}
		if roll != old {
			v.roll.Store(roll)
			v.announceLocked()
		}
	}
	if was := v.fresh.Load(); !fresh.IsZero() && (was == nil || fresh.After(*was)) {
		v.fresh.Store(&fresh)
	}
	return nil
}

func otherCluster(own, other string) *api.Error {
	return api.Errorf(api.CodeConflict, "this node belongs to cluster %s, not %s", own, other)
}

func (v *View) announceLocked() {
	close(v.changed)
	v.changed = make(chan struct{})
}
