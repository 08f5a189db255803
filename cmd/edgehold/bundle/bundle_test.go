package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// file is one that a node sends.
type file struct {
	name, text string
}

// packed is the answer of a node.
func packed(t *testing.T, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	out := tar.NewWriter(zip)
	for _, f := range files {
		if err := out.WriteHeader(&tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o777, Size: int64(len(f.text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(out.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// headed is an answer that announces a file of a size, and then ends.
func headed(t *testing.T, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	if err := tar.NewWriter(zip).WriteHeader(&tar.Header{Name: "big", Typeflag: tar.TypeReg, Size: size}); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// answering is a node that answers with that.
func answering(id api.NodeID, body []byte) Node {
	return Node{ID: id, Ask: func(context.Context) ([]byte, error) { return body, nil }}
}

// unpacked are the files of a bundle.
func unpacked(t *testing.T, b []byte) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(b))
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
		if err != nil || h.Mode != 0o600 {
			t.Fatalf("%s: mode %o, %v", h.Name, h.Mode, err)
		}
		all[h.Name] = string(text)
	}
}

// TestBundle gathers from nodes of which some do not answer: the others are there, and the reasons.
func TestBundle(t *testing.T) {
	var told []Part
	var out bytes.Buffer
	parts, err := Write(t.Context(), &out, Config{
		Nodes: []Node{
			answering("s1", packed(t, file{"log.txt", "hello"}, file{"version.json", "{}"})),
			{ID: "s2", Ask: func(context.Context) ([]byte, error) { return nil, errors.New("connection refused") }},
			{ID: "e1", Missing: "it has no port"},
			answering("s3", packed(t, file{"log.txt", "hi"})),
		},
		About: struct{ Token api.Secret }{"secret"},
		Told:  func(p Part) { told = append(told, p) },
	})
	if err != nil || len(parts) != 4 || len(told) != 4 {
		t.Fatalf("%v, %+v, %+v", err, parts, told)
	}
	files := unpacked(t, out.Bytes())
	if len(files) != 4 || files["s1/log.txt"] != "hello" || files["s1/version.json"] != "{}" || files["s3/log.txt"] != "hi" {
		t.Errorf("%v", files)
	}
	var m struct {
		About map[string]string
		Nodes []Part
	}
	if err := json.Unmarshal([]byte(files["bundle.json"]), &m); err != nil || m.About["Token"] != "***" || m.Nodes[1].Missing != "connection refused" || m.Nodes[2].Missing != "it has no port" || m.Nodes[0].Files != 2 || m.Nodes[0].Bytes != 7 {
		t.Errorf("%v: %s", err, files["bundle.json"])
	}
}

// TestBundleDistrusts refuses what a node sends if it is no bundle, has other names than those of files, or is too much. What came
// before stays.
func TestBundleDistrusts(t *testing.T) {
	whole := packed(t, file{"log.txt", strings.Repeat("many words ", 1000)})
	var many []file
	for i := range maxFiles + 1 {
		many = append(many, file{fmt.Sprintf("f%d", i), ""})
	}
	for name, c := range map[string]struct {
		body  []byte
		files int
		says  string
	}{
		"no gzip":      {[]byte("<html>"), 0, "not understood"},
		"cut off":      {whole[:len(whole)/2], 0, "cut off"},
		"empty":        {nil, 0, "not understood"},
		"a path":       {packed(t, file{"good.txt", "x"}, file{"../../etc/passwd", "x"}), 1, "etc/passwd"},
		"absolute":     {packed(t, file{"/etc/passwd", "x"}), 0, "etc/passwd"},
		"a folder":     {packed(t, file{"s2/log.txt", "x"}), 0, "s2/log.txt"},
		"a bad letter": {packed(t, file{"a\x1b[2J", "x"}), 0, "a\\x1b"},
		"many files":   {packed(t, many...), maxFiles, "over the limit"},
		"a large file": {headed(t, maxFile+1), 0, "over the limit"},
	} {
		var out bytes.Buffer
		parts, err := Write(t.Context(), &out, Config{Nodes: []Node{answering("s1", c.body), answering("s2", packed(t, file{"ok.txt", "ok"}))}})
		if err != nil || !strings.Contains(parts[0].Missing, c.says) || parts[0].Files != c.files || parts[1].Missing != "" {
			t.Errorf("%s: %v, %+v", name, err, parts)
			continue
		}
		if files := unpacked(t, out.Bytes()); len(files) != c.files+2 || files["s2/ok.txt"] != "ok" {
			t.Errorf("%s: %d files", name, len(files))
		}
	}
}

// TestFolders keeps the files of a node in a folder of its own below, whatever its name.
func TestFolders(t *testing.T) {
	for id, want := range map[api.NodeID]string{"us-east-1": "us-east-1", "..": "node..", ".": "node.", "../x": ".._x", "": "node"} {
		if got := folderOf(id); got != want {
			t.Errorf("%q is in %q, want %q", id, got, want)
		}
	}
}

// fullDisk takes some bytes.
type fullDisk struct{ left int }

func (f *fullDisk) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errors.New("no space left")
	}
	return len(b), nil
}

// TestBundleFails returns the error of the disk, and of an interrupted command, which asks no further node.
func TestBundleFails(t *testing.T) {
	var random strings.Builder
	for i := range 10_000 {
		fmt.Fprint(&random, i*i)
	}
	node := answering("s1", packed(t, file{"log.txt", random.String()}))
	if _, err := Write(t.Context(), &fullDisk{100}, Config{Nodes: []Node{node}}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var asked atomic.Int32
	node.Ask = func(context.Context) ([]byte, error) { asked.Add(1); return nil, nil }
	if _, err := Write(ctx, io.Discard, Config{Nodes: []Node{node, node}}); !errors.Is(err, context.Canceled) || asked.Load() > 0 {
		t.Errorf("%v after %d nodes", err, asked.Load())
	}
}
