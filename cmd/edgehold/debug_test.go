package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cmd/edgehold/bundle"
)

// fakeDebugger is a node with a debug bundle of one file.
type fakeDebugger struct{}

func (fakeDebugger) WriteDebug(_ context.Context, w io.Writer) error {
	zip := gzip.NewWriter(w)
	out := tar.NewWriter(zip)
	const text = "a line\n"
	if err := out.WriteHeader(&tar.Header{Name: "log.txt", Typeflag: tar.TypeReg, Size: int64(len(text))}); err != nil {
		return err
	}
	_, err := io.WriteString(out, text)
	return errors.Join(err, out.Close(), zip.Close())
}

// bundled are the files of a bundle.
func bundled(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		all[h.Name] = string(text)
	}
}

// TestDebugBundleCommand gathers from a planet in which a node is down and another one has no port: it says so and goes on. The file is
// the owner's alone, and has no token.
func TestDebugBundleCommand(t *testing.T) {
	p := newPlanet(t)
	p.admin.status.Nodes = []api.NodeStatus{
		{Node: "here-1", Role: api.RoleServer, URL: p.URL, State: "up"},
		{Node: "down-1", Role: api.RoleServer, URL: "http://127.0.0.1:1", State: "unreachable"},
		{Node: "embedded-1", Role: api.RoleEdge, State: "up"},
	}
	file := filepath.Join(t.TempDir(), "bundle.tar.gz")
	i := p.on(t, "", "debug", "bundle", file, "--timeout", "500ms", "--token", "ehk1_secret")
	if i.status != exitDone || !strings.HasPrefix(i.out, file+": 1 of 3 nodes, ") || !strings.Contains(i.err, "here-1: 1 files, 7 bytes\n") || !strings.Contains(i.err, "down-1: MISSING: ") || !strings.Contains(i.err, "embedded-1: MISSING: it is embedded") {
		t.Errorf("exit %d\n%s%s", i.status, i.out, i.err)
	}
	files := bundled(t, file)
	if files["here-1/log.txt"] != "a line\n" || len(files) != 2 || !strings.Contains(files["bundle.json"], `"token": "***"`) {
		t.Errorf("%v", files)
	}
	for name, text := range files {
		if strings.Contains(text, "ehk1_secret") {
			t.Errorf("%s has the token", name)
		}
	}
	if i := p.on(t, "", "debug", "bundle", file); i.status != exitUsage || !strings.Contains(i.err, "is there already") {
		t.Errorf("over a file: exit %d, %s", i.status, i.err)
	}
	p.admin.status.Nodes = p.admin.status.Nodes[:1]
	i = p.on(t, "", "debug", "bundle", filepath.Join(t.TempDir(), "b"), "-o", "json")
	var body struct {
		Bytes int
		Nodes []bundle.Part
	}
	if err := json.Unmarshal([]byte(i.out), &body); err != nil || i.status != exitDone || body.Bytes < 100 || len(body.Nodes) != 1 || body.Nodes[0].Files != 1 || i.err != "" {
		t.Errorf("exit %d, %v\n%s%s", i.status, err, i.out, i.err)
	}
	p.admin.status.Nodes[0].Node, p.admin.status.Nodes[0].URL = "down-1", "http://127.0.0.1:1"
	i = p.on(t, "", "debug", "bundle", filepath.Join(t.TempDir(), "b"), "--timeout", "300ms")
	if i.status != exitFailed || !strings.Contains(i.err, "no node could be asked") {
		t.Errorf("without any node: exit %d\n%s%s", i.status, i.out, i.err)
	}
	none := filepath.Join(t.TempDir(), "none")
	if i := new(invocation).run("debug", "bundle", none, "--addr", "http://127.0.0.1:1", "--timeout", "200ms"); i.status != exitFailed {
		t.Errorf("no node answers: exit %d, %s", i.status, i.err)
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a file is left though nothing was gathered")
	}
}
