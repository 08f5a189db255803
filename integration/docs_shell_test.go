package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// shell runs the commands of a page: bash for most, and nodes as processes of their own. The ports 74NN of the page are
// others here, so that several can run on one machine.
type shell struct {
	dir   string
	port  int // stands for 7400
	env   []string
	spawn func(*exec.Cmd) error
	in    io.Writer
	out   <-chan string // the lines of bash
	nodes []*background
}

// background is a process that runs beside the commands.
type background struct {
	*process
	out screen
}

// screen is what a process prints. Safe for concurrent use.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

const (
	firstPort  = 7400 // of the pages
	planetSize = 12   // nodes of `edgehold dev`
	stepBound  = 30 * time.Second
)

func newShell(t *testing.T) *shell {
	t.Helper()
	s := &shell{dir: t.TempDir(), port: freePorts(t, planetSize)}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(plainEnv(),
		"PATH="+filepath.Dir(buildBinary(t))+string(os.PathListSeparator)+os.Getenv("PATH"),
		"TMPDIR="+t.TempDir(), "CURL_HOME="+s.dir, "ROOT="+root,
		fmt.Sprintf("EDGEHOLD_ADDR=http://127.0.0.1:%d", s.port), fmt.Sprintf("EDGEHOLD_PORT=%d", s.port))
	// On a terminal curl shows no progress of what it prints.
	if err := os.WriteFile(filepath.Join(s.dir, ".curlrc"), []byte("no-progress-meter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spawn, end := newSpawner()
	s.spawn = spawn
	bash := exec.Command("bash", "--noprofile", "--norc")
	bash.Dir, bash.Env = s.dir, s.env
	in, err := bash.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	bash.Stdout, bash.Stderr = write, write
	if err := spawn(bash); err != nil {
		t.Fatal(err)
	}
	_ = write.Close() // bash has its own
	lines := make(chan string, 1024)
	go func() { // ends with bash and what it has started
		defer close(lines)
		for r := bufio.NewReader(read); ; {
			line, err := r.ReadString('\n')
			if line != "" {
				lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	s.in, s.out = in, lines
	t.Cleanup(func() {
		_ = bash.Process.Kill() // an error: it has ended
		_ = bash.Wait()         // killed
		s.endNodes()
		end()
		_ = read.Close()
	})
	return s
}

// freePorts returns the first of n free ports in a row, above each of which that 100 higher is free too: `edgehold dev` listens there.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		first, free := 10000+rand.IntN(4900), true
		for i := 0; i < 2*n && free; i++ {
			address := fmt.Sprintf("127.0.0.1:%d", first+i%n+i/n*100)
			l, err := net.Listen("tcp", address)
			if free = err == nil; free {
				_ = l.Close()
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("no free ports were found")
	return 0
}

var (
	pagePort   = regexp.MustCompile(`\b7[45](\d\d)\b`) // those of nodes, and 100 above for clients of Consul
	actualPort = regexp.MustCompile(`\b\d{5}\b`)
	goRun      = regexp.MustCompile(`\bgo run \./cmd/edgehold\b`)
	goRunOther = regexp.MustCompile(`\bgo run \./`)
)

// here is the command with the ports of this run, and with the binary and the folder that are meant.
func (s *shell) here(command string) string {
	command = goRun.ReplaceAllString(command, "edgehold")
	command = goRunOther.ReplaceAllString(command, `go run -C "$$ROOT" ./`)
	return pagePort.ReplaceAllStringFunc(command, func(p string) string {
		n, _ := strconv.Atoi(p) // four digits
		return strconv.Itoa(s.port + n - firstPort)
	})
}

// there is the output with the ports of the page.
func (s *shell) there(out string) string {
	return actualPort.ReplaceAllStringFunc(out, func(p string) string {
		if n, _ := strconv.Atoi(p); n >= s.port && n < s.port+200 { // five digits
			return strconv.Itoa(firstPort + n - s.port)
		}
		return p
	})
}

// start runs a command beside the others, and waits until it has printed what the page says.
func (s *shell) start(t *testing.T, st step) {
	t.Helper()
	command := strings.ReplaceAll(strings.TrimSuffix(s.here(st.command), " &"), "\\\n", " ") // lines that go on
	words := strings.Fields(command)
	if words[0] != "edgehold" {
		t.Fatalf("%s: what runs in the background is edgehold, not %q", st.at, words[0])
	}
	b := &background{process: &process{cmd: exec.Command(buildBinary(t), words[1:]...), exited: make(chan struct{})}}
	b.cmd.Dir, b.cmd.Env, b.cmd.Stdout, b.cmd.Stderr = s.dir, s.env, &b.out, &b.out
	if err := s.spawn(b.cmd); err != nil {
		t.Fatalf("%s: %v", st.at, err)
	}
	s.nodes = append(s.nodes, b)
	go func() {
		_ = b.cmd.Wait() // its ProcessState has the result
		close(b.exited)
	}()
	for end := time.Now().Add(time.Minute); !st.printed(s.there(b.out.String()), true); time.Sleep(10 * time.Millisecond) {
		if !b.running() || time.Now().After(end) {
			t.Fatalf("%s: $ %s\nprints, or has ended after:\n%s\nand not, as the page says:\n%s", st.at, st.command, s.there(b.out.String()), strings.Join(st.prints, "\n"))
		}
	}
}

func (s *shell) endNodes() {
	for _, b := range s.nodes {
		b.kill()
	}
	s.nodes = nil
}

// run runs a command in bash, and compares what it prints. A command that fails says so on the page, or fails the test.
func (s *shell) run(t *testing.T, st step) {
	t.Helper()
	const mark = "\x1eended "
	if _, err := fmt.Fprintf(s.in, "{ %s\n} </dev/null\nprintf '\\036ended %%d\\n' $?\n", s.here(st.command)); err != nil {
		t.Fatalf("%s: %v", st.at, err)
	}
	var out strings.Builder
	for timeout := time.After(stepBound); ; {
		select {
		case line, ok := <-s.out:
			before, status, ended := strings.Cut(line, mark)
			out.WriteString(before)
			if ok && !ended {
				continue
			}
			got := s.there(out.String())
			t.Logf("$ %s\n%s", st.command, got)
			if !st.printed(got, false) {
				t.Errorf("%s: $ %s\nprints:\n%s\nand not, as the page says:\n%s", st.at, st.command, got, strings.Join(st.prints, "\n"))
			}
			if status = strings.TrimSpace(status); status != "0" && len(st.prints) == 0 {
				t.Errorf("%s: $ %s\nends with status %s", st.at, st.command, status)
			}
			return
		case <-timeout:
			t.Fatalf("%s: $ %s\nhas not ended after %v; it printed:\n%s", st.at, st.command, stepBound, out.String())
		}
	}
}
