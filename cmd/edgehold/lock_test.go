package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/api/lock"
)

// TestLockRuns: the command has the fence, its output and its exit status are those of edgehold lock, and the lock is free after it.
func TestLockRuns(t *testing.T) {
	p := newPlanet(t)
	for _, want := range []string{"1099511627777", "1099511627779"} { // each tenure is a put and a delete
		if got := p.must(t, "in", "lock", "jobs/nightly", "--", "sh", "-c", `printf "$EDGEHOLD_FENCE:"; cat`); got != want+":in" {
			t.Errorf("printed %q, want the fence %s", got, want)
		}
	}
	for script, status := range map[string]int{"exit 7": 7, "kill -TERM $$": 128 + 15, "kill -KILL $$": 128 + 9, "exit 0": 0} {
		if i := p.on(t, "", "lock", "l", "--", "sh", "-c", script); i.status != status || i.err != "" {
			t.Errorf("%s: exit %d, %s", script, i.status, i.err)
		}
	}
	if s, err := lock.Show(t.Context(), p.store, "l"); err != nil || s.Holder != nil {
		t.Errorf("the lock is held by %+v, %v", s.Holder, err)
	}
}

// TestLockFails compares the exit status and the one line that says what to do.
func TestLockFails(t *testing.T) {
	p := newPlanet(t)
	c := client.New(p.store)
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Lock(t.Context(), "held", time.Hour, client.LockOwner("alice")); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		args   string
		status int
		says   string
	}{
		{"lock held --wait 0s -- echo no", 3, "the lock is held by alice"},
		{"lock held --wait 50ms -- echo no", 3, "the lock is held by alice"},
		{"lock free -- /nothing/here", 1, "the command cannot be started"},
		{"lock a echo", 2, "-- and a command"}, {"lock a --", 2, "-- and a command"}, {"lock -- echo", 2, "-- and a command"},
		{"lock a --ttl 1ms -- echo", 2, "--ttl"}, {"lock a --wait -1s -- echo", 2, "--wait"}, {"lock a/ -- echo", 1, "slash"},
	} {
		i := p.on(t, "", strings.Fields(x.args)...)
		if i.status != x.status || !strings.Contains(i.err, x.says) || strings.Count(i.err, "\n") != 1 || i.out != "" {
			t.Errorf("%s: exit %d, %q, %q", x.args, i.status, i.out, i.err)
		}
	}
}

// TestLockIsLost: a command whose lock is lost gets SIGTERM.
func TestLockIsLost(t *testing.T) {
	p := newPlanet(t)
	p.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	i := p.on(t, "", "lock", "l", "--ttl", "300ms", "--", "sh", "-c", `trap 'echo ends; exit 0' TERM; while :; do sleep 0.02; done`)
	if i.status != 1 || i.out != "ends\n" || !strings.Contains(i.err, "the lock was lost") {
		t.Errorf("exit %d, %q, %q", i.status, i.out, i.err)
	}
}

// TestLostCommandIsKilled: a command that ignores SIGTERM is killed, and signals are passed on.
func TestLostCommandIsKilled(t *testing.T) {
	p := newPlanet(t)
	c := client.New(p.store)
	l, err := c.Lock(t.Context(), "l", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{terminal: &terminal{in: strings.NewReader(""), out: new(strings.Builder), err: new(strings.Builder)}}
	time.AfterFunc(100*time.Millisecond, func() { _ = c.Close() }) // which ends the renewals
	begun := time.Now()
	err = runHeld(a, l, []string{"sh", "-c", `trap '' TERM; while :; do sleep 0.02; done`}, 100*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "lost") || time.Since(begun) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	d := client.New(p.store)
	t.Cleanup(func() { _ = d.Close() })
	if l, err = d.Lock(t.Context(), "m", time.Hour); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Kill(syscall.Getpid(), syscall.SIGUSR1) })
	if status := exitStatus(runHeld(a, l, []string{"sh", "-c", `trap 'exit 9' USR1; while :; do sleep 0.02; done`}, time.Second)); status != 9 {
		t.Errorf("exit %d", status)
	}
}

// TestLostAsCommandEnds: the lock counts as lost if it was lost by the time the command has ended, whatever is noticed first.
func TestLostAsCommandEnds(t *testing.T) {
	c := client.New(newPlanet(t).store)
	l, err := c.Lock(t.Context(), "l", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	a := &app{terminal: &terminal{in: strings.NewReader(""), out: new(strings.Builder), err: new(strings.Builder)}}
	for range 4 {
		if err := runHeld(a, l, []string{"true"}, time.Second); err == nil || !strings.Contains(err.Error(), "lost") {
			t.Fatalf("the lock was lost: %v", err)
		}
	}
}

// TestExportLeavesLocksOut: an export has no entries of locks, so that it can be imported.
func TestExportLeavesLocksOut(t *testing.T) {
	p := newPlanet(t)
	c := client.New(p.store)
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Lock(t.Context(), "l", time.Hour); err != nil {
		t.Fatal(err)
	}
	p.must(t, "", "kv", "put", "l/a", "x")
	if out := p.must(t, "", "export"); !strings.Contains(out, `"l/a"`) || strings.Contains(out, ".lock") {
		t.Errorf("exported %s", out)
	}
	i := p.on(t, "", "kv", "put", "l/.lock/x", "y")
	if i.status != 1 || !strings.Contains(i.err, string(api.CodeInvalid)) || !strings.Contains(i.err, "/v1/locks") {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
}
