package replica

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// tcpStreams is a StreamLayer over loopback.
type tcpStreams struct{ net.Listener }

func (tcpStreams) Dial(_, address string, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", address, timeout)
}

// onFiles is a group of three with logs in files and real sockets, in real time.
type onFiles struct {
	t     testing.TB
	dir   string
	scale float64
	log   logstore.Kind

	mu   sync.Mutex
	addr map[string]string
	reps map[string]*Replica[result]
}

func newOnFiles(t testing.TB, kind logstore.Kind, scale float64) *onFiles {
	f := &onFiles{t: t, dir: t.TempDir(), log: kind, scale: scale, addr: make(map[string]string), reps: make(map[string]*Replica[result])}
	f.open()
	return f
}

// open starts all members, and closes those that are still open when the test ends.
func (f *onFiles) open() {
	f.t.Helper()
	f.t.Cleanup(f.close)
	listeners := make(map[string]net.Listener)
	for i := range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			f.t.Fatal(err)
		}
		name := fmt.Sprint("n", i)
		listeners[name], f.addr[name] = l, l.Addr().String()
	}
	for name, l := range listeners {
		f.start(name, l)
	}
}

func (f *onFiles) start(name string, l net.Listener) {
	timing := RegionTiming().Scale(f.scale)
	timing.LeaderLease = timing.Heartbeat // no member is cut off here: one that the leader does not hear from is as slow as the leader
	cfg := Config{
		Group: "g", Node: name, Dir: filepath.Join(f.dir, name), Log: f.log, Streams: tcpStreams{l}, Timing: timing,
		Address: func(node string) (string, bool) {
			f.mu.Lock()
			defer f.mu.Unlock()
			a, ok := f.addr[node]
			return a, ok
		},
		Confirm: func(_ context.Context, node string, term uint64) (bool, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			r := f.reps[node]
			return r != nil && r.CurrentTerm() == term, nil
		},
		OnLeadership: func(term uint64) []byte { return fmt.Appendf(nil, "lead %s %d", name, term) },
	}
	for n, a := range f.addr {
		cfg.Members = append(cfg.Members, Member{Node: n, Address: a, Voter: true})
	}
	r, err := Open(cfg, Machine[result](new(register)))
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.reps[name] = r
	f.addr[name] = l.Addr().String()
	f.mu.Unlock()
}

// do proposes at the leader until that succeeds. If a leader is lost meanwhile the command may apply more than once.
func (f *onFiles) do(command string) *Replica[result] {
	f.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		for _, r := range f.reps {
			if _, err := r.Propose(f.t.Context(), []byte(command)); err == nil {
				return r
			}
		}
		pause(10 * time.Millisecond)
	}
	f.t.Fatalf("%s was never accepted", command)
	return nil
}

// pause is for conditions that nothing signals.
func pause(d time.Duration) { <-time.After(d) }

func (f *onFiles) close() {
	for name := range f.reps {
		f.stop(name)
	}
}

func (f *onFiles) stop(name string) {
	if err := f.reps[name].Close(); err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	delete(f.reps, name)
	f.mu.Unlock()
}

// TestFiles restarts members on their folders, at other addresses. No goroutine is left.
func TestFiles(t *testing.T) {
	eachLog(t, testFiles)
}

func testFiles(t *testing.T, kind logstore.Kind) {
	f := newOnFiles(t, kind, 0.3)
	leader := f.do("first")
	for end := time.Now().Add(20 * time.Second); ; leader = f.do("first") { // again if it was lost meanwhile
		err := leader.QuorumConfirm(t.Context(), leader.CurrentTerm())
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if err := leader.Snapshot(t.Context()); err != nil {
		t.Error(err)
	}
	f.do("second")
	for i := range 3 {
		name := fmt.Sprint("n", i)
		f.stop(name)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f.start(name, l)
		f.do(fmt.Sprint("after ", name))
	}
	for name, r := range f.reps {
		machine := r.driver.machine.(*register)
		for end := time.Now().Add(10 * time.Second); !machine.has("after n2") && time.Now().Before(end); {
			pause(5 * time.Millisecond)
		}
		if all := slices.Compact(machine.all()); strings.Join(all, ",") != "first,second,after n0,after n1,after n2" {
			t.Errorf("%s has %v", name, all)
		}
	}
	f.close()
	noGoroutines(t)
}

// TestFilesOfAnother refuses a folder that belongs to another replica.
func TestFilesOfAnother(t *testing.T) {
	dir := t.TempDir()
	open := func(node string) error {
		r, err := Open[result](Config{Group: "g", Node: node, Dir: dir, Streams: newNetwork(0).endpoint(node)}, new(register))
		if err == nil {
			err = r.Close()
		}
		return err
	}
	for range 2 {
		if err := open("n0"); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, open("n1"), api.CodeConflict)
	noGoroutines(t)
}

// noGoroutines waits until no goroutine of this package or of Raft is left.
func noGoroutines(t *testing.T) {
	t.Helper()
	var left string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); pause(10 * time.Millisecond) {
		var b strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
			t.Fatal(err)
		}
		left = ""
		for stack := range strings.SplitSeq(b.String(), "\n\n") {
			if (strings.Contains(stack, "hashicorp/raft") || strings.Contains(stack, "cluster/replica.(")) && !strings.Contains(stack, "noGoroutines") {
				left += stack + "\n\n"
			}
		}
		if left == "" {
			return
		}
	}
	t.Errorf("goroutines are left:\n%s", left)
}

// BenchmarkPropose proposes values of 256 bytes from many clients at three members in one process.
func BenchmarkPropose(b *testing.B) {
	for _, clients := range []int{1, 64, 256, 1024} {
		for _, kind := range logstore.Kinds() {
			b.Run(fmt.Sprintf("clients=%d/log=%s", clients, kind), func(b *testing.B) {
				f := newOnFiles(b, kind, 3) // long timeouts: a busy machine must not lose the leader
				leader := f.do("first")
				command := make([]byte, 256)
				inParallel(b, clients, func() error {
					_, err := leader.Propose(b.Context(), command)
					return err
				})
				f.close()
			})
		}
	}
}

// BenchmarkConfirm confirms leadership from many readers.
func BenchmarkConfirm(b *testing.B) {
	for _, clients := range []int{1, 64, 512} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			f := newOnFiles(b, logstore.Default, 3) // long timeouts: a busy machine must not lose the leader
			leader := f.do("first")
			term := leader.CurrentTerm()
			inParallel(b, clients, func() error { return leader.QuorumConfirm(b.Context(), term) })
			f.close()
		})
	}
}
