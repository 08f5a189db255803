package replica

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/checkpoint"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// Replica is one member of one group. All methods are safe for concurrent use. Errors are [*api.Error].
type Replica[R any] struct {
	cfg       Config
	log       *closingLog
	stores    logstore.Stores
	driver    *driver[R]
	streams   *streams
	transport *transport
	health    *logstore.Health
	watchdog  *logstore.Watchdog
	progress  *progress
	raft      *raft.Raft
	packer    *packer[R]
	confirmer *confirmer
	meters    meters

	closing   chan struct{}
	ctx       context.Context // ends with closing
	cancel    context.CancelFunc
	loops     sync.WaitGroup // the leadership loop
	mu        sync.Mutex
	closed    bool
	calls     sync.WaitGroup // futures of Raft that somebody waits for; added to under mu while not closed
	closeOnce sync.Once
	closeErr  error
}

// Open starts the replica: it founds the group, comes back from its durable state, or waits to be added.
func Open[R any](cfg Config, m Machine[R]) (*Replica[R], error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	log := &closingLog{Logger: cfg.Logger}
	cfg.Logger = log
	r := &Replica[R]{cfg: cfg, log: log, progress: newProgress(), closing: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	var err error
	if r.stores, err = openStores(&cfg); err != nil {
		r.cancel()
		return nil, opening(&cfg, errors.Join(err, cfg.Streams.Close()))
	}
	if err := r.start(m); err != nil {
		r.cancel()
		return nil, opening(&cfg, errors.Join(err, r.release()))
	}
	return r, nil
}

func opening(cfg *Config, err error) error {
	return &api.Error{Code: api.CodeOf(err), Op: "open replica", Hint: "node " + cfg.Node + ", group " + cfg.Group, Err: err}
}

func openStores(cfg *Config) (logstore.Stores, error) {
	if cfg.Stores != nil {
		return cfg.Stores()
	}
	return openFiles(cfg)
}

// start opens everything between the stores and the log's users.
func (r *Replica[R]) start(m Machine[R]) error {
	cfg := &r.cfg
	r.meters = newMeters(cfg.Metrics)
	r.streams = newStreams(cfg.Streams)
	r.health = logstore.NewHealth(r.stores.Log, cfg.Logger, cfg.OnFailed)
	r.stores.Stable = logstore.WatchTerm(r.stores.Stable, cfg.OnFailed)
	r.watchdog = logstore.NewWatchdog(r.health, cfg.Timing.DiskStuck, cfg.Timing.DiskLost, r.diskStuck, r.diskLost)
	inbox := newInbox(logstore.NewCache(cfg.Limits.CacheBytes, r.watchdog), r.health.NoteCommitted)
	r.stores.Log = inbox
	raftLog := &raftLog{Logger: cfg.Logger}
	r.transport = newTransport(cfg, r.streams, r.progress, inbox, raftLog)
	r.driver = &driver[R]{machine: m, state: cfg.State, snapshots: r.stores.Snapshots, commands: r.meters.commands, onFailed: cfg.OnFailed, halt: halt{group: cfg.Group, log: cfg.Logger, halted: make(chan struct{})}}
	conf := raftConfig(cfg)
	conf.Logger = raftLog
	if err := logstore.Claim(r.stores.Stable, cfg.Group, cfg.Node); err != nil {
		return err
	}
	if len(cfg.Members) > 0 {
		if err := bootstrap(cfg, conf, r.stores, r.transport); err != nil {
			return err
		}
	}
	if err := reconcile(r.stores); err != nil {
		return err
	}
	if cfg.State != nil {
		var err error
		if conf.NoSnapshotRestoreOnStart, err = r.driver.resume(r.stores.Log); err != nil {
			return err
		}
	}
	guarded := checkpoint.CutStalled(r.stores.Snapshots, stallLimit*cfg.Timing.Transport, r.streams.cutIncoming)
	var err error
	r.raft, err = raft.NewRaft(conf, r.driver, r.stores.Log, r.stores.Stable, guarded, r.transport)
	if err != nil {
		return err
	}
	inbox.applied, inbox.term, inbox.last = r.held, r.raft.CurrentTerm, r.raft.LastIndex
	inbox.halted = r.Halted
	r.transport.serve()
	r.confirmer = newConfirmer(r.ctx, r.raft, cfg, r.meters)
	r.packer = newPacker[R](r.raft, cfg.Limits, cfg.Timing.Election, r.closing, r.meters)
	r.loops.Go(r.lead)
	r.loops.Go(r.adaptThreshold)
	r.measure()
	return nil
}

// stallLimit times Timing.Transport without a byte ends the stream of a snapshot.
const stallLimit = 3

func raftConfig(cfg *Config) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(cfg.Node)
	c.HeartbeatTimeout = cfg.Timing.Heartbeat
	c.ElectionTimeout = cfg.Timing.Election
	c.LeaderLeaseTimeout = cfg.Timing.LeaderLease
	c.CommitTimeout = cfg.Timing.Commit
	c.MaxAppendEntries = cfg.Limits.AppendEntries
	c.SnapshotThreshold = cfg.Limits.SnapshotEntries
	c.TrailingLogs = cfg.Limits.TrailingEntries
	c.SnapshotInterval = cfg.Limits.SnapshotInterval
	c.ShutdownOnRemove = false // only Close ends Raft: see there
	c.NoLegacyTelemetry = true
	return c
}

// founders are the founding voters in one order, whatever the order in Config.
func founders(members []Member) []raft.Server {
	servers := make([]raft.Server, 0, len(members))
	for _, m := range members {
		servers = append(servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(m.Node), Address: addressOf(m)})
	}
	slices.SortFunc(servers, func(a, b raft.Server) int { return cmp.Compare(a.ID, b.ID) })
	return servers
}

// CurrentTerm is the newest term that this replica has heard of. It is durable before it shows here, and a vote in a term
// is given only after.
func (r *Replica[R]) CurrentTerm() uint64 { return r.raft.CurrentTerm() }

// Leader is who leads in term, as far as this replica knows; node is "" where nobody is known to.
func (r *Replica[R]) Leader() (node string, term uint64) {
	for {
		term = r.raft.CurrentTerm()
		_, id := r.raft.LeaderWithID()
		if r.raft.CurrentTerm() == term {
			return string(id), term
		}
	}
}

// otherLeader is who leads instead of this replica, or "".
func (r *Replica[R]) otherLeader() string {
	if leader, _ := r.Leader(); leader != r.cfg.Node {
		return leader
	}
	return ""
}

// IsLeader tells whether this replica takes itself for the leader. Nothing but efficiency may rest on it.
func (r *Replica[R]) IsLeader() bool { return r.raft.State() == raft.Leader }

// IsMember tells whether this replica is a member in the newest configuration that it has heard of, committed or not.
func (r *Replica[R]) IsMember() bool {
	servers := r.raft.GetConfiguration().Configuration().Servers
	return slices.ContainsFunc(servers, func(s raft.Server) bool { return s.ID == raft.ServerID(r.cfg.Node) })
}

// Halted says why the replica applies nothing any more: it met an entry that this program cannot read. nil while it applies.
func (r *Replica[R]) Halted() error { return r.driver.Halted() }

// held is up to where this member has the log, as Raft takes it, and the machine has applied it. A checkpoint may have
// brought the machine further than Raft knows; Raft still needs the entries.
func (r *Replica[R]) held() uint64 { return min(r.driver.applied.Load(), r.raft.LastIndex()) }

// Applied is the index of the last log entry that the machine has applied or been restored to.
func (r *Replica[R]) Applied() uint64 { return r.driver.applied.Load() }

// Health returns why the group cannot count on this member: its log fails, or has failed and the member has not caught up since. nil
// if it can.
func (r *Replica[R]) Health() error { return r.health.Check(r.caughtUpWith) }

// caughtUpWith reports whether this member has applied all but the last few of so many entries. A leader lacks nothing.
func (r *Replica[R]) caughtUpWith(committed uint64) bool {
	return r.IsLeader() || r.held()+r.cfg.Limits.CaughtUpEntries >= committed
}

// Snapshot takes a snapshot now and truncates the log behind it. There is no need to: one is taken when it is due.
func (r *Replica[R]) Snapshot(ctx context.Context) error {
	_, err := r.await(ctx, "snapshot", func() raft.Future { return r.raft.Snapshot() })
	if err == nil || errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return &api.Error{Code: api.CodeUnavailable, Op: "snapshot", Err: err}
}

// await calls Raft and waits for what it answers, until ctx or the replica ends: futures of Raft may outlive both.
// begun is false where Raft was not called.
func (r *Replica[R]) await(ctx context.Context, op string, call func() raft.Future) (begun bool, err error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return false, errClosed(op)
	}
	r.calls.Add(1)
	r.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		defer r.calls.Done()
		done <- call().Error()
	}()
	select {
	case err := <-done:
		return true, err
	case <-ctx.Done():
		return true, ctx.Err()
	case <-r.closing:
		return true, errClosed(op)
	}
}

func (r *Replica[R]) diskStuck(stuck bool) {
	if stuck {
		r.meters.stuck(1)
		r.log.Error("the disk hangs: this member makes room for another leader", "group", r.cfg.Group)
	} else {
		r.log.Warn("the disk answers again", "group", r.cfg.Group)
	}
	r.streams.setStuck(stuck)
}

func (r *Replica[R]) diskLost(d time.Duration) {
	if r.cfg.OnStuck != nil {
		r.cfg.OnStuck(d)
	}
}
