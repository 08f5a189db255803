// Package clients finds the real programs of others that tests run against Edgehold: those that `make clients` installs beside this
// file from lock files, and those of the machine. The go command ignores what is installed here: see go.mod.
package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Dir returns the folder of package.json. Its node_modules is where Node finds the packages, venv is Python's, and bin has what is built from Go.
func Dir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

// Look returns the path of the first of these programs that there is, in node_modules, in venv, in bin or in PATH; "" if there is none.
func Look(names ...string) string {
	for _, name := range names {
		for _, candidate := range []string{filepath.Join(Dir(), "node_modules", ".bin", name), filepath.Join(Dir(), "venv", "bin", name), filepath.Join(Dir(), "bin", name), name} {
			if path, err := exec.LookPath(candidate); err == nil {
				return path
			}
		}
	}
	return ""
}

// Need returns the path of the program, as [Look] does. Without it the test is skipped, or fails where the environment has CI=true: there
// `make clients` runs before the tests.
func Need(t testing.TB, name string) string {
	t.Helper()
	path := Look(name)
	if path == "" {
		Missing(t, name)
	}
	return path
}

// NeedPackage is [Need] for a package of Node, such as "@deno/kv". It returns the folder of the package.
func NeedPackage(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(Dir(), "node_modules", filepath.FromSlash(name))
	if _, err := os.Stat(filepath.Join(dir, "package.json")); err != nil {
		Missing(t, name)
	}
	return dir
}

// NeedVenv is [Need] for the packages of Python.
func NeedVenv(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(Dir(), "venv", "bin", "python")); err != nil {
		Missing(t, "the venv of integration/clients")
	}
}

// Missing skips the test, or fails it if CI=true, since what name says is not installed.
func Missing(t testing.TB, name string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed; `make clients promtool` installs it", name)
	}
	t.Skipf("%s is not installed; `make clients promtool` installs it", name)
}
