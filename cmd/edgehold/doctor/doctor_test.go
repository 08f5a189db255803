package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/clock"
)

// fakeNode answers with what a test has put here.
type fakeNode struct {
	status  *api.Status
	metrics string
	err     error
}

func (n *fakeNode) Status(context.Context) (*api.Status, error) { return n.status, n.err }

func (n *fakeNode) Fetch(_ context.Context, path string) ([]byte, error) {
	if path != "/metrics" {
		return nil, api.Errorf(api.CodeNotFound, "no such path")
	}
	return []byte(n.metrics), n.err
}

// examOf is an exam of a node, with a healthy machine around it.
func examOf(t *testing.T, n *fakeNode) *exam {
	t.Helper()
	x := &exam{Config: Config{rateOver: 10 * time.Millisecond, Node: n, Data: t.TempDir(), HTTP: http.DefaultClient, proc: t.TempDir(), sys: t.TempDir()}}
	if err := os.Chmod(x.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	x.status = func() (*api.Status, error) { return n.Status(t.Context()) }
	x.metrics = func() (samples, error) { return parseMetrics(n.metrics), n.err }
	write(t, x.sys, "devices/system/clocksource/clocksource0/current_clocksource", "tsc\n", 0o600)
	write(t, x.proc, "sys/net/core/somaxconn", "4096\n", 0o600)
	return x
}

func write(t *testing.T, folder, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// says checks that a check has one finding of the verdict whose text, with the next step, has the words in it.
func says(t *testing.T, found []Finding, verdict Verdict, words string) {
	t.Helper()
	for _, f := range found {
		if f.Verdict == verdict && strings.Contains(f.Says+"; "+f.Next, words) {
			if verdict != OK && f.Next == "" {
				t.Errorf("%q has no next step", f.Says)
			}
			return
		}
	}
	t.Errorf("no finding is %q with %q: %+v", verdict, words, found)
}

func TestClockSource(t *testing.T) {
	for source, want := range map[string]Verdict{"tsc": OK, "hyperv_clocksource_tsc_page": OK, "kvm-clock": Warn, "hpet": Warn} {
		x := examOf(t, &fakeNode{})
		write(t, x.sys, "devices/system/clocksource/clocksource0/current_clocksource", source+"\n", 0o600)
		says(t, clockSource(t.Context(), x), want, source)
	}
	x := examOf(t, &fakeNode{})
	x.sys = t.TempDir()
	says(t, clockSource(t.Context(), x), Skip, "not known")
}

func TestClockRate(t *testing.T) {
	for _, c := range []struct {
		disturb func(*clock.Simulated)
		want    Verdict
	}{
		{func(*clock.Simulated) {}, OK},
		{func(s *clock.Simulated) { s.Slew(1.0004) }, OK},
		{func(s *clock.Simulated) { s.Slew(0.995) }, Warn},
		{func(s *clock.Simulated) { s.Slew(1.02) }, Fail},
		{func(s *clock.Simulated) { s.Stop() }, Fail},
	} {
		synctest.Test(t, func(t *testing.T) {
			x := examOf(t, &fakeNode{})
			x.rateOver = time.Second
			s := clock.NewSimulated(time.Now)
			c.disturb(s)
			x.Clock = s
			says(t, clockRate(t.Context(), x), c.want, "")
		})
	}
}

// at is a node of another machine, whose date is off by so much.
func at(t *testing.T, off time.Duration) api.NodeStatus {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
	}))
	t.Cleanup(s.Close)
	return api.NodeStatus{Node: api.NodeID("n" + off.String()), Role: api.RoleServer, URL: s.URL, State: "up"}
}

func TestDates(t *testing.T) {
	for _, c := range []struct {
		off  time.Duration
		want Verdict
	}{{0, OK}, {-3 * time.Second, OK}, {20 * time.Second, Warn}, {-time.Minute, Warn}, {10 * 365 * 24 * time.Hour, Fail}, {-time.Hour, Fail}} {
		x := examOf(t, &fakeNode{status: &api.Status{Nodes: []api.NodeStatus{at(t, 0), at(t, c.off)}}})
		says(t, dates(t.Context(), x), c.want, "")
	}
	x := examOf(t, &fakeNode{status: &api.Status{}})
	says(t, dates(t.Context(), x), Skip, "no node")
}

// TestReach checks the addresses of servers: one that refuses connections, and one at which something else answers.
func TestReach(t *testing.T) {
	gone := at(t, 0)
	gone.URL, gone.Node = "http://127.0.0.1:1", "gone"
	odd := at(t, 0)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }))
	defer s.Close()
	odd.URL, odd.Node = s.URL, "odd"
	edge := gone
	edge.Role, edge.Node = api.RoleEdge, "edge"
	all := &api.Status{Nodes: []api.NodeStatus{at(t, 0), gone, odd, edge}}
	found := reach(t.Context(), examOf(t, &fakeNode{status: all}))
	says(t, found, Fail, "gone does not answer here at http://127.0.0.1:1: ")
	says(t, found, Fail, "odd does not answer")
	if len(found) != 2 {
		t.Errorf("an edge need not be reached: %+v", found)
	}
	all.Nodes = all.Nodes[:1]
	says(t, reach(t.Context(), examOf(t, &fakeNode{status: all})), OK, "all 1 servers")
}

func TestFsync(t *testing.T) {
	x := examOf(t, &fakeNode{})
	found := fsync(t.Context(), x)
	if len(found) != 1 || !strings.Contains(found[0].Says, "99 of 100 writes") || !strings.Contains(found[0].Says, "(of 200)") {
		t.Errorf("%+v", found)
	}
	if left, err := os.ReadDir(x.Data); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	x.Data = filepath.Join(x.Data, "nothing")
	says(t, fsync(t.Context(), x), Fail, "see that the disk is well")
	x.Data = ""
	says(t, fsync(t.Context(), x), Skip, "--data")
}

func TestDiskSpace(t *testing.T) {
	const gib = 1 << 30
	for free, want := range map[uint64]Verdict{100 * gib: OK, 16 * gib: OK, 14 * gib: Warn, 4 * gib: Fail, 0: Fail} {
		says(t, judgeSpace(free, 100*gib), want, "of 100.0 GiB")
	}
	x := examOf(t, &fakeNode{})
	if found := diskSpace(t.Context(), x); len(found) != 1 || found[0].Verdict == Skip {
		t.Errorf("%+v", found)
	}
	x.Data = filepath.Join(x.Data, "nothing")
	says(t, diskSpace(t.Context(), x), Fail, "--data")
}

// TestFileModes checks the data folder, and each secret in it.
func TestFileModes(t *testing.T) {
	x := examOf(t, &fakeNode{})
	says(t, fileModes(t.Context(), x), OK, "only the node's user")
	for _, name := range secrets {
		write(t, x.Data, name, "secret", 0o600)
	}
	write(t, x.Data, "identity/cert.pem", "for all to see", 0o644)
	says(t, fileModes(t.Context(), x), OK, "only the node's user")
	for _, name := range secrets {
		path := filepath.Join(x.Data, name)
		for _, mode := range []os.FileMode{0o640, 0o604} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			says(t, fileModes(t.Context(), x), Fail, "chmod 600 "+path)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{x.Data, filepath.Join(x.Data, "identity")} {
		if err := os.Chmod(folder, 0o750); err != nil {
			t.Fatal(err)
		}
		says(t, fileModes(t.Context(), x), Fail, "chmod 700 "+folder)
	}
}

func TestInitFolder(t *testing.T) {
	x := examOf(t, &fakeNode{})
	says(t, initFolder(t.Context(), x), OK, "--init")
	x.Init = t.TempDir()
	says(t, initFolder(t.Context(), x), OK, "is gone")
	write(t, x.Init, "ca-key.pem", "secret", 0o600)
	says(t, initFolder(t.Context(), x), Warn, "rm -r "+x.Init)
	x.Init = filepath.Join(x.Init, "nothing")
	says(t, initFolder(t.Context(), x), OK, "is gone")
}

func TestBacklog(t *testing.T) {
	for value, want := range map[string]Verdict{"4096": OK, "128": Warn, "?": Warn} {
		x := examOf(t, &fakeNode{})
		write(t, x.proc, "sys/net/core/somaxconn", value+"\n", 0o600)
		says(t, backlog(t.Context(), x), want, value)
	}
	x := examOf(t, &fakeNode{})
	x.proc = t.TempDir()
	says(t, backlog(t.Context(), x), Skip, "not known")
}

func TestDescriptors(t *testing.T) {
	for _, c := range []struct {
		open, limit int
		want        Verdict
	}{{100, 65536, OK}, {100, 1024, Warn}, {900, 1024, Fail}, {60000, 65536, Fail}} {
		text := fmt.Sprintf("# HELP process_max_fds x\nprocess_max_fds %d\nprocess_open_fds %d\nother{a=\"b c\"} 1\n", c.limit, c.open)
		says(t, descriptors(t.Context(), examOf(t, &fakeNode{metrics: text})), c.want, fmt.Sprint(c.limit))
	}
	says(t, descriptors(t.Context(), examOf(t, &fakeNode{metrics: "x 1\n"})), Skip, "not known")
}

// planet is the status of three servers on hosts of their own, with one group.
func planet(hosts ...string) *api.Status {
	s := &api.Status{Groups: []api.GroupStatus{{Group: "r.1", Leader: "s1"}}}
	for i, host := range hosts {
		id := api.NodeID(fmt.Sprintf("s%d", i+1))
		s.Nodes = append(s.Nodes, api.NodeStatus{Node: id, Role: api.RoleServer, URL: "http://" + host, State: "up"})
		s.Groups[0].Voters = append(s.Groups[0].Voters, id)
	}
	return s
}

func TestNodesAndGroups(t *testing.T) {
	for _, c := range []struct {
		servers int
		down    []int
		change  func(*api.Status)
		node    Verdict
		group   Verdict
		words   string
	}{
		{servers: 3, node: OK, group: OK, words: "each may lose a voter"},
		{servers: 3, down: []int{2}, node: Fail, group: Warn, words: "2 of 3 voters: with one less"},
		{servers: 3, down: []int{1, 2}, node: Fail, group: Fail, words: "1 of 3 voters, and needs 2"},
		{servers: 5, down: []int{4}, node: Fail, group: OK, words: "each may lose a voter"},
		{servers: 1, node: OK, group: Warn, words: "1 of 3 voters: none may fail"},
		{servers: 3, change: func(s *api.Status) { s.Groups[0].Leader = "" }, node: OK, group: Fail, words: "no leader"},
	} {
		s := planet(slices.Repeat([]string{"10.0.0.1:7400"}, c.servers)...)
		for _, i := range c.down {
			s.Nodes[i].State = "unreachable"
		}
		if c.change != nil {
			c.change(s)
		}
		x := examOf(t, &fakeNode{status: s})
		says(t, nodes(t.Context(), x), c.node, "answer")
		says(t, groups(t.Context(), x), c.group, c.words)
	}
}

// TestNodeStates checks nodes that answer and are not well, and what the leader of the map's group says in words.
func TestNodeStates(t *testing.T) {
	s := planet("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
	x := examOf(t, &fakeNode{status: s})
	says(t, troubles(t.Context(), x), OK, "nothing")
	s.Nodes[0].State, s.Nodes[0].Reason = "refused", "its key is another"
	s.Nodes[1].State = "draining"
	s.Troubles = []string{"s9 unheard for 12m, no spare server in us-east: add one"}
	says(t, nodes(t.Context(), x), Fail, "the cluster refuses s1: its key is another")
	says(t, nodes(t.Context(), x), Warn, "undrain s2")
	says(t, troubles(t.Context(), x), Warn, "s9 unheard for 12m")
}

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		cluster int
		nodes   [3]int
		want    Verdict
		words   string
	}{
		{3, [3]int{3, 3, 3}, OK, "level 3"},
		{0, [3]int{3, 3, 3}, Warn, "level-hold"},
		{0, [3]int{3, 0, 0}, Warn, "s2, s3 hold the cluster at level 0"},
		{3, [3]int{4, 4, 3}, Warn, "s3 hold the cluster at level 3, and others know 4"},
	} {
		s := planet("a:1", "b:1", "c:1")
		s.Level = c.cluster
		for i := range s.Nodes {
			s.Nodes[i].Level = c.nodes[i]
		}
		says(t, levels(t.Context(), examOf(t, &fakeNode{status: s})), c.want, c.words)
	}
}

func TestMaps(t *testing.T) {
	s := planet("a:1", "b:1", "c:1")
	s.Nodes[0].MapVersion, s.Nodes[1].MapVersion = 7, 7 // the third does not answer
	says(t, maps(t.Context(), examOf(t, &fakeNode{status: s})), OK, "version 7")
	s.Nodes[2].MapVersion = 5
	says(t, maps(t.Context(), examOf(t, &fakeNode{status: s})), Warn, "s3 (5)")
}

func TestHosts(t *testing.T) {
	for _, c := range []struct {
		hosts []string
		want  Verdict
		words string
	}{
		{[]string{"a:1", "b:1", "c:1"}, OK, "any machine"},
		{[]string{"a:1", "a:2", "c:1"}, Warn, "2 of its 3 voters on a"},
		{[]string{"a:1", "a:2", "a:3"}, Warn, "3 of its 3 voters on a"},
		{[]string{"a:1", "a:2", "c:1", "d:1", "e:1"}, OK, "any machine"},
		{[]string{"a:1"}, OK, "any machine"},
		{[]string{"127.0.0.1:1", "127.0.0.1:2"}, OK, "for development"},
		{[]string{"[::1]:1", "[::1]:2"}, OK, "for development"},
	} {
		says(t, hosts(t.Context(), examOf(t, &fakeNode{status: planet(c.hosts...)})), c.want, c.words)
	}
}

// TestWithoutRights checks that doctor says which checks it could not make, and why: for want of a right, or of an answer.
func TestWithoutRights(t *testing.T) {
	ask := []string{"date", "descriptors", "nodes", "groups", "reach", "hosts"}
	for _, c := range []struct {
		code  api.Code
		want  Verdict
		words string
	}{
		{api.CodeUnauthenticated, Skip, "--token with the right observe"},
		{api.CodeDenied, Skip, "--token with the right observe"},
		{api.CodeUnavailable, Fail, "--addr"},
	} {
		x := examOf(t, &fakeNode{err: api.Errorf(c.code, "no")})
		x.Clock = clock.System()
		found := Run(t.Context(), x.Config)
		for _, name := range ask {
			i := slices.IndexFunc(found, func(f Finding) bool { return f.Check == name })
			if i < 0 {
				t.Fatalf("%s has no line", name)
			}
			says(t, found[i:i+1], c.want, c.words)
		}
	}
}

// cutOff reaches no node.
type cutOff struct{}

func (cutOff) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("cut off") }

// TestEachCheckSpeaks checks that each row of the table prints something, with the next step unless all is well.
func TestEachCheckSpeaks(t *testing.T) {
	found := Run(t.Context(), Config{
		Node: &fakeNode{status: planet("10.0.0.1:1"), metrics: "process_max_fds 65536\n"},
		HTTP: &http.Client{Transport: cutOff{}}, rateOver: time.Millisecond,
	})
	for _, c := range checks {
		i := slices.IndexFunc(found, func(f Finding) bool { return f.Check == c.name })
		switch {
		case i < 0:
			t.Errorf("%s says nothing", c.name)
		case found[i].Says == "" || (found[i].Next == "") != (found[i].Verdict == OK):
			t.Errorf("%+v", found[i])
		}
	}
}
