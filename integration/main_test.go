package integration

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// waiting is how many tests at once, beside those that fill the processors, mostly wait: for processes, sockets and disks. With
// -short few of them run, and the race detector takes a gigabyte for each planet.
func waiting() int {
	if testing.Short() {
		return 1
	}
	return 4
}

func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		if err := flag.Set("test.parallel", fmt.Sprint(runtime.GOMAXPROCS(0)+waiting())); err != nil {
			panic(err) // go test has this flag
		}
	}
	defer edgehold.remove()
	m.Run() // its status is what the process ends with
}

// skipUnderRace skips the test in the run under the race detector, which is the one with -short. What such a test checks is a
// process, a rate, a time or a load; the code that it runs in this process is run by tests that stay.
func skipUnderRace(t *testing.T, what string) {
	t.Helper()
	if testing.Short() {
		t.Skip(what)
	}
}

// built is the binary, which the first test that needs it builds for all.
type built struct {
	once sync.Once
	dir  string
	err  error
}

var edgehold built

// buildBinary builds edgehold as a user would; the file lives as long as the tests.
func buildBinary(t testing.TB) string {
	t.Helper()
	edgehold.once.Do(edgehold.build)
	if edgehold.err != nil {
		t.Fatal(edgehold.err)
	}
	return filepath.Join(edgehold.dir, "edgehold")
}

func (b *built) build() {
	if b.dir, b.err = os.MkdirTemp("", "edgehold-test-"); b.err != nil {
		return
	}
	out, err := exec.Command("go", "build", "-o", b.dir, "../cmd/edgehold").CombinedOutput()
	if err != nil {
		b.err = fmt.Errorf("go build: %w\n%s", err, out)
	}
}

func (b *built) remove() {
	if b.dir != "" {
		_ = os.RemoveAll(b.dir) // it is in the system's folder for such
	}
}

// plainEnv is the environment without settings of Edgehold.
func plainEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "EDGEHOLD_") })
}
