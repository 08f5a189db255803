package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// watching is a kv watch that runs, and the lines that it prints.
type watching struct {
	t      *testing.T
	out    *bufio.Reader
	err    strings.Builder // to be read once it has ended
	cancel context.CancelFunc
	ended  chan int
}

func (p *planet) watch(t *testing.T, args ...string) *watching {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	r, w := io.Pipe()
	x := &watching{t: t, out: bufio.NewReader(r), cancel: cancel, ended: make(chan int, 1)}
	env := map[string]string{"EDGEHOLD_ADDR": p.URL}
	go func() {
		status := run(ctx, append([]string{"kv", "watch"}, args...), &terminal{
			out: w, err: &x.err, errIsTTY: true, lookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		})
		_ = w.Close()
		x.ended <- status
	}()
	t.Cleanup(cancel)
	return x
}

// line returns the next line.
func (x *watching) line() string {
	x.t.Helper()
	l, err := x.out.ReadString('\n')
	if err != nil {
		x.t.Fatalf("%v: exit %d, %s", err, <-x.ended, x.err.String())
	}
	return strings.TrimSuffix(l, "\n")
}

// data returns the next line as JSON.
func (x *watching) data() (l watchLine) {
	x.t.Helper()
	if text := x.line(); json.Unmarshal([]byte(text), &l) != nil {
		x.t.Fatalf("printed %s", text)
	}
	return l
}

// interrupt ends the watch as Ctrl-C does, and returns what it has said.
func (x *watching) interrupt() (said string) {
	x.t.Helper()
	x.cancel()
	_, _ = io.Copy(io.Discard, x.out) // ends with the watch
	if status := <-x.ended; status != 0 {
		x.t.Errorf("exit %d", status)
	}
	return x.err.String()
}

// TestWatchPrintsChanges: a line for each change; what was printed can be gone on from; Ctrl-C is no failure.
func TestWatchPrintsChanges(t *testing.T) {
	p := newPlanet(t)
	p.must(t, "", "kv", "put", "a/there", "1")
	x := p.watch(t, "a/", "--list")
	if got := x.line(); got != "put\ta/there\t1.1\t1" {
		t.Fatalf("printed %q", got)
	}
	p.must(t, "", "kv", "put", "b", "not seen")
	p.must(t, "two\nlines", "kv", "put", "a/\xff", "-")
	p.must(t, "", "kv", "del", "a/there")
	for _, want := range []string{`put` + "\t" + `"a/\xff"` + "\t1.3\t" + `"two\nlines"`, "delete\ta/there\t1.4"} {
		if got := x.line(); got != want {
			t.Errorf("printed %q, want %q", got, want)
		}
	}
	said := x.interrupt()
	_, cursor, ok := strings.Cut(strings.TrimSpace(said), "to go on from here: --from ")
	if !ok {
		t.Fatalf("said %q", said)
	}
	p.must(t, "", "kv", "put", "a/later", "v")
	y := p.watch(t, "--prefix", "a/", "--keys-only", "--from", cursor)
	if got := y.line(); got != "put\ta/later\t1.5" {
		t.Errorf("printed %q", got)
	}
	y.interrupt()
	z := p.watch(t, "a/", "--keys-only", "--from", "oldest")
	for _, want := range []string{"put\ta/there\t1.1", `put` + "\t" + `"a/\xff"` + "\t1.3", "delete\ta/there\t1.4", "put\ta/later\t1.5"} {
		if got := z.line(); got != want {
			t.Errorf("from the oldest: printed %q, want %q", got, want)
		}
	}
	z.interrupt()
}

// TestWatchAsJSON: a line is what the HTTP API sends, with the cursor; a gap is there, and on the standard error.
func TestWatchAsJSON(t *testing.T) {
	p := newPlanet(t)
	x := p.watch(t, "a/", "-o", "json")
	ready := x.data()
	if ready.Event != "ready" || ready.Cursor == "" {
		t.Fatalf("printed %+v", ready)
	}
	p.must(t, "\xfe", "kv", "put", "a/k", "-")
	p.must(t, "", "kv", "del", "a/k")
	put := x.line()
	if want := `{"event":"put","key":"a/k","value_base64":"/g==","version":"1.1","cursor":"`; !strings.HasPrefix(put, want) {
		t.Errorf("printed %s, want %s", put, want)
	}
	if del := x.data(); del.Event != "delete" || *del.Key != "a/k" || del.Version != "1.2" || del.Value != nil || del.Expired {
		t.Errorf("printed %+v", del)
	}
	if said := x.interrupt(); said != "" {
		t.Errorf("said %q", said)
	}
	p.store.TrimHistory()
	y := p.watch(t, "a/", "--from", string(ready.Cursor), "-o", "json")
	if gap := y.data(); gap.Event != "gap" || *gap.Start != "a/" || *gap.End != "a0" || gap.Reason != api.GapTrimmed || gap.Cursor == ready.Cursor {
		t.Errorf("printed %+v", gap)
	}
	if said := y.interrupt(); said != `edgehold: changes of keys from "a/" to "a0" are missing (trimmed): list them again`+"\n" {
		t.Errorf("said %q", said)
	}
	z := p.watch(t, "a/", "--from", "oldest", "-o", "json")
	if gap, ready := z.data(), z.data(); gap.Event != "gap" || ready.Event != "ready" || len(ready.Cursor) < 10 {
		t.Errorf("from the oldest: printed %+v, %+v", gap, ready)
	}
	z.interrupt()
}

// TestWatchGoesOn: a watch outlives the connection that it is on.
func TestWatchGoesOn(t *testing.T) {
	p := newPlanet(t)
	x := p.watch(t, "-o", "json")
	x.until("ready")
	for _, value := range []string{"1", "2", "3"} {
		p.must(t, "", "kv", "put", "k", value)
		if got := x.until("put"); *got.Value != value {
			t.Fatalf("printed %+v", got)
		}
		p.CloseClientConnections()
	}
	x.interrupt()
}

// until returns the next line of the event.
func (x *watching) until(event string) watchLine {
	x.t.Helper()
	for {
		if l := x.data(); l.Event == event {
			return l
		}
	}
}

// TestWatchRefused: what keeps a watch from going on is an error of one line.
func TestWatchRefused(t *testing.T) {
	p := newPlanet(t)
	for args, status := range map[string]int{"a/ --from x": 1, "--list --from x": 2, "a b": 2, "a --prefix b": 2} {
		if i := p.on(t, "", append([]string{"kv", "watch"}, strings.Fields(args)...)...); i.status != status || strings.Count(i.err, "\n") != 1 {
			t.Errorf("%s: exit %d, %q", args, i.status, i.err)
		}
	}
	p.setFault(func(w http.ResponseWriter, _ *http.Request) bool { problem(w, api.CodeDenied); return true })
	if i := p.on(t, "", "kv", "watch"); i.status != 1 || !strings.Contains(i.err, "denied") {
		t.Errorf("exit %d, %q", i.status, i.err)
	}
}
