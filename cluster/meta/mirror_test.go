package meta

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

// fakeSource is nodes that all share one map and one roll, which the test sets; those that are down do not answer.
type fakeSource struct {
	mu      sync.Mutex
	now     *placement.Map
	roll    *placement.Roll
	age     time.Duration // of the roll; below zero is unknown
	changed chan struct{}
	down    map[string]bool // by node or address
	polls   map[string]int
	gets    int
	leader  api.NodeID
	hold    time.Duration // how long Get takes
}

func newSource(m *placement.Map) *fakeSource {
	return &fakeSource{
		now: m, roll: &placement.Roll{}, age: -1, changed: make(chan struct{}), down: map[string]bool{}, polls: map[string]int{}, leader: "a1",
	}
}

func (s *fakeSource) set(m *placement.Map) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = m
	s.announceLocked()
}

func (s *fakeSource) setRoll(r *placement.Roll, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roll, s.age = r, age
	s.announceLocked()
}

func (s *fakeSource) announceLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *fakeSource) fail(from string, down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down[from] = down
}

func (s *fakeSource) polled(from string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls[from]
}

func (s *fakeSource) Poll(ctx context.Context, node api.NodeID, seen Seen) (News, error) {
	return s.poll(ctx, string(node), seen)
}

func (s *fakeSource) PollAddress(ctx context.Context, address string, seen Seen) (News, error) {
	return s.poll(ctx, address, seen)
}

func (s *fakeSource) poll(ctx context.Context, from string, seen Seen) (News, error) {
	arrived, patience := time.Now(), time.NewTimer(5*time.Second)
	defer patience.Stop()
	s.mu.Lock()
	s.polls[from]++
	s.mu.Unlock()
	for late := false; ; {
		s.mu.Lock()
		now, roll, age, changed, down := s.now, s.roll, s.age, s.changed, s.down[from]
		s.mu.Unlock()
		if down {
			return News{}, api.CodeUnavailable
		}
		var news News
		if now != nil && now.Version > seen.Map {
			news.Map = now
		}
		if now != nil && roll.Revision > seen.Roll {
			news.Roll = roll.Since(now.ClusterID, seen.Roll)
		}
		if late || news.Map != nil || news.Roll != nil {
			news.Known, news.Fresh = age >= 0, time.Since(arrived)-age
			return news, nil
		}
		select {
		case <-changed:
		case <-patience.C:
			late = true
		case <-ctx.Done():
			return News{}, api.CodeUnavailable
		}
	}
}

func (s *fakeSource) Get(ctx context.Context, node api.NodeID) (*placement.Map, error) {
	s.mu.Lock()
	now, down, leader, hold := s.now, s.down[string(node)], s.leader, s.hold
	s.gets++
	s.mu.Unlock()
	if down {
		return nil, api.CodeUnavailable
	}
	if node != leader {
		return nil, notLeader(string(leader))
	}
	select {
	case <-time.After(hold):
		return now, nil
	case <-ctx.Done():
		return nil, api.CodeUnavailable
	}
}

// memoryFile is a File in memory.
type memoryFile struct {
	mu     sync.Mutex
	b      []byte
	writes int
	err    error
}

func (f *memoryFile) Read() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.b == nil {
		return nil, fs.ErrNotExist
	}
	return f.b, nil
}

func (f *memoryFile) Write(b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	if f.err == nil {
		f.b = b
	}
	return f.err
}

func (f *memoryFile) version(t *testing.T) uint64 {
	t.Helper()
	b, err := f.Read()
	if err != nil {
		return 0
	}
	m, err := placement.DecodeMap(b)
	if err != nil {
		t.Fatal(err)
	}
	return m.Version
}

// version is the founding map at another version.
func version(t *testing.T, n uint64) *placement.Map {
	t.Helper()
	m := *founding(t)
	m.Version = n
	return &m
}

func openMirror(t *testing.T, cfg MirrorConfig, f File, initial *placement.Map) *Mirror {
	t.Helper()
	return openMirrorIn(t, cfg, Files{Map: f}, initial)
}

func openMirrorIn(t *testing.T, cfg MirrorConfig, files Files, initial *placement.Map) *Mirror {
	t.Helper()
	cfg.Rand = rand.New(rand.NewPCG(1, 1)).Float64
	var mu sync.Mutex
	draw := cfg.Rand
	cfg.Rand = func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return draw()
	}
	var err error
	if cfg.View, err = OpenView(files, initial); err != nil {
		t.Fatal(err)
	}
	m, err := NewMirror(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.Start()
	return m
}

func TestMirrorFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newSource(nil), &memoryFile{}
		m := openMirror(t, MirrorConfig{Source: s, Seeds: []string{"seed:1", "seed:2"}}, f, nil)
		defer m.Close()
		s.fail("seed:1", true)
		time.Sleep(time.Minute)
		if m.Map() != nil {
			t.Fatal("a map from nowhere")
		}
		s.set(version(t, 5))
		now, _, err := m.Wait(t.Context(), Seen{})
		if err != nil || now.Version != 5 {
			t.Fatalf("the first map: %+v, %v", now, err)
		}
		if a, ok := m.Address("b1"); !ok || a != "b1:1" {
			t.Errorf("b1 is at %s, %v", a, ok)
		}
		if _, ok := m.Address("x9"); ok {
			t.Error("an unknown node has an address")
		}
		for _, down := range []string{"a1", "b1", "seed:1", "seed:2"} {
			s.fail(down, true)
		}
		time.Sleep(20 * time.Second)
		s.set(version(t, 6))
		if now, _, err = m.Wait(t.Context(), Seen{Map: 5}); err != nil || now.Version != 6 {
			t.Errorf("the next map: %v", err)
		}
		synctest.Wait()
		if f.version(t) != 6 {
			t.Errorf("kept version %d", f.version(t))
		}
	})
}

// TestMirrorIdles: while nothing changes, and while no node answers, polls are few.
func TestMirrorIdles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(version(t, 5))
		m := openMirror(t, MirrorConfig{Source: s}, nil, version(t, 5))
		defer m.Close()
		time.Sleep(10 * time.Minute)
		total := func() (n int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, x := range s.polls {
				n += x
			}
			return n
		}
		if n := total(); n > 130 {
			t.Errorf("%d polls in ten idle minutes", n)
		}
		for _, id := range []string{"a1", "b1", "z1"} {
			if n := s.polled(id); n < 20 {
				t.Errorf("voter %s was polled %d times: a mirror must not stay with one", id, n)
			}
			s.fail(id, true)
		}
		before := total()
		time.Sleep(10 * time.Minute)
		if n := total() - before; n > 4000 {
			t.Errorf("%d polls in ten minutes in vain", n)
		}
	})
}

// TestMirrorAsksServersAlone: an edge of the map is never asked, also if no server answers: what it says of the map and of rights would
// be believed. Part of attack 13.
func TestMirrorAsksServersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := version(t, 5)
		for _, id := range []api.NodeID{"e1", "e2"} {
			now.Nodes = append(now.Nodes, placement.Node{ID: id, Region: "a", Role: api.RoleEdge, Address: string(id)})
		}
		s := newSource(now)
		m := openMirror(t, MirrorConfig{Source: s}, nil, now)
		defer m.Close()
		time.Sleep(time.Minute)
		for _, id := range []string{"a1", "b1", "z1"} {
			s.fail(id, true)
		}
		time.Sleep(time.Minute)
		if s.polled("a1") == 0 || s.polled("e1")+s.polled("e2") > 0 {
			t.Errorf("polled: %v", s.polls)
		}
	})
}

func TestMirrorRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &memoryFile{b: placement.EncodeMap(version(t, 7))}
		s := newSource(nil)
		m := openMirror(t, MirrorConfig{Source: s}, f, version(t, 1))
		if m.Map().Version != 7 {
			t.Errorf("began with version %d", m.Map().Version)
		}
		if err := m.Update(version(t, 8)); err != nil {
			t.Error(err)
		}
		m.Close()
		if f.version(t) != 8 {
			t.Errorf("kept version %d", f.version(t))
		}
		m.Close()
		if err := m.Refresh(t.Context()); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("refresh after Close: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := m.Wait(ctx, Seen{Map: 99}); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("wait for a map that does not come: %v", err)
		}
	})
}

func TestMirrorRefuses(t *testing.T) {
	if _, err := NewMirror(MirrorConfig{}); !errors.Is(err, api.CodeInvalid) {
		t.Errorf("no source: %v", err)
	}
	broken := &memoryFile{b: []byte("not a map")}
	for _, files := range []Files{{Map: broken}, {Roll: broken}} {
		if _, err := OpenView(files, nil); !errors.Is(err, api.CodeInternal) {
			t.Errorf("a broken file: %v", err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		m := openMirror(t, MirrorConfig{Source: newSource(nil)}, nil, version(t, 5))
		defer m.Close()
		other := version(t, 9)
		other.ClusterID = "other"
		if err := m.Update(other); !errors.Is(err, api.CodeConflict) || m.Map().Version != 5 {
			t.Errorf("the map of another cluster: %v", err)
		}
		if err := m.Update(version(t, 4)); err != nil || m.Map().Version != 5 {
			t.Errorf("an older map: %v, now version %d", err, m.Map().Version)
		}
	})
}

// TestMirrorKeepsTrying: a disk that fails for a while costs nothing but the file.
func TestMirrorKeepsTrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &memoryFile{err: errors.New("no space")}
		m := openMirror(t, MirrorConfig{Source: newSource(nil)}, f, version(t, 5))
		defer m.Close()
		time.Sleep(25 * time.Second)
		f.mu.Lock()
		if f.writes != 3 {
			t.Errorf("%d writes in 25 s", f.writes)
		}
		f.err = nil
		f.mu.Unlock()
		time.Sleep(10 * time.Second)
		if f.version(t) != 5 {
			t.Errorf("kept version %d", f.version(t))
		}
	})
}

// TestRefresh: callers share a fetch only if it began after they had called.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(version(t, 5))
		s.hold, s.leader = time.Second, "b1"
		m := openMirror(t, MirrorConfig{Source: s}, nil, version(t, 5))
		defer m.Close()
		for _, id := range []string{"a1", "b1", "z1"} {
			s.fail(id, true)
		}
		time.Sleep(10 * time.Second) // the polls fail from here
		s.fail("b1", false)
		s.fail("a1", false)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				if err := m.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		began := time.Now()
		wg.Wait()
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("ten refreshes took %v, want two fetches", d)
		}
		s.set(version(t, 6))
		if err := m.Refresh(t.Context()); err != nil || m.Map().Version != 6 {
			t.Errorf("refresh: %v, version %d", err, m.Map().Version)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := m.Refresh(ctx); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("in no time: %v", err)
		}
		s.fail("b1", true)
		if err := m.Refresh(t.Context()); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("while no node answers: %v", err)
		}
	})
}

func TestRefreshBeforeTheFirstMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(nil)
		m := openMirror(t, MirrorConfig{Source: s, Seeds: []string{"seed:1"}}, nil, nil)
		defer m.Close()
		if err := m.Refresh(t.Context()); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("from nowhere: %v", err)
		}
		s.set(version(t, 5))
		if err := m.Refresh(t.Context()); err != nil || m.Map() == nil {
			t.Errorf("from the seed: %v", err)
		}
	})
}

func TestOSFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "placement")
	f := OSFile(path)
	if _, err := f.Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing yet: %v", err)
	}
	for _, s := range []string{"one", "two"} {
		if err := f.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if b, err := f.Read(); err != nil || string(b) != s {
			t.Errorf("read %q, %v", b, err)
		}
	}
	if all, err := os.ReadDir(filepath.Dir(path)); err != nil || len(all) != 1 {
		t.Errorf("left behind: %v, %v", all, err)
	}
	if err := OSFile(filepath.Join(path, "below a file")).Write(nil); err == nil {
		t.Error("written below a file")
	}
}
