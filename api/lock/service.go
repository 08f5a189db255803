package lock

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// DefaultMaxWaiting is the default of [Config].MaxWaiting.
const DefaultMaxWaiting = 10_000

const (
	// lingerTime is how long a lock is watched after the last request that waited for it. A lock that one request at a time waits for
	// is then passed on at once: a new watch takes longer to begin than the lock is held.
	lingerTime = 2 * time.Second
	// maxLingering bounds the locks that are watched though no request waits for them.
	maxLingering = 256
)

// Config is what a [Service] keeps locks in. Only Store is required.
type Config struct {
	Store api.Store
	// Watcher reports when a lock is given back. If it is nil, waiters ask the Store at intervals.
	Watcher api.Watcher
	// MaxWaiting bounds the requests that wait here, for all locks. 0 is [DefaultMaxWaiting].
	MaxWaiting int
}

// Service gives, renews and takes back locks. It is safe for concurrent use. Close it when it is no longer needed.
//
// Its errors are those of the Store, and the ones that its methods list.
type Service struct {
	cfg    Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu      sync.Mutex
	closed  bool                  // guarded by mu, as all below
	waiting int                   // requests that wait
	locks   map[string]*directory // by name: those for which one waits, or has waited lately
	idle    int                   // how many of them none waits for
}

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.MaxWaiting <= 0 {
		cfg.MaxWaiting = DefaultMaxWaiting
	}
	s := &Service{cfg: cfg, locks: map[string]*directory{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close ends the requests that wait, which get CodeUnavailable and keep their places for a ttl, so that they can go on at another
// node. It waits for what the Service has started.
func (s *Service) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, d := range s.locks {
		if d.linger != nil {
			d.linger.Stop()
		}
	}
	s.mu.Unlock()
	s.cancel()
	s.tasks.Wait()
	return nil
}

// start runs f, unless the Service is closed.
func (s *Service) start(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.tasks.Go(f)
	}
}

// join lets a waiter wait for the lock. CodeUnavailable if too many wait here.
func (s *Service) join(name string, w *waiter) (*directory, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.waiting >= s.cfg.MaxWaiting {
		e := api.Errorf(api.CodeUnavailable, "%d requests wait for locks at this node, the limit", s.waiting)
		e.RetryAfter = time.Second
		return nil, e
	}
	s.waiting++
	d := s.locks[name]
	if d == nil {
		d = &directory{name: name, waiters: map[string][]*waiter{}}
		ctx, cancel := context.WithCancel(s.ctx)
		d.cancel = cancel
		s.locks[name] = d
		if s.cfg.Watcher != nil {
			s.tasks.Go(func() { d.follow(ctx, s.cfg.Watcher) })
		}
	}
	if d.linger != nil {
		d.linger.Stop()
		d.linger = nil
		s.idle--
	}
	d.refs++
	d.add(w)
	return d, nil
}

// part undoes join.
func (s *Service) part(d *directory, w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.remove(w)
	s.waiting--
	switch d.refs--; {
	case d.refs > 0:
	case s.closed || s.cfg.Watcher == nil || s.idle >= maxLingering:
		s.endLocked(d)
	default:
		s.idle++
		var t *time.Timer
		t = time.AfterFunc(lingerTime, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if d.linger == t {
				d.linger = nil
				s.idle--
				s.endLocked(d)
			}
		})
		d.linger = t
	}
}

// endLocked ends the watch of a lock that no request waits for.
func (s *Service) endLocked(d *directory) {
	d.cancel()
	delete(s.locks, d.name)
}

// Renew makes the tenure last for ttl from now, or for the ttl it was asked with if ttl is 0. CodePreconditionFailed means that the
// tenure is over: the lock was released, or its ttl has passed.
func (s *Service) Renew(ctx context.Context, name, id string, fence uint64, ttl time.Duration) (*Held, error) {
	e, err := s.tenure(name, id, fence)
	if err != nil {
		return nil, err
	}
	if ttl == 0 {
		if ttl, err = s.ttlOf(ctx, e); err != nil {
			return nil, err
		}
	}
	if err := api.CheckTTL(ttl); err != nil {
		return nil, err
	}
	ok, err := s.within(ctx, e, fence, func() []api.Op { return e.touches(ttl) })
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, over(e)
	}
	return held(id, e.version, ttl), nil
}

// Release ends the tenure and reports whether it lasted until now. If it did not, nothing is done.
func (s *Service) Release(ctx context.Context, name, id string, fence uint64) (bool, error) {
	e, err := s.tenure(name, id, fence)
	if err != nil {
		return false, err
	}
	return s.within(ctx, e, fence, e.deletes)
}

// tenure returns the entry of a tenure.
func (s *Service) tenure(name, id string, fence uint64) (*entry, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if err := checkID(id); err != nil {
		return nil, err
	}
	return &entry{store: s.cfg.Store, name: name, id: id, version: versionOf(fence)}, nil
}

func over(e *entry) error {
	return &api.Error{Code: api.CodePreconditionFailed, Op: "lock", Key: api.Key(e.name),
		Hint: "the lock is not held under this id and fence: it was released, or its ttl has passed"}
}

// within carries the steps out if the entry has the fence, and reports whether it has. An absent entry has none, though its absence
// has a version. A fence stands for the version of fewer than
// 2^40 commands; if that is not the entry's, the entry is read.
func (s *Service) within(ctx context.Context, e *entry, fence uint64, steps func() []api.Op) (bool, error) {
	for try := 0; ; try++ {
		t := &api.Txn{If: append(e.unchanged(), api.Cond{Kind: api.CondExists, Key: e.key()}), Then: steps()}
		if !guardFence {
			t.If = nil
		}
		res, err := s.cfg.Store.Do(ctx, t)
		if err != nil || res.Committed || try > 0 {
			return err == nil && res.Committed, err
		}
		now, err := s.read(ctx, e.key())
		if err != nil {
			return false, err
		}
		if !now.Exists || Fence(now.Version) != fence || now.Version == e.version {
			return false, nil
		}
		e.version = now.Version
	}
}

// ttlOf returns the ttl that the lock was asked with.
func (s *Service) ttlOf(ctx context.Context, e *entry) (time.Duration, error) {
	now, err := s.read(ctx, e.key())
	if err != nil {
		return 0, err
	}
	if _, ttl := parseValue(now.Value); now.Exists && ttl > 0 {
		return ttl, nil
	}
	return 0, over(e)
}

func (s *Service) read(ctx context.Context, k api.Key) (*api.Entry, error) {
	var out api.ReadResult
	if err := s.cfg.Store.Read(ctx, &api.ReadRequest{Keys: []api.Key{k}}, &out); err != nil {
		return nil, err
	}
	return &out.Entries[0], nil
}

// Show returns the holder of the lock and the clients that wait for it, oldest first.
func Show(ctx context.Context, l api.Lister, name string) (*State, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	res, err := l.List(ctx, &api.ListRequest{Range: api.PrefixRange(Directory(name)), Limit: api.MaxListLimit})
	if err != nil {
		return nil, err
	}
	var all []Contender
	for i := range res.Entries {
		e := &res.Entries[i]
		if id := idOf(Directory(name), e.Key); id != "" {
			owner, _ := parseValue(e.Value)
			all = append(all, Contender{Held: *held(id, e.Version, e.TTL), Owner: owner})
		}
	}
	slices.SortFunc(all, func(a, b Contender) int { return cmp.Or(a.Version.Compare(b.Version), cmp.Compare(a.ID, b.ID)) })
	if len(all) == 0 {
		return &State{Queue: all}, nil
	}
	return &State{Holder: &all[0], Queue: all[1:]}, nil
}
