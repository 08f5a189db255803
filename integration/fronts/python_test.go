package fronts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/integration/clients"
)

const pythonDir = "../../api/python"

// wheel is the Python package edgehold as pip installs it, in a folder of its own.
type wheel struct {
	once sync.Once
	dir  string
	err  error
}

var pythonPackage wheel

// install returns the setting of the environment with which Python finds the package, and the folder of its tests. The first test that
// needs it installs it.
func (w *wheel) install(t *testing.T) (env, tests string) {
	t.Helper()
	pip := clients.Need(t, "pip")
	clients.NeedVenv(t)
	w.once.Do(func() { w.err = w.make(pip) })
	if w.err != nil {
		t.Fatal(w.err)
	}
	return "PYTHONPATH=" + filepath.Join(w.dir, "lib"), filepath.Join(w.dir, "source", "tests")
}

func (w *wheel) make(pip string) (err error) {
	if w.dir, err = os.MkdirTemp("", "edgehold-python-"); err != nil {
		return err
	}
	source := filepath.Join(w.dir, "source") // else pip builds in the folder of the package
	if err := os.CopyFS(source, os.DirFS(pythonDir)); err != nil {
		return err
	}
	cmd := exec.Command(pip, "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--target", "lib", source)
	cmd.Dir, cmd.Env = w.dir, plainEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pip install: %w\n%s", err, out)
	}
	return nil
}

func (w *wheel) remove() {
	if w.dir != "" {
		_ = os.RemoveAll(w.dir) // temporary
	}
}

// TestPython runs the tests of the package as it is installed, at the edge 200 ms from home and at the one that is near.
func TestPython(t *testing.T) {
	t.Parallel()
	env := []string{"EDGEHOLD_FAR=" + farEdge(t), "EDGEHOLD_HOME=" + homeEdge(t), "PYTHONDONTWRITEBYTECODE=1"}
	path, tests := pythonPackage.install(t)
	out := run(t, filepath.Dir(tests), append(env, path), clients.Need(t, "pytest"), "tests")
	if !strings.Contains(out, " passed") || strings.Contains(out, "skipped") {
		t.Errorf("the runner says neither that it ran nor that it left nothing out:\n%s", out)
	}
}

// TestPythonReadme runs the first programs of the package's README and of docs/python.md, and compares what the former prints with what
// the README says.
func TestPythonReadme(t *testing.T) {
	t.Parallel()
	url := homeEdge(t)
	path, _ := pythonPackage.install(t)
	python := filepath.Join(clients.Dir(), "venv", "bin", "python")
	readme, want := firstProgram(t, filepath.Join(pythonDir, "README.md"), "python")
	if n := strings.Count(readme, "\n"); n > 10 {
		t.Errorf("the first program has %d lines", n)
	}
	if got := run(t, t.TempDir(), []string{path}, python, "-c", atNode(readme, url)); got != want {
		t.Errorf("it prints\n%s\nand the README says\n%s", got, want)
	}
	page, _ := firstProgram(t, "../../docs/python.md", "python")
	run(t, t.TempDir(), []string{path}, python, "-c", atNode(page, url))
}

// TestPythonTypes checks the types of the package, strictly.
func TestPythonTypes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	mypy := clients.Need(t, "mypy")
	run(t, pythonDir, nil, mypy, "--cache-dir", t.TempDir())
}
