package meta

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/notice"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Source is how a mirror reaches other nodes, and this one.
type Source interface {
	// Poll returns the node's map and roll as soon as one is newer than what was seen; news of neither if that takes longer than the
	// node waits.
	Poll(ctx context.Context, node api.NodeID, seen Seen) (News, error)
	// PollAddress is Poll at a node of which only the address is known.
	PollAddress(ctx context.Context, address string, seen Seen) (News, error)
	// Get returns the map as it was at some instant after the call; CodeNotLeader if the node does not lead the meta group.
	Get(ctx context.Context, node api.NodeID) (*placement.Map, error)
}

// News is an answer to a poll.
type News struct {
	Map  *placement.Map        // nil if there is none newer
	Roll *placement.RollChange // nil if there is none newer
	// Known means that the node knows how old its roll is; then it was the newest at that time after the poll had arrived, which is
	// mostly negative: before that.
	Known bool
	Fresh time.Duration
}

// MirrorConfig makes a Mirror. View and Source are required; a view without a map needs Seeds.
type MirrorConfig struct {
	// View is what the mirror updates.
	View   *View
	Source Source
	// Seeds are addresses of nodes of the cluster, asked while the nodes of the map do not answer.
	Seeds []string
	// Rand draws from [0,1), for jitter; safe for concurrent use. nil: math/rand/v2.
	Rand   func() float64
	Logger hclog.Logger // nil is nowhere

	// PollTimeout bounds one poll; nodes wait less than that.
	PollTimeout time.Duration // 0: 10 s
	// GetTimeout bounds the fetch of a Refresh.
	GetTimeout time.Duration // 0: 2 s
	// MaxBackoff bounds the pause after a round in which no node has answered.
	MaxBackoff time.Duration // 0: 1 s
}

// Mirror updates a node's view of the placement map and of the roll: it polls other nodes, and Refresh fetches the newest map.
// Safe for concurrent use.
type Mirror struct {
	*View
	cfg    MirrorConfig
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	said   notice.Book // what the log has said about the nodes polled

	mu      sync.Mutex
	running *refresh // the fetch under way
	next    *refresh // the one after it, for callers that have come since running began
	closed  bool
}

// refresh is one fetch, for which several callers wait.
type refresh struct {
	done chan struct{}
	err  error // set before done is closed
}

// NewMirror returns a mirror. It calls no other node before Start or Refresh.
func NewMirror(cfg MirrorConfig) (*Mirror, error) {
	if cfg.View == nil || cfg.Source == nil {
		return nil, api.Errorf(api.CodeInvalid, "a mirror needs a view and a source")
	}
	cfg.setDefaults()
	m := &Mirror{View: cfg.View, cfg: cfg}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m, nil
}

// Start begins to poll and to write new maps to the file. It is called once; after Close it does nothing.
func (m *Mirror) Start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.wg.Go(m.poll)
	if m.files != (Files{}) {
		m.wg.Go(m.keep)
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

// Close ends the polls, writes the newest map, and waits for both.
func (m *Mirror) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.wg.Wait()
}

// rewrite is the pause after a failed write of the file.
const rewrite = 10 * time.Second

// keep writes new maps and rolls to their files. If they come faster than it writes, it skips to the newest.
func (m *Mirror) keep() {
	wasMap, wasRoll := m.keptMap, m.keptRoll // what the files have
	for last := false; !last; {
		changed := m.Changed()
		now, roll := m.Map(), m.Roll()
		if m.files.Map != nil && now != nil && now != wasMap {
			if err := m.files.Map.Write(placement.EncodeMap(now)); err != nil {
				m.cfg.Logger.Error("cannot write the placement map; after a restart this node needs --join", "error", err)
			} else {
				wasMap = now
			}
		}
		if m.files.Roll != nil && now != nil && roll != wasRoll && roll.Revision > 0 {
			if err := m.files.Roll.Write(placement.EncodeRollChange(roll.Since(now.ClusterID, 0))); err != nil {
				m.cfg.Logger.Error("cannot write tokens and policies; after a restart this node must fetch them before it knows a client", "error", err)
			} else {
				wasRoll = roll
			}
		}
		pending := m.files.Map != nil && m.Map() != wasMap || m.files.Roll != nil && m.Roll().Revision > 0 && m.Roll() != wasRoll
		if last = m.ctx.Err() != nil; !last {
			m.await(changed, pending)
		}
	}
}

// await waits for a change or the end; if something is still to be written, for rewrite at most.
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
