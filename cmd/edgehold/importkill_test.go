package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// runAs is the environment variable that makes the test binary run as the command.
const runAs = "EDGEHOLD_TEST_COMMAND"

// TestCommandProcess is not a test. It is the process that other tests start and kill.
func TestCommandProcess(t *testing.T) {
	args := os.Getenv(runAs)
	if args == "" {
		t.Skip("started by other tests")
	}
	os.Exit(run(context.Background(), strings.Split(args, "\n"), &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, lookupEnv: noEnv}))
}

// TestImportIsKilled kills the process in the middle, twice: the lines that it has saved as done are done, and at the end each key
// has its last value.
func TestImportIsKilled(t *testing.T) {
	t.Parallel()
	p := newPlanet(t)
	var text strings.Builder
	for n := range 3000 {
		fmt.Fprintf(&text, `{"key":"k%d","value":"%d"}`+"\n", n%1000, n) // each key three times
	}
	file := writeFile(t, "in.jsonl", text.String())
	for round := range 2 {
		before, err := readState(file + ".progress")
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command(os.Args[0], "-test.run=^TestCommandProcess$")
		command.Env = append(os.Environ(), runAs+"="+strings.Join([]string{"import", file, "--addr", p.URL, "--concurrency", "16"}, "\n"))
		var puts atomic.Int64
		var kill sync.Once
		started := make(chan struct{})
		p.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || puts.Add(1) < 400 {
				return false
			}
			_, _ = io.Copy(io.Discard, r.Body) // only after that does the server notice that the client has gone
			kill.Do(func() {
				savedAfter(t, file+".progress", before.Lines)
				<-started // Start has written command.Process
				_ = command.Process.Kill()
			})
			<-r.Context().Done()
			return true
		})
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		close(started)
		if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != -1 {
			t.Fatalf("%v, %v: not killed", err, command.ProcessState)
		}
		after, err := readState(file + ".progress")
		if err != nil || after.Lines <= before.Lines || after.Lines > 400*int64(round+1) {
			t.Fatalf("round %d: %+v after %+v, %v", round, after, before, err)
		}
	}
	p.setFault(nil)
	counts := readCounts(t, p.must(t, "", "import", file, "--verify", "-o", "json"))
	if counts.SkippedLines == 0 || counts.Lines != 3000 || counts.Records+counts.SkippedLines != 3000 || *counts.Different != 0 {
		t.Errorf("%+v", counts)
	}
	lines := p.must(t, "", "export")
	for n := range 1000 {
		if want := fmt.Sprintf(`{"key":"k%d","value":"%d",`, n, 2000+n); !strings.Contains(lines, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if lineCount(lines) != 1000 {
		t.Errorf("%d keys", lineCount(lines))
	}
}

// savedAfter waits until a process has saved that more than so many lines are done. It saves every second.
func savedAfter(t *testing.T, state string, lines int64) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); ; {
		if now, err := readState(state); err == nil && now.Lines > lines {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Error("nothing was saved")
			return
		}
	}
}

// TestNothingFollowsAnUnknownOutcome checks that no record of a key follows one whose put may still take effect.
func TestNothingFollowsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	p := newPlanet(t)
	var puts atomic.Int64
	second := make(chan struct{})
	p.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		if strings.HasSuffix(r.URL.Path, "/other") {
			close(second) // the second record of the key was read before
			return false
		}
		if r.ContentLength == 2 {
			t.Error("the second record followed")
		}
		puts.Add(1)
		<-second
		problem(w, api.CodeAmbiguous)
		return true
	})
	lines := `{"key":"a","value":"1"}` + "\n" + `{"key":"a","value":"22"}` + "\n" + `{"key":"other","value":"3"}` + "\n"
	file := writeFile(t, "in.jsonl", lines)
	i := p.on(t, "", "import", file, "--timeout", "2s", "-o", "json")
	counts := readCounts(t, i.out)
	if i.status != exitUnknown || counts.Failed != 1 || counts.Records != 1 || puts.Load() == 0 {
		t.Errorf("exit %d, %+v, %s", i.status, counts, i.err)
	}
	p.setFault(nil)
	p.must(t, "", "import", file, "--verify")
	if got := p.must(t, "", "kv", "get", "a"); got != "22" {
		t.Errorf("a is %s", got)
	}
}
