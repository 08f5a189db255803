package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// filled returns a planet with so many keys, each with a value of size bytes.
func filled(t *testing.T, keys, size int) *planet {
	t.Helper()
	p := newPlanet(t)
	var text strings.Builder
	for n := range keys {
		fmt.Fprintf(&text, `{"key":"k%06d","value":"%s"}`+"\n", n, strings.Repeat("v", size))
	}
	p.must(t, text.String(), "import", "-")
	return p
}

// TestExportIsInterrupted ends the context between pages: the export fails, and --resume continues it.
func TestExportIsInterrupted(t *testing.T) {
	p := filled(t, 5500, 10)
	whole := p.must(t, "", "export")
	for at := int64(1); at <= 6; at++ {
		ctx, cancel := context.WithCancel(context.Background())
		var pages atomic.Int64
		p.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v1/kv" && pages.Add(1) == at {
				cancel()
			}
			return false
		})
		file := filepath.Join(t.TempDir(), "out.jsonl")
		i := &invocation{ctx: ctx, env: map[string]string{"EDGEHOLD_ADDR": p.URL}}
		i.run("export", "--output", file)
		got, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(whole, string(got)) || (i.status == 0) != (len(got) == len(whole)) || at < 6 && i.status != 1 {
			t.Errorf("page %d: exit %d, %d bytes of %d, %v", at, i.status, len(got), len(whole), err)
		}
		p.setFault(nil)
		if i.status != 0 {
			p.must(t, "", "export", "--output", file, "--resume")
		}
		if got, _ := os.ReadFile(file); string(got) != whole {
			t.Errorf("page %d: %d bytes of %d after it was resumed", at, len(got), len(whole))
		}
		cancel()
	}
}

// failingWriter accepts so many bytes.
type failingWriter struct{ left int }

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, os.ErrClosed
	}
	return len(b), nil
}

// TestExportToAFullDisk checks that a write that fails is an error, and that nothing hangs.
func TestExportToAFullDisk(t *testing.T) {
	p := filled(t, 5500, 200)
	for _, room := range []int{0, 300_000, 1_000_000} {
		var errOut strings.Builder
		status := run(t.Context(), []string{"export", "--addr", p.URL}, &terminal{out: &failingWriter{room}, err: &errOut, lookupEnv: noEnv})
		if status != 1 || !strings.Contains(errOut.String(), "closed") {
			t.Errorf("room for %d: exit %d, %s", room, status, errOut.String())
		}
	}
}
