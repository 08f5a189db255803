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

	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	loops     sync.WaitGroup // lead and adaptThreshold
	mu        sync.Mutex
	closed    bool
	calls     sync.WaitGroup // pending futures of Raft; added to under mu while not closed
	closeOnce sync.Once
	closeErr  error
}

// Open starts the replica. It continues from its durable state, founds the group, or waits to be added.
func Open[R any](cfg Config, m Machine[R]) (*Replica[R], error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	log := &closingLog{Logger: cfg.Logger}
	cfg.Logger = log
	r := &Replica[R]{cfg: cfg, log: log, progress: newProgress()}
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

// start opens everything on top of the stores.
func (r *Replica[R]) start(m Machine[R]) error {
	cfg := &r.cfg
	r.meters = newMeters(cfg.Metrics)
	r.streams = newStreams(cfg.Streams)
	r.health = logstore.NewHealth(r.stores.Log, cfg.Logger, cfg.OnFailed)
	r.stores.Stable = logstore.WatchTerm(r.stores.Stable, cfg.OnFailed)
	r.watchdog = logstore.NewWatchdog(r.health, cfg.Timing.DiskStuck, cfg.Timing.DiskLost, r.diskStuck, r.diskLost, r.meters.appended)
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
		return cmp.Or(r.Halted(), err) // a snapshot that needs an upgrade, or what Raft says
	}
	inbox.applied, inbox.term, inbox.last = r.held, r.raft.CurrentTerm, r.raft.LastIndex
	inbox.halted = r.Halted
	r.transport.serve()
	r.confirmer = newConfirmer(r.ctx, r.raft, cfg, r.meters)
	r.packer = newPacker[R](r.raft, cfg.Limits, cfg.Timing.Election, r.ctx.Done(), r.meters)
	r.loops.Go(r.lead)
	r.loops.Go(r.adaptThreshold)
	r.measure()
	return nil
}

// stallLimit is how many times Timing.Transport the stream of a snapshot may pause before it is cut.
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
	c.ShutdownOnRemove = false // only Close shuts Raft down
	c.NoLegacyTelemetry = true
	return c
}

// founders returns the founding voters in an order that does not depend on Config.
func founders(members []Member) []raft.Server {
	servers := make([]raft.Server, 0, len(members))
	for _, m := range members {
		servers = append(servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(m.Node), Address: addressOf(m)})
	}
	slices.SortFunc(servers, func(a, b raft.Server) int { return cmp.Compare(a.ID, b.ID) })
	return servers
}

// CurrentTerm returns the newest term that this replica knows. The term is durable before CurrentTerm returns it, and this
// replica votes in a term only after that.
func (r *Replica[R]) CurrentTerm() uint64 { return r.raft.CurrentTerm() }

// Leader returns the leader in term, as far as this replica knows. node is "" if it knows none.
func (r *Replica[R]) Leader() (node string, term uint64) {
	for {
		term = r.raft.CurrentTerm()
		_, id := r.raft.LeaderWithID()
		if r.raft.CurrentTerm() == term {
			return string(id), term
		}
	}
}

// otherLeader returns the leader if that is another member, else "".
func (r *Replica[R]) otherLeader() string {
	if leader, _ := r.Leader(); leader != r.cfg.Node {
		return leader
	}
	return ""
}

// IsLeader reports whether this replica believes that it leads. It may be wrong: use it for efficiency only.
func (r *Replica[R]) IsLeader() bool { return r.raft.State() == raft.Leader }

// IsMember reports whether this replica is a member in the newest configuration that it knows, committed or not.
func (r *Replica[R]) IsMember() bool {
	servers := r.raft.GetConfiguration().Configuration().Servers
	return slices.ContainsFunc(servers, func(s raft.Server) bool { return s.ID == raft.ServerID(r.cfg.Node) })
}

// Halted returns why the replica applies nothing more, such as an entry that this program cannot read, or nil while it applies.
func (r *Replica[R]) Halted() error { return r.driver.Halted() }

// held returns the index up to which Raft has the log and the machine has applied it. A checkpoint may bring the machine ahead
// of Raft, which still needs the entries.
func (r *Replica[R]) held() uint64 { return min(r.driver.applied.Load(), r.raft.LastIndex()) }

// Applied returns the index of the last log entry that the machine includes.
func (r *Replica[R]) Applied() uint64 { return r.driver.applied.Load() }

// Heard returns an instant up to which this replica had applied all that its leader had sent it: now, if it leads within its
// lease; else when it last heard from a leader. It is the zero time if it has never heard from one, and known is false while the
// replica has not applied what it knows to be committed.
func (r *Replica[R]) Heard() (at time.Time, known bool) {
	at = r.raft.LastContact()
	if r.raft.State() == raft.Leader {
		at = time.Now()
	}
	if r.driver.applied.Load() < r.raft.CommitIndex() { // after the instant was read: what it committed counts
		return time.Time{}, false
	}
	return at, !at.IsZero()
}

// Health returns why the group cannot count on this member, or nil if it can. It cannot while the member's log fails, and after
// that until the member has caught up.
func (r *Replica[R]) Health() error { return r.health.Check(r.caughtUpWith) }

// caughtUpWith reports whether this member has applied all but the last few entries up to committed. A leader always has.
func (r *Replica[R]) caughtUpWith(committed uint64) bool {
	return r.IsLeader() || r.held()+r.cfg.Limits.CaughtUpEntries >= committed
}

// Snapshot takes a snapshot now and truncates the log. Raft also takes one by itself when it is due.
func (r *Replica[R]) Snapshot(ctx context.Context) error {
	_, err := r.await(ctx, "snapshot", func() raft.Future { return r.raft.Snapshot() })
	if err == nil || errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return &api.Error{Code: api.CodeUnavailable, Op: "snapshot", Err: err}
}

// await calls Raft and waits for the result until ctx or the replica ends: futures of Raft may outlive both. begun is false if
// Raft was not called.
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
	case <-r.ctx.Done():
		return true, errClosed(op)
	}
}

func (r *Replica[R]) diskStuck(stuck bool) {
	if stuck {
		r.meters.stuck(1)
		r.log.Error("the disk hangs: this member lets another one lead", "group", r.cfg.Group)
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
