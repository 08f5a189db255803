package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

// planet is an event of three nodes, of which the last is down, and two groups.
func planet() *Event {
	return &Event{
		Status: api.Status{
			ClusterID: "0123456789abcdef", Sessions: 4, Leases: 120,
			Nodes: []api.NodeStatus{
				{Node: "us-east-1", Region: "us-east", Role: api.RoleServer, State: "up"},
				{Node: "eu-west-edge-1", Region: "eu-west", Role: api.RoleEdge, State: "up"},
				{Node: "us-east-2", Region: "us-east", Role: api.RoleServer, State: "unreachable"},
			},
			Groups: []api.GroupStatus{{Group: "us-east.1", Leader: "us-east-1", Term: 3}, {Group: "eu-west.1"}},
		},
		Live: &api.Live{
			Node: "us-east-1", Seq: 7,
			Nodes: []api.NodeLive{
				{Node: "us-east-1", AgeMs: 20, OverMs: 1000, ReadsLease: 10, ReadsOwner: 5, TimedLease: 2, TimedLeaseNs: 1400, Flows: []api.Flow{{Group: "us-east.1", Writes: 7, WriteUs: 70_000, Reads: 4, ReadUs: 10_000}}},
				{Node: "eu-west-edge-1", AgeMs: 300, OverMs: 2000, ReadsLease: 25_000, ReadsOwner: 400, ReadsStale: 3, TimedLease: 98, TimedLeaseNs: 38_600, Revoked: 4, Flows: []api.Flow{{Group: "us-east.1", Writes: 2}, {Group: "eu-west.1", Writes: 4, WriteUs: 60_000}}},
				{Node: "us-east-2", AgeMs: 9000, OverMs: 1000, ReadsLease: 999, TimedLease: 1, TimedLeaseNs: 1e9},
			},
			Groups: []api.GroupLive{{
				Group: "us-east.1", Node: "us-east-1", AgeMs: 100, Waiting: 2,
				Members: []api.MemberLive{{Node: "us-east-1", Voter: true}, {Node: "us-east-3", Voter: true, Heard: true, Lag: 4}, {Node: "us-east-2", Voter: true, Lag: -1}},
				Holders: []api.LeaseHolder{{Node: "a", Delayed: 2, DelayMs: 10}, {Node: "eu-west-edge-1", Delayed: 2, DelayMs: 500}},
			}},
			Alarms: []api.Alarm{{Text: "us-east-2 is unheard", Next: "start it"}},
		},
	}
}

// row is the row of the table that begins with name, with single spaces.
func row(t *testing.T, text, name string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == name {
			return strings.Join(f, " ")
		}
	}
	t.Errorf("there is no row %s in\n%s", name, text)
	return ""
}

// TestText shows rates a second, the leader and what it hears, and a node that is down with the age of what is known of it instead of
// rates.
func TestText(t *testing.T) {
	v := View{Event: planet(), Waited: 100 * time.Millisecond}
	text := v.Text()
	for name, want := range map[string]string{
		"us-east-1":      "us-east-1 up 0.1s 10 5 0 7 0",
		"eu-west-edge-1": "eu-west-edge-1 up 0.4s 12.5k 200 1.5 3 2",
		"us-east-2":      "us-east-2 DOWN 9.1s - - - - -",
		"us-east.1":      "us-east.1 us-east-1 3 0.2s 2/3 4 2 eu-west-edge-1 250ms",
		"eu-west.1":      "eu-west.1 NONE KNOWN 0 - - - -",
		"a":              "a second 12.5k 205 1.5 10 2",
		"mean":           "mean time 0.4us 2.5ms - 10.0ms",
	} {
		if got := row(t, text, name); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if !strings.Contains(text, "3 nodes, 1 down") || !strings.Contains(text, "us-east-2 is unheard; next: start it") {
		t.Errorf("\n%s", text)
	}
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 && !strings.HasPrefix(line, "us-east.1") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// TestOldNews says that the news is old, and how old, when the node that is asked has sent nothing for three seconds: then all nodes
// count as down.
func TestOldNews(t *testing.T) {
	v := View{Event: planet(), Waited: 4 * time.Second, From: "http://a:1", Problem: "no answer"}
	text := v.Text()
	if !strings.Contains(text, "NO NEWS for 4.0s: no answer") || row(t, text, "us-east-1") != "us-east-1 DOWN 4.0s - - - - -" {
		t.Errorf("\n%s", text)
	}
}

func TestOrders(t *testing.T) {
	for order, want := range map[Order]string{
		ByMap:    "us-east-1 eu-west-edge-1 us-east-2",
		ByReads:  "eu-west-edge-1 us-east-2 us-east-1",
		ByWrites: "us-east-1 eu-west-edge-1 us-east-2",
		ByAge:    "us-east-2 eu-west-edge-1 us-east-1",
	} {
		var names []string
		v := View{Event: planet(), Order: order}
		for _, n := range v.sorted() {
			names = append(names, string(n.Node))
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%v: %s, want %s", order, got, want)
		}
	}
}

// TestNothingOfATerminal lets no name or text of another machine do something to the terminal.
func TestNothingOfATerminal(t *testing.T) {
	e := planet()
	e.Nodes[0].Node, e.Live.Alarms[0].Text, e.Groups[0].Leader = "evil\x1b[2J\x07\xff", "a\x1b]0;x\x07\nb", "l\x9b\r"
	e.ClusterID, e.Nodes[1].State = "\x1bc", "\x1b[31m"
	v := View{Event: e, Problem: "\x1b[2J", From: "\x1b"}
	for _, l := range append(v.head(), v.body()...) {
		if l.text != printable(l.text) {
			t.Errorf("%q", l.text)
		}
	}
	v = View{Problem: "\x1b[2J", From: "\x1b"}
	if text := v.Text(); strings.Contains(text, "\x1b") {
		t.Errorf("%q", text)
	}
}

func TestFigures(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 0.26: "0.3", 7: "7", 12.4: "12", 9999: "9999", 12_345: "12.3k", 4.56e6: "4.6M", 7e9: "7.0G", -1: "-1"} {
		if got := count(x); got != want {
			t.Errorf("%v is %s, want %s", x, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0.0s", 1500 * time.Millisecond: "1.5s", 42 * time.Second: "42s", 10 * time.Minute: "10m", 5 * time.Hour: "5h"} {
		if got := seconds(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestKeys(t *testing.T) {
	for text, want := range map[string][]Key{
		"q": {KeyQuit}, "\x03": {KeyQuit}, "sj k": {KeySort, KeyDown, KeyPageDown, KeyUp}, "x": nil, "\x1b[A\x1b[B": {KeyUp, KeyDown},
		"\x1bOA": {KeyUp}, "\x1b[5~s": {KeyPageUp, KeySort}, "\x1b[Dq": nil, "\x1b": nil,
	} {
		if got := keysOf([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

// glass is a screen of a test. It is safe for concurrent use.
type glass struct {
	mu            sync.Mutex
	text          strings.Builder // guarded by mu
	columns, rows int             // guarded by mu
}

func (g *glass) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(b)
}

func (g *glass) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

func (g *glass) size() (columns, rows int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.columns, g.rows
}

func (g *glass) resize(columns, rows int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.columns, g.rows = columns, rows
}

// lines are the lines that were drawn last, without what makes them loud.
func (g *glass) lines() []string {
	text := g.String()
	text = text[strings.LastIndex(text, home)+len(home):]
	for _, s := range []string{clearLine, clearRest, loudly, quietly, enterScreen, leaveScreen} {
		text = strings.ReplaceAll(text, s, "")
	}
	return strings.Split(text, "\r\n")
}

// TestShow draws what comes in the size that the screen has, scrolls, sorts, counts up the age of old news, and leaves the screen as it
// was however it ends.
func TestShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &glass{columns: 60, rows: 12}
		keys, resized, updates := make(chan Key), make(chan struct{}), make(chan Update)
		s := Screen{Out: g, Size: g.size, Keys: keys, Resized: resized, Updates: updates, Colors: true}
		ended := make(chan error)
		go func() { ended <- s.Show(t.Context()) }()
		synctest.Wait()
		if l := g.lines(); len(l) != 12 || !strings.HasPrefix(l[0], "edgehold top: waiting") {
			t.Errorf("%q", l)
		}
		updates <- Update{Event: planet(), From: "http://a:1"}
		synctest.Wait()
		has := func(line int, want string) {
			t.Helper()
			l := g.lines()
			columns, rows := g.size()
			if len(l) != rows || !strings.HasPrefix(l[line], want) {
				t.Errorf("line %d is not %q:\n%s", line, want, strings.Join(l, "\n"))
			}
			for _, x := range l {
				if utf8.RuneCountInString(x) > columns {
					t.Errorf("over %d columns: %q", columns, x)
				}
			}
		}
		has(0, "cluster 0123456789abcdef  3 nodes, 1 down")
		has(3, "ALL NODES")
		has(8, "us-east-1")
		has(11, footer)
		if !strings.Contains(g.String(), loudly+"us-east-2") {
			t.Error("the node that is down does not stand out")
		}
		keys <- KeySort
		synctest.Wait()
		has(8, "eu-west-edge-1")
		keys <- KeyPageDown
		synctest.Wait()
		has(0, "cluster 0123456789abcdef")
		has(10, "us-east-2 is unheard")
		for range 50 {
			keys <- KeyUp
		}
		synctest.Wait()
		has(3, "ALL NODES")
		g.resize(30, 20)
		resized <- struct{}{}
		synctest.Wait()
		has(19, fit(footer, 30))
		time.Sleep(4 * time.Second)
		synctest.Wait()
		has(1, "NO NEWS for 4.0s")
		updates <- Update{Err: errors.New("it is down"), From: "http://a:1"}
		synctest.Wait()
		has(1, "NO NEWS for 4.0s: it is down")
		keys <- KeyQuit
		if err := <-ended; err != nil || !strings.HasPrefix(g.String(), enterScreen) || !strings.HasSuffix(g.String(), leaveScreen) {
			t.Errorf("%v", err)
		}
	})
}

// TestShowEnds returns why it ends, and leaves the screen each time.
func TestShowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			do   func(cancel context.CancelFunc, updates chan Update)
			want string
		}{
			"interrupted": {func(cancel context.CancelFunc, _ chan Update) { cancel() }, ""},
			"refused":     {func(_ context.CancelFunc, u chan Update) { u <- Update{Err: api.Errorf(api.CodeDenied, "no right")} }, "no right"},
			"over":        {func(_ context.CancelFunc, u chan Update) { close(u) }, "no more"},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			g := &glass{columns: 80, rows: 24}
			updates, ended := make(chan Update), make(chan error, 1)
			s := Screen{Out: g, Size: g.size, Updates: updates}
			go func() { ended <- s.Show(ctx) }()
			c.do(cancel, updates)
			err := <-ended
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || !strings.HasSuffix(g.String(), leaveScreen) {
				t.Errorf("%s: %v", name, err)
			}
			cancel()
		}
	})
}

// streaming is a node that sends the events, and then ends the stream with the last text.
func streaming(t *testing.T, status int, last string, events ...*Event) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != Path || r.Header.Get("Authorization") != "Bearer t" {
			t.Errorf("%s with %q", r.URL, r.Header)
		}
		w.WriteHeader(status)
		for _, e := range events {
			text, err := json.Marshal(e)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, ": a comment\n\nevent: live\ndata: %s\n\n", text)
		}
		_, _ = io.WriteString(w, last)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func source(addrs ...string) *Source {
	return &Source{HTTP: http.DefaultClient, Addrs: addrs, Token: func() (api.Secret, error) { return "t", nil }}
}

// TestOnce waits for rates, takes the next node if one fails, and fails if all do.
func TestOnce(t *testing.T) {
	early := planet()
	early.Live = &api.Live{Node: "early"}
	good := streaming(t, 200, "", early, planet())
	e, from, text, err := source("http://127.0.0.1:1", good).Once(t.Context())
	if err != nil || e.Live.Seq != 7 || from != good || !json.Valid(text) || len(e.Nodes) != 3 {
		t.Errorf("%v from %s: %+v", err, from, e)
	}
	for _, c := range []struct {
		node string
		want api.Code
		says string
	}{
		{streaming(t, 401, `{"code":"unauthenticated","detail":"a token is needed"}`), api.CodeUnauthenticated, "a token is needed"},
		{streaming(t, 404, `{"code":"not_found"}`), api.CodeNotFound, "upgrade"},
		{streaming(t, 200, "event: end\ndata: {\"code\":\"unavailable\",\"detail\":\"the node is closing\"}\n\n"), api.CodeUnavailable, "the node is closing"},
		{streaming(t, 200, "event: live\ndata: [1]\n\n"), api.CodeUnavailable, "not understood"},
		{streaming(t, 500, "<html>"), api.CodeInternal, "none of a node"},
		{"http://127.0.0.1:1", api.CodeUnavailable, "refused"},
	} {
		_, _, _, err := source(c.node).Once(t.Context())
		if api.CodeOf(err) != c.want || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %v with %q", err, c.want, c.says)
		}
	}
}
