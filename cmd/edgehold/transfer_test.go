package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
	"github.com/edgehold/edgehold/cmd/edgehold/transfer"
)

// sample returns n records, some of them binary.
func sample(n int) string {
	var b strings.Builder
	for i := range n {
		switch i % 5 {
		case 0:
			key := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "\xff%d", i))
			fmt.Fprintf(&b, `{"key_base64":%q,"value_base64":"AAH+"}`+"\n", key)
		case 1:
			fmt.Fprintf(&b, `{"key":"r%d/\"quoted\"/%d","value":"<\n\t\u0001ü😀>"}`+"\n", i%3, i)
		default:
			fmt.Fprintf(&b, `{"key":"r%d/%d","value":"value %d"}`+"\n", i%3, i, i)
		}
	}
	return b.String()
}

func lineCount(text string) int { return strings.Count(text, "\n") }

func readCounts(t *testing.T, text string) transfer.Result {
	t.Helper()
	var c transfer.Result
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return c
}

// importState is the part of the state file that these tests read.
type importState struct{ Lines int64 }

// readState reads a state file. If it does not exist, no lines are done.
func readState(name string) (s importState, err error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	return s, errors.Join(err, json.Unmarshal(text, &s))
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

func TestRoundTrip(t *testing.T) {
	p, q := newPlanet(t), newPlanet(t)
	file := writeFile(t, "in.jsonl", sample(1500))
	counts := readCounts(t, p.must(t, "", "import", file, "-o", "json"))
	if counts.Records != 1500 || counts.Bytes == 0 || counts.Failed != 0 || counts.Seconds <= 0 || counts.RecordsPerSecond <= 0 {
		t.Errorf("%+v", counts)
	}
	if exists(file + ".progress") {
		t.Error("the state of a complete import is still there")
	}
	first := p.must(t, "", "export")
	q.must(t, first, "import", "-")
	again := q.must(t, "", "export")
	if a, b := withoutVersions(t, first), withoutVersions(t, again); a != b || lineCount(first) < 1400 {
		t.Errorf("%d lines came back as %d", lineCount(a), lineCount(b))
	}
	part := p.must(t, "", "export", "--prefix", "r1/")
	if n := strings.Count(first, `{"key":"r1/`); n == 0 || lineCount(part) != n {
		t.Errorf("%d lines of %d", lineCount(part), n)
	}
}

func withoutVersions(t *testing.T, lines string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(lines) {
		r, err := record.Parse([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%q %q\n", r.Key, r.Value)
	}
	return b.String()
}

func TestExportToFile(t *testing.T) {
	p := newPlanet(t)
	p.must(t, sample(1300), "import", "-")
	whole := p.must(t, "", "export")
	file := filepath.Join(t.TempDir(), "out.jsonl")
	check := func(what string) {
		t.Helper()
		if got, err := os.ReadFile(file); err != nil || string(got) != whole {
			t.Errorf("%s: %d bytes of %d, %v", what, len(got), len(whole), err)
		}
	}
	if out := p.must(t, "", "export", "--output", file); !strings.Contains(out, "records/s") {
		t.Errorf("it printed %q", out)
	}
	check("new")
	if i := p.on(t, "", "export", "--output", file, "--resume"); i.status != 1 || !strings.Contains(i.err, "not an interrupted export") {
		t.Errorf("of a whole file: exit %d, %s", i.status, i.err)
	}
	check("whole")
	cluster := p.admin.status.ClusterID
	for _, keep := range []int{0, 7, 1000, len(whole) / 2, len(whole) - 1, len(whole)} {
		if err := errors.Join(os.WriteFile(file, []byte(whole[:keep]), 0o600), os.WriteFile(file+".export", []byte(cluster), 0o600)); err != nil {
			t.Fatal(err)
		}
		counts := readCounts(t, p.must(t, "", "export", "--output", file, "--resume", "-o", "json"))
		check(fmt.Sprint("resumed after ", keep))
		if int(counts.Records+counts.SkippedLines) != lineCount(whole) || int(counts.SkippedLines) != lineCount(whole[:keep]) {
			t.Errorf("after %d: %+v", keep, counts)
		}
	}
	p.must(t, "", "export", "--output", file)
	check("anew")
	if err := os.WriteFile(file+".export", []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if i := p.on(t, "", "export", "--output", file, "--resume"); i.status != 1 || !strings.Contains(i.err, "from the cluster another") {
		t.Errorf("of another cluster: exit %d, %s", i.status, i.err)
	}
	check("of another cluster")
	if err := os.WriteFile(file+".export", []byte(cluster), 0o600); err != nil {
		t.Fatal(err)
	}
	if i := p.on(t, "", "export", "--output", file, "--resume", "--prefix", "aaa"); i.status != 1 || !strings.Contains(i.err, "not of this export") {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
	check("refused")
}

func TestExportFails(t *testing.T) {
	p := newPlanet(t)
	p.must(t, sample(1300), "import", "-")
	whole := p.must(t, "", "export")
	var lists atomic.Int64
	p.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/kv" || lists.Add(1) < 2 {
			return false
		}
		problem(w, api.CodeUnavailable)
		return true
	})
	file := filepath.Join(t.TempDir(), "out.jsonl")
	if i := p.on(t, "", "export", "--output", file, "--timeout", "300ms"); i.status != 1 {
		t.Errorf("exit %d", i.status)
	}
	p.setFault(nil)
	p.must(t, "", "export", "--output", file, "--resume")
	if got, _ := os.ReadFile(file); string(got) != whole {
		t.Errorf("%d bytes of %d", len(got), len(whole))
	}
}

// TestImportResumes stops an import in the middle and runs it again: it continues, and nothing is lost.
func TestImportResumes(t *testing.T) {
	p := newPlanet(t)
	file := writeFile(t, "in.jsonl", sample(2000))
	var puts atomic.Int64
	p.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || puts.Add(1) <= 900 {
			return false
		}
		problem(w, api.CodeDenied)
		return true
	})
	i := p.on(t, "", "import", file, "--concurrency", "8", "-o", "json")
	first := readCounts(t, i.out)
	if i.status != 1 || !strings.Contains(i.err, file+":") || first.Records != 900 || first.Failed == 0 {
		t.Fatalf("exit %d, %+v, %s", i.status, first, i.err)
	}
	state, err := readState(file + ".progress")
	if err != nil || state.Lines < 1 || state.Lines > 900 {
		t.Fatalf("%+v, %v", state, err)
	}
	p.setFault(nil)
	second := readCounts(t, p.must(t, "", "import", file, "-o", "json"))
	if second.SkippedLines != state.Lines || second.Records != 2000-state.Lines {
		t.Errorf("%+v after %+v", second, state)
	}
	q := newPlanet(t)
	q.must(t, sample(2000), "import", "-")
	if withoutVersions(t, p.must(t, "", "export")) != withoutVersions(t, q.must(t, "", "export")) {
		t.Error("an import in two parts is not the same as one")
	}
}

// TestImportNoticesAnotherFile changes the input of an interrupted import. If a line that is done has changed, nothing is put and the
// state is kept. Later lines may change.
func TestImportNoticesAnotherFile(t *testing.T) {
	p := newPlanet(t)
	file := writeFile(t, "in.jsonl", sample(20)+"broken\n")
	if i := p.on(t, "", "import", file); i.status != 1 {
		t.Fatalf("exit %d", i.status)
	}
	before, err := os.ReadFile(file + ".progress")
	if err != nil {
		t.Fatal(err)
	}
	puts := 0
	p.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			puts++
		}
		return false
	})
	for name, text := range map[string]string{
		"the last line that is done":   strings.Replace(sample(20), `"value 19"`, `"value 99"`, 1),
		"an early line":                strings.Replace(sample(30), `"value 2"`, `"value of another length"`, 1),
		"an early line, of one length": strings.Replace(sample(20)+"broken\n", `"value 2"`, `"VALUE 2"`, 1),
		"two lines in another order":   swapped(sample(20)),
		"shorter":                      sample(5),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if i := p.on(t, "", "import", file); i.status != 1 || !strings.Contains(i.err, "has changed") || !strings.Contains(i.err, "remove "+file+".progress") {
				t.Errorf("%s: exit %d, %s", name, i.status, i.err)
			}
		}
		if after, err := os.ReadFile(file + ".progress"); err != nil || string(after) != string(before) || puts != 0 {
			t.Errorf("%s: %d records were put, and of the state %s came %s, %v", name, puts, before, after, err)
		}
	}
	if err := os.WriteFile(file, []byte(sample(30)), 0o600); err != nil {
		t.Fatal(err)
	}
	if counts := readCounts(t, p.must(t, "", "import", file, "-o", "json")); counts.SkippedLines != 20 || counts.Records != 10 {
		t.Errorf("%+v", counts)
	}
}

// swapped returns the text with its first two lines exchanged.
func swapped(text string) string {
	lines := strings.SplitAfter(text, "\n")
	lines[0], lines[1] = lines[1], lines[0]
	return strings.Join(lines, "")
}

// TestImportIntoAnotherCluster continues an import into another cluster, which is refused until the state file is removed. A state
// file that does not name its cluster is refused too.
func TestImportIntoAnotherCluster(t *testing.T) {
	p, q := newPlanet(t), newPlanet(t)
	q.admin.status.ClusterID = "another"
	file := writeFile(t, "in.jsonl", sample(20)+"broken\n")
	if i := p.on(t, "", "import", file); i.status != 1 {
		t.Fatalf("exit %d", i.status)
	}
	if err := os.WriteFile(file, []byte(sample(30)), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		i := q.on(t, "", "import", file)
		if i.status != 1 || !strings.Contains(i.err, "into the cluster c1") || !strings.Contains(i.err, "this is the cluster another") || !strings.Contains(i.err, "remove "+file+".progress") {
			t.Errorf("exit %d, %s", i.status, i.err)
		}
	}
	if text := q.must(t, "", "export"); text != "" {
		t.Errorf("the other cluster has got %d lines", lineCount(text))
	}
	if err := os.Remove(file + ".progress"); err != nil {
		t.Fatal(err)
	}
	if counts := readCounts(t, q.must(t, "", "import", file, "-o", "json")); counts.Records != 30 || counts.SkippedLines != 0 {
		t.Errorf("%+v", counts)
	}
	if err := os.WriteFile(file+".progress", []byte(`{"lines":20,"last":"7"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if i := q.on(t, "", "import", file); i.status != 1 || !strings.Contains(i.err, "does not name its cluster") || !strings.Contains(i.err, "remove ") {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
}

func TestImportReportsLines(t *testing.T) {
	p := newPlanet(t)
	lines := sample(3) + "\n" + `{"key":"x"}` + "\n" + `{"key":"last","value":"1"}` // blank, broken, without an end
	i := p.on(t, lines, "import", "-", "-o", "json")
	counts := readCounts(t, i.out)
	if i.status != 1 || counts.Records != 4 || counts.Failed != 1 || !strings.Contains(i.err, "-:5: value or value_base64 is missing") {
		t.Errorf("exit %d, %+v, %s", i.status, counts, i.err)
	}
	if got := p.must(t, "", "kv", "get", "last"); got != "1" {
		t.Errorf("got %q", got)
	}
	i = p.on(t, strings.Repeat("no\n", 500), "import", "-", "-o", "json")
	if counts := readCounts(t, i.out); i.status != 1 || counts.Failed != 100 || lineCount(i.err) != 101 {
		t.Errorf("exit %d, %+v, %d lines", i.status, counts, lineCount(i.err))
	}
	if i := p.on(t, strings.Repeat("x", record.MaxLine+2), "import", "-"); i.status != 1 || !strings.Contains(i.err, "-:1: the line is longer") {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
}

func TestImportStopsWhereItIsRefused(t *testing.T) {
	p := newPlanet(t)
	p.setFault(func(w http.ResponseWriter, _ *http.Request) bool { problem(w, api.CodeDenied); return true })
	i := p.on(t, sample(1000), "import", "-", "--concurrency", "4", "-o", "json")
	if counts := readCounts(t, i.out); i.status != 1 || counts.Failed == 0 || counts.Failed > 20 || !strings.Contains(i.err, "check --token") {
		t.Errorf("exit %d, %+v, %s", i.status, counts, i.err)
	}
}

// TestImportKeepsTheOrderOfAKey writes a key many times with many workers: it has the value of the last line.
func TestImportKeepsTheOrderOfAKey(t *testing.T) {
	p := newPlanet(t)
	var lines strings.Builder
	for n := range 600 {
		fmt.Fprintf(&lines, `{"key":"k%d","value":"%d"}`+"\n", n%2, n)
	}
	p.must(t, lines.String(), "import", "-", "--concurrency", "64")
	for key, want := range map[string]string{"k0": "598", "k1": "599"} {
		if got := p.must(t, "", "kv", "get", key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
}

// TestImportIsInterrupted ends the context while records are in flight: they are finished and counted.
func TestImportIsInterrupted(t *testing.T) {
	p := newPlanet(t)
	file := writeFile(t, "in.jsonl", sample(1500))
	ctx, cancel := context.WithCancel(context.Background())
	var puts atomic.Int64
	p.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && puts.Add(1) == 500 {
			cancel()
		}
		return false
	})
	i := &invocation{ctx: ctx, env: map[string]string{"EDGEHOLD_ADDR": p.URL}}
	i.run("import", file, "--concurrency", "16", "-o", "json")
	counts := readCounts(t, i.out)
	state, err := readState(file + ".progress")
	// A record may not have begun when the context ended although later ones had. It and all later ones are done again.
	if i.status != 1 || !strings.Contains(i.err, "interrupted") || err != nil || counts.Failed != 0 ||
		counts.Records < 500 || counts.Records == 1500 || state.Lines == 0 || state.Lines > counts.Records {
		t.Errorf("exit %d, %+v, %+v, %v, %s", i.status, counts, state, err, i.err)
	}
}

// TestImportInterruptedWhileItWaitsForInput ends the context during a read that blocks.
func TestImportInterruptedWhileItWaitsForInput(t *testing.T) {
	p := newPlanet(t)
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	defer w.Close()
	var once sync.Once
	p.setFault(func(http.ResponseWriter, *http.Request) bool { once.Do(cancel); return false })
	go func() { _, _ = io.WriteString(w, `{"key":"a","value":"b"}`+"\n") }()
	var out, errOut strings.Builder
	status := run(ctx, []string{"import", "-", "--addr", p.URL}, &terminal{in: r, out: &out, err: &errOut, lookupEnv: os.LookupEnv})
	if status != 1 || !strings.Contains(errOut.String(), "interrupted") {
		t.Errorf("exit %d, %s", status, errOut.String())
	}
}

func TestImportWithoutAPlaceForItsState(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root may write everywhere: only the explicit state file is tried")
	}
	p := newPlanet(t)
	file := writeFile(t, "in.jsonl", sample(3))
	if i := p.on(t, "", "import", file, "--resume", filepath.Join(file, "x")); i.status != 1 {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
	if err := os.WriteFile(file+".progress", []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	if i := p.on(t, "", "import", file); i.status != 1 || !strings.Contains(i.err, "not the progress of an import") {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
}

func TestProgressBarOnATerminal(t *testing.T) {
	p := newPlanet(t)
	file := writeFile(t, "in.jsonl", sample(500))
	i := &invocation{errIsTTY: true, env: map[string]string{"EDGEHOLD_ADDR": p.URL}}
	if i.run("import", file); i.status != 0 || !strings.Contains(i.err, "import") || !strings.Contains(i.out, "500 records") {
		t.Errorf("exit %d, %q, %q", i.status, i.out, i.err)
	}
	j := &invocation{errIsTTY: true, env: map[string]string{"EDGEHOLD_ADDR": p.URL}}
	if j.run("export"); j.status != 0 || !strings.Contains(j.err, "export") || lineCount(j.out) == 0 {
		t.Errorf("exit %d, %q", j.status, j.err)
	}
}
