package replica

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// stateLost is the panic value of a machine that cannot continue.
type stateLost struct{}

func (stateLost) Error() string { return "the state is lost" }
func (stateLost) EndsProcess()  {}

// TestMachineFails: when a machine fails in the middle of a command, OnFailed is called, the proposer gets CodeAmbiguous, and the
// replica applies nothing more. The other members continue.
func TestMachineFails(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		g.must(l, "before")
		l.machine.mu.Lock()
		l.machine.refuse = func(command string) {
			if command == "fatal" {
				panic(stateLost{})
			}
		}
		l.machine.mu.Unlock()
		_, err := l.rep.Propose(t.Context(), []byte("fatal"))
		wantCode(t, err, api.CodeAmbiguous)
		if n := g.failed.Load(); n != 1 {
			t.Errorf("OnFailed was called %d times", n)
		}
		if _, err = l.rep.Propose(t.Context(), []byte("after")); err == nil {
			t.Error("it accepts commands")
		}
		if l.machine.has("after") || l.rep.Applied() >= l.rep.raft.LastIndex() {
			t.Errorf("it continues: applied %d of %d", l.rep.Applied(), l.rep.raft.LastIndex())
		}
		if err := l.rep.Snapshot(t.Context()); err == nil {
			t.Error("it makes snapshots of a state that it does not have")
		}
		name := l.name
		g.crash(name)
		next := g.leader(name)
		g.until(time.Minute, "what was decided at the others", func() bool { return next.machine.has("fatal") })
	})
}

// brokenLog is a log that fails while broken is true.
type brokenLog struct {
	logstore.Log
	broken *atomic.Bool
}

func (b brokenLog) StoreLogs(logs []*raft.Log) error {
	if b.broken.Load() {
		return syscall.ENOSPC
	}
	return b.Log.StoreLogs(logs)
}

func (b brokenLog) StoreLog(l *raft.Log) error { return b.StoreLogs([]*raft.Log{l}) }

func (b brokenLog) GetLog(index uint64, l *raft.Log) error {
	if b.broken.Load() {
		return syscall.EIO
	}
	return b.Log.GetLog(index, l)
}

// TestLogFails: while a follower's log fails, and until the follower has caught up, its Health returns an error. It recovers by
// itself, and OnFailed is not called: a passing error is no damage.
func TestLogFails(t *testing.T) {
	var broken atomic.Bool
	synctestGroup(t, func(g *group) {
		g.wrap = func(name string, s logstore.Stores) logstore.Stores {
			if name == "n2" {
				s.Log = brokenLog{s.Log, &broken}
			}
			return s
		}
	}, func(t *testing.T, g *group) {
		l := g.leader()
		if l.name == "n2" {
			if err := l.rep.Transfer(t.Context(), "n0"); err != nil {
				t.Fatal(err)
			}
			l = g.leader("n2")
		}
		n2 := g.nodes["n2"].rep
		g.must(l, "before")
		g.settle()
		if err := n2.Health(); err != nil {
			t.Errorf("a working log: %v", err)
		}
		broken.Store(true)
		for range 100 {
			g.must(l, "meanwhile")
			time.Sleep(10 * time.Millisecond)
		}
		if err := n2.Health(); err == nil || !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EIO) {
			t.Errorf("its log fails: %v", err)
		}
		broken.Store(false)
		g.until(time.Minute, "health", func() bool {
			healthy := n2.Health() == nil
			if lag := l.rep.Applied() - n2.held(); healthy && lag > n2.cfg.Limits.CaughtUpEntries {
				t.Fatalf("it counts as well, %d entries behind", lag)
			}
			return healthy
		})
		g.settle()
		if g.failed.Load() != 0 {
			t.Error("OnFailed was called")
		}
	})
}

// TestTransferLeavesNothingUnknown: leadership moves again and again under load, and no command has an unknown outcome for that
// reason, even if the next leader has an entry before a quorum does: three of five members have slow disks.
func TestTransferLeavesNothingUnknown(t *testing.T) {
	simulate(t, 5, Limits{InFlight: 4}, func(t *testing.T, g *group) {
		g.leader()
		for _, name := range []string{"n2", "n3", "n4"} {
			g.nodes[name].disk.SetSync(50 * time.Millisecond)
		}
		stop := make(chan struct{})
		var clients sync.WaitGroup
		var applied atomic.Int64
		for c := range 20 {
			clients.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					for _, n := range g.sorted() {
						if !n.rep.IsLeader() {
							continue
						}
						_, err := n.rep.Propose(t.Context(), fmt.Appendf(nil, "%d/%d", c, i))
						switch api.CodeOf(err) {
						case "":
							applied.Add(1)
						case api.CodeNotLeader, api.CodeUnavailable:
						default:
							t.Errorf("%v", err)
						}
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		for range 10 {
			time.Sleep(time.Second)
			if err := g.leader().rep.Transfer(t.Context(), ""); err != nil {
				t.Error(err)
			}
		}
		close(stop)
		clients.Wait()
		if applied.Load() < 500 {
			t.Errorf("%d commands applied", applied.Load())
		}
		g.settle()
	})
}
