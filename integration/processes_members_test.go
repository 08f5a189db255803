package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestProcessesMembers is servers that come and go as processes, under load.
func TestProcessesMembers(t *testing.T) {
	skipUnderRace(t, "starts processes")
	t.Parallel()
	f := newFleet(t, buildBinary(t))
	s1 := f.server(t, "s1", "r", "")
	s2, s3 := f.server(t, "s2", "r", s1.address), f.server(t, "s3", "r", s1.address)
	edge := f.edge(t, "e1", "r", s1.address+","+s2.address)
	ready(t, f.nodes...)
	var s4 *daemon
	t.Run("ReplacedForGood", func(t *testing.T) { s4 = testReplacedForGood(t, f, s1, s3, edge) })
	if t.Failed() {
		return
	}
	t.Run("RollingRestart", func(t *testing.T) { testRollingRestart(t, f, edge, s1, s2, s4) })
	f.nodes = []*daemon{s1, s2, s4, edge}
	f.stop(t)
}

// testReplacedForGood kills a server for good under load and replaces it with one order by a new one: nothing is lost. The dead one,
// started again, is told that it was removed, and ends with status 3.
func testReplacedForGood(t *testing.T, f *fleet, at, dead, edge *daemon) (next *daemon) {
	mustPut(t, edge, "kept", "as it was")
	leaseAt(t, edge, "kept")
	l := startLoad(t, edge, edge)
	eventually(t, time.Minute, "writers are at work", func() bool { return l.acknowledged.Load() > 100 })
	dead.kill()
	next = f.server(t, "s4", "r", at.address)
	ready(t, next)
	c := at.command(t, "cluster", "replace", "s3", "s4")
	c.done(t)
	if got := c.out.String(); got != "s4 votes in 2 groups\n" {
		t.Errorf("it says %q after %q", got, c.errOut.String())
	}
	acked := l.acknowledged.Load()
	eventually(t, time.Minute, "writers go on", func() bool { return t.Failed() || l.acknowledged.Load() > acked+100 })
	l.end()
	voters := groupOf(t, at, "r").Voters // in the order in which they joined
	slices.Sort(voters)
	if fmt.Sprint(voters) != "[s1 s2 s4]" {
		t.Errorf("voters %v", voters)
	}
	ready(t, next)
	l.check(next, edge)

	dead.start(t)
	select {
	case <-dead.exited:
		if code := dead.cmd.ProcessState.ExitCode(); code != 3 || !strings.Contains(string(dead.logTail()), "node s3 was removed from the cluster") {
			t.Errorf("the removed server ended with status %d", code)
		}
	case <-time.After(30 * time.Second):
		t.Error("the removed server goes on")
	}
	t.Logf("%d writes acknowledged", l.acknowledged.Load())
	return next
}

// testRollingRestart restarts the servers one after the other, as for an upgrade, under load through a gateway that stays: the SDK
// sees no failed request, and neither does a client of plain HTTP that repeats none.
func testRollingRestart(t *testing.T, f *fleet, edge *daemon, servers ...*daemon) {
	l := startRolling(t, edge)
	for _, d := range servers {
		before := l.done.Load()
		eventually(t, time.Minute, "requests are answered", func() bool { return t.Failed() || l.done.Load() > before+50 })
		d.stop(t)
		d.start(t)
		ready(t, d)
	}
	l.end()
	t.Logf("%d requests of HTTP and the SDK while %d servers were restarted, the longest took %v", l.done.Load(), len(servers), time.Duration(l.worst.Load()).Round(time.Millisecond))
}

// rolling is clients whose every request must succeed.
type rolling struct {
	quit        chan struct{}
	once        sync.Once
	tasks       sync.WaitGroup
	done, worst atomic.Int64
}

func startRolling(t *testing.T, at *daemon) *rolling {
	l := &rolling{quit: make(chan struct{})}
	sdk := open(t, at)
	for i := range 2 {
		l.repeat(func(n int) error {
			_, err := sdk.Put(context.Background(), "sdk", fmt.Appendf(nil, "%d-%d", i, n))
			return err
		}, t)
		l.repeat(func(n int) error { return l.put(at, fmt.Sprintf("http/%d", i), fmt.Sprint(n)) }, t)
	}
	t.Cleanup(l.end)
	return l
}

// put writes by one request of plain HTTP, and reads it back by another.
func (l *rolling) put(at *daemon, key, value string) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPut, at.url()+"/v1/kv/"+key, strings.NewReader(value))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	if r := at.get("/v1/kv/" + key); r.err != nil || r.status != http.StatusOK || r.body != value {
		return fmt.Errorf("read %d %q of %q: %w", r.status, r.body, value, r.err)
	}
	return nil
}

func (l *rolling) repeat(f func(n int) error, t *testing.T) {
	l.tasks.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-l.quit:
				return
			case <-time.After(5 * time.Millisecond):
			}
			began := time.Now()
			if err := f(n); err != nil {
				t.Errorf("request %d failed after %v: %v", n, time.Since(began), err)
				return
			}
			l.done.Add(1)
			if took := int64(time.Since(began)); took > l.worst.Load() {
				l.worst.Store(took)
			}
		}
	})
}

func (l *rolling) end() {
	l.once.Do(func() { close(l.quit) })
	l.tasks.Wait()
}
