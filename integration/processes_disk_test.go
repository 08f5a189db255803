package integration

import (
	"bytes"
	"crypto/rand"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// testDamagedDisk: a server whose disk holds damage ends, at its start or at the first request that meets it: with status 1 and one line
// that names the group, the file and what to do.
func testDamagedDisk(t *testing.T, binary string) {
	f := newFleet(t, binary)
	d := f.server(t, "s1", "r", "")
	ready(t, d)
	value := make([]byte, 200<<10)
	if _, err := rand.Read(value); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		mustPut(t, d, key, string(value))
	}
	d.stop(t)
	folder := filepath.Join(f.dir, "s1", "groups", "r.1")
	whole := filepath.Join(f.dir, "whole")
	copyTree(t, folder, whole)

	t.Run("block", func(t *testing.T) {
		tables, err := filepath.Glob(filepath.Join(folder, "state", "*", "*.sst"))
		if err != nil || len(tables) == 0 {
			t.Fatalf("tables: %v, %v", tables, err)
		}
		for _, name := range tables {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if i := bytes.Index(b, value[1000:1100]); i >= 0 {
				copy(b[i:], make([]byte, 1000))
			}
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d.start(t)
		eventually(t, time.Minute, "a read has met the damage", func() bool {
			for _, key := range []string{"a", "b", "c", "d"} {
				if r := d.get("/v1/kv/" + key); r.err == nil && r.status == http.StatusNotFound {
					t.Fatalf("%s is not found", key)
				}
			}
			return !d.running()
		})
		wantEnded(t, d, "group r.1", ".sst")
	})
	for what, change := range map[string]func(name string) error{
		"empty": func(name string) error { return os.Truncate(name, 0) },
		"cut":   func(name string) error { return os.Truncate(name, 8192) },
	} {
		t.Run(what+" list of segments", func(t *testing.T) {
			if err := os.RemoveAll(folder); err != nil {
				t.Fatal(err)
			}
			copyTree(t, whole, folder)
			if err := change(filepath.Join(folder, "wal", "wal-meta.db")); err != nil {
				t.Fatal(err)
			}
			d.start(t)
			wantEnded(t, d, "group r.1", "wal-meta.db")
		})
	}
}

// wantEnded waits for the node's end with status 1, and wants one line of the command that says the words.
func wantEnded(t *testing.T, d *daemon, words ...string) {
	t.Helper()
	select {
	case <-d.exited:
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on")
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("it has ended with %v, want status 1", d.cmd.ProcessState)
	}
	log := strings.TrimSpace(string(d.logTail()))
	last := log[strings.LastIndexByte(log, '\n')+1:]
	for _, w := range append(words, "edgehold: ", "start a new server") {
		if !strings.Contains(last, w) {
			t.Errorf("the last line does not say %q: %s", w, last)
		}
	}
	if strings.Contains(log, "goroutine ") {
		t.Errorf("there is a stack:\n%s", log)
	}
}

// copyTree copies the folders and files of a node, but not its socket.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		case !d.Type().IsRegular():
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testSignals: a server outlives the end of what reads its log, and of its terminal.
func testSignals(t *testing.T, binary string) {
	f := newFleet(t, binary)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{fleet: f, role: "server", name: "s1", address: freeAddress(t)}
	f.nodes = append(f.nodes, d)
	d.process = f.begin(t, w, w, "server", "--node", "s1", "--region", "r", "--data", filepath.Join(f.dir, "s1"), "--bootstrap", "--listen", d.address)
	_ = w.Close()
	if err := r.Close(); err != nil { // before its first line
		t.Fatal(err)
	}
	ready(t, d)
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	mustPut(t, d, "k", "v")
	time.Sleep(100 * time.Millisecond)
	if !d.running() {
		t.Fatalf("it has ended: %v", d.cmd.ProcessState)
	}
	d.stop(t)
}
