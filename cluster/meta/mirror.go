package meta

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/notice"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Source is how a mirror reaches other nodes, and this one.
type Source interface {
	// Poll returns the node's map as soon as it is newer than since; nil where that takes longer than the node waits.
	Poll(ctx context.Context, node api.NodeID, since uint64) (*placement.Map, error)
	// PollAddress is the same at a node of which only the address is known.
	PollAddress(ctx context.Context, address string, since uint64) (*placement.Map, error)
	// Get returns the map as it was at some instant after the call; CodeNotLeader elsewhere than at the meta group's leader.
	Get(ctx context.Context, node api.NodeID) (*placement.Map, error)
}

// MirrorConfig makes a Mirror. Source is required, and one of Initial, File (with a map in it) and Seeds to begin with.
type MirrorConfig struct {
	Source Source
	// Initial is a map known beforehand; nil is none.
	Initial *placement.Map
	// File keeps the map over restarts; nil keeps nothing.
	File File
	// Seeds are addresses of nodes of the cluster, asked while the nodes of the map do not answer.
	Seeds []string
	// Rand draws from [0,1), for jitter; safe for concurrent use. nil: math/rand/v2.
	Rand   func() float64
	Logger hclog.Logger // nil is nowhere

	// PollTimeout bounds one poll; nodes wait less than that.
	PollTimeout time.Duration // 0: 10 s
	// GetTimeout bounds the fetch of a Refresh.
	GetTimeout time.Duration // 0: 2 s
	// MaxBackoff bounds the pause after all nodes were asked in vain.
	MaxBackoff time.Duration // 0: 1 s
}

// Mirror is a node's copy of the placement map. Its version only rises; maps of another cluster are refused. Safe for
// concurrent use.
type Mirror struct {
	cfg    MirrorConfig
	kept   *placement.Map // what stands in the file at Start; nil is none
	now    atomic.Pointer[placement.Map]
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	said   notice.Book // what the log has said about the nodes polled

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each new map
	running *refresh      // the fetch under way
	next    *refresh      // the one after it, joined by those who came meanwhile
	closed  bool
}

// refresh is one fetch that several wait for.
type refresh struct {
	done chan struct{}
	err  error // set before done is closed
}

// NewMirror reads the map that was kept, if any. The newer of it and Initial is the first map.
func NewMirror(cfg MirrorConfig) (*Mirror, error) {
	if cfg.Source == nil {
		return nil, api.Errorf(api.CodeInvalid, "a mirror needs a source")
	}
	cfg.setDefaults()
	m := &Mirror{cfg: cfg, changed: make(chan struct{})}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	if cfg.File != nil {
		err := load(cfg.File, func(b []byte) error {
			kept, err := placement.DecodeMap(b)
			if err == nil {
				m.now.Store(kept)
			}
			return err
		})
		if err != nil {
			return nil, &api.Error{Code: api.CodeInternal, Op: "mirror", Hint: "the placement map kept by this node cannot be read", Err: err}
		}
	}
	m.kept = m.now.Load()
	if cfg.Initial != nil {
		if err := m.Update(cfg.Initial); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Start begins to poll and to keep every new map, once. After Close it does nothing.
func (m *Mirror) Start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.wg.Go(m.poll)
	if m.cfg.File != nil {
		m.wg.Go(func() { m.keep(m.kept) })
	}
}

func (c *MirrorConfig) setDefaults() {
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.PollTimeout == 0 {
		c.PollTimeout = 10 * time.Second
	}
	if c.GetTimeout == 0 {
		c.GetTimeout = 2 * time.Second
	}
	if c.MaxBackoff == 0 {
		c.MaxBackoff = time.Second
	}
}

// Close ends the polls, keeps the newest map, and waits for both.
func (m *Mirror) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.wg.Wait()
}

// Map is the newest map known here; nil while there is none. It does not block.
func (m *Mirror) Map() *placement.Map { return m.now.Load() }

// Changed is closed when a newer map than the present one has come. Ask for it before Map.
func (m *Mirror) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Wait returns the map as soon as it is newer than since. On the end of ctx it returns CodeUnavailable.
func (m *Mirror) Wait(ctx context.Context, since uint64) (*placement.Map, error) {
	for {
		changed := m.Changed()
		if now := m.Map(); now != nil && now.Version > since {
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, unavailable("no newer placement map has come")
		case <-m.ctx.Done():
			return nil, unavailable("the node is shutting down")
		}
	}
}

// Address is where the node is reached.
func (m *Mirror) Address(n api.NodeID) (string, bool) {
	if now := m.Map(); now != nil {
		if x, ok := now.Node(n); ok && x.Address != "" {
			return x.Address, true
		}
	}
	return "", false
}

// Found makes first the map of a new cluster. claim, a write to a file, makes that durable before another node can see the map.
// CodeConflict if a map has come from elsewhere: then claim is not called.
func (m *Mirror) Found(first *placement.Map, claim func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.now.Load(); old != nil {
		return api.Errorf(api.CodeConflict, "this node knows cluster %s and founds none", old.ClusterID)
	}
	if err := claim(); err != nil {
		return err
	}
	m.setLocked(first)
	return nil
}

// Update takes a map from anywhere; an older one changes nothing. CodeConflict where it is of another cluster.
func (m *Mirror) Update(now *placement.Map) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.now.Load()
	switch {
	case old != nil && old.ClusterID != now.ClusterID:
		return api.Errorf(api.CodeConflict, "this node belongs to cluster %s, not %s", old.ClusterID, now.ClusterID)
	case old != nil && old.Version >= now.Version:
		return nil
	}
	m.setLocked(now)
	return nil
}

func (m *Mirror) setLocked(now *placement.Map) {
	m.now.Store(now)
	close(m.changed)
	m.changed = make(chan struct{})
}

// rewrite is how long after a failed write of the file the next one is tried.
const rewrite = 10 * time.Second

// keep writes every new map to the file, the newest only where they come fast. written is what stands there.
func (m *Mirror) keep(written *placement.Map) {
	for last := false; !last; {
		changed := m.Changed()
		if now := m.Map(); now != nil && now != written {
			if err := m.cfg.File.Write(placement.EncodeMap(now)); err != nil {
				m.cfg.Logger.Error("cannot keep the placement map; after a restart this node needs --join", "error", err)
			} else {
				written = now
			}
		}
		if last = m.ctx.Err() != nil; !last {
			m.await(changed, m.Map() != written)
		}
	}
}

// await waits for a change or the end, or, where there is something to write, not too long.
func (m *Mirror) await(changed <-chan struct{}, pending bool) {
	var again <-chan time.Time
	if pending {
		t := time.NewTimer(rewrite)
		defer t.Stop()
		again = t.C
	}
	select {
	case <-changed:
	case <-again:
	case <-m.ctx.Done():
	}
}
