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

// waiting is how many tests at once, beside those that fill the processors, mostly wait: for processes, sockets and disks.
const waiting = 4

func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		if err := flag.Set("test.parallel", fmt.Sprint(runtime.GOMAXPROCS(0)+waiting)); err != nil {
			panic(err) // go test has this flag
		}
	}
	defer edgehold.remove()
	m.Run() // its status is what the process ends with
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
