// Command platforms runs a program on each platform of the edge world against Edgehold: it installs what they need by the names of
// packages, runs the tests of integration/fronts that have a row for each, and prints one line a platform. `make platforms` runs it in
// the root of the repository. What it installs stays in dist/platforms, so that a second run is short.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

// viceroy is the release of Fastly's local runtime.
const viceroy = "0.22.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "platforms:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := filepath.Abs(filepath.Join("dist", "platforms"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := command(ctx, ".", os.Stderr, "make", "--no-print-directory", "clients"); err != nil {
		return err
	}
	if err := fastly(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, "platforms: Fastly Compute is left out:", err)
	}
	return test(ctx, dir)
}

// fastly builds the service, with Fastly's compiler of JavaScript, and installs the runtime. Both take minutes, once.
func fastly(ctx context.Context, dir string) error {
	to := filepath.Join(dir, "fastly")
	if err := copyFiles(to, "integration/platforms/fastly", "package.json", "package-lock.json", ".npmrc", "service.js"); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(to, "service.wasm")); err != nil {
		pack := filepath.Join(to, "edgehold")
		if err := os.MkdirAll(pack, 0o755); err != nil {
			return err
		}
		for _, step := range [][]string{
			{"npm", "ci", "--no-progress"},
			{"sh", "-c", `cd "$0" && npm pack --silent --pack-destination "$1"`, absolute("api/js"), pack},
			{"sh", "-c", `mkdir -p node_modules/edgehold && tar -xzf edgehold/edgehold-*.tgz -C node_modules/edgehold --strip-components=1`},
			{"node_modules/.bin/js-compute-runtime", "service.js", "service.wasm"},
		} {
			if err := command(ctx, to, os.Stderr, step[0], step[1:]...); err != nil {
				return err
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "cargo", "bin", "viceroy")); err == nil {
		return nil
	}
	target, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(target) }() // gigabytes
	args := []string{"cargo", "install", "--quiet", "--locked", "viceroy@" + viceroy, "--root", filepath.Join(dir, "cargo"), "--target-dir", target}
	// Only what compiles the service is optimized: the service runs as fast, and the build is much shorter.
	for _, setting := range []string{"opt-level=0", "lto=false", "debug=false", "codegen-units=16"} {
		args = append(args, "--config", "profile.release."+setting)
	}
	for _, crate := range []string{"cranelift-codegen", "cranelift-entity", "cranelift-frontend", "hashbrown", "regalloc2", "wasmparser", "wasmtime-internal-cranelift"} {
		args = append(args, "--config", "profile.release.package."+crate+".opt-level=2")
	}
	return command(ctx, ".", os.Stderr, args[0], args[1:]...)
}

func copyFiles(to, from string, names ...string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// test runs the rows, and prints their lines and why one is left out.
func test(ctx context.Context, dir string) error {
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := command(ctx, ".", write, "go", "test", "./integration/fronts", "-run", "^TestPlatforms$", "-count=1", "-timeout=10m", "-v", "-args", "-platforms", dir)
		_ = write.CloseWithError(io.EOF) // it has no other error
		done <- err
	}()
	var all []string
	for s := bufio.NewScanner(read); s.Scan(); {
		all = append(all, s.Text())
		if _, line, ok := strings.Cut(s.Text(), "platform: "); ok {
			fmt.Println(line)
		}
	}
	err := <-done
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.Join(all, "\n"))
	}
	return nil
}

func command(ctx context.Context, dir string, out io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func absolute(path string) string {
	p, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return p
}
