package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// folderState is a machine whose state is some files.
type folderState struct {
	files   map[string]string
	applied uint64
	broken  error
	adopted map[string]string
}

func (s *folderState) Applied() uint64 { return s.applied }
func (s *folderState) Flush() error    { return s.broken }

func (s *folderState) Checkpoint(dir string) error {
	if err := os.Mkdir(dir, 0o750); err != nil {
		return err
	}
	for name, content := range s.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o640); err != nil {
			return err
		}
	}
	return s.broken
}

func (s *folderState) Adopt(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	s.adopted = map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		s.adopted[e.Name()] = string(b)
	}
	return nil
}

func newCheckpoints(t *testing.T) *Store {
	t.Helper()
	c, err := Open(filepath.Join(t.TempDir(), "checkpoints"), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sinkAt begins a checkpoint at that index.
func sinkAt(t *testing.T, c *Store, index uint64) *sink {
	t.Helper()
	conf := raft.Configuration{Servers: []raft.Server{{ID: "n0", Address: "a"}}}
	s, err := c.Create(1, index, 3, conf, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*sink)
}

// keep puts a checkpoint of the state into the store.
func keep(t *testing.T, c *Store, s *folderState, index uint64) string {
	t.Helper()
	sink := sinkAt(t, c, index)
	if err := Of(s).Persist(sink); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil { // as Raft does
		t.Fatal(err)
	}
	return sink.ID()
}

// names lists what is in the store's folder.
func (c *Store) names(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func streamOf(t *testing.T, c *Store, id string) []byte {
	t.Helper()
	meta, r, err := c.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if meta.Size != int64(len(b)) {
		t.Fatalf("a stream of %d bytes is said to be of %d", len(b), meta.Size)
	}
	return b
}

var someFiles = map[string]string{
	"000004.sst": strings.Repeat("table", 40_000), "MANIFEST-1": "list", "marker.x": "", "OPTIONS": "o",
}

// TestCheckpointTravels sends a checkpoint from store to store, in parts of any size.
func TestCheckpointTravels(t *testing.T) {
	from, to := newCheckpoints(t), newCheckpoints(t)
	b := streamOf(t, from, keep(t, from, &folderState{files: someFiles, applied: 12}, 10))
	r := rand.New(rand.NewPCG(1, 0))
	for _, most := range []int{1, 7, 1000, 1 << 20} {
		sink := sinkAt(t, to, uint64(10+most))
		for rest := b; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(most))
			if _, err := sink.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		if again := streamOf(t, to, sink.ID()); len(again) != len(b) || !bytes.Equal(again[200:9000], b[200:9000]) {
			t.Error("the checkpoint is sent with other contents than it was received")
		}
		if got := to.Reach(sink.ID()); got != uint64(10+most) && got != 12 {
			t.Errorf("it reaches %d", got)
		}
	}
	list, err := to.List()
	if err != nil || len(list) != kept || list[0].Index != 10+1<<20 || list[0].ConfigurationIndex != 2 ||
		list[0].Configuration.Servers[0].ID != "n0" {
		t.Fatalf("listed %+v, %v", list, err)
	}
	s := new(folderState)
	_, reader, err := to.Open(list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	dir, ok := Folder(reader)
	if !ok {
		t.Fatal("the reader of a checkpoint has no folder")
	}
	if err := errors.Join(s.Adopt(dir), reader.Close()); err != nil {
		t.Fatal(err)
	}
	if _, ok := Folder(strings.NewReader("a stream")); ok {
		t.Error("a stream has a folder")
	}
	if fmt.Sprint(s.adopted) != fmt.Sprint(someFiles) {
		t.Error("the machine adopted other files")
	}
}

// TestCheckpointDamaged: any damage of a stream is an error and leaves no files.
func TestCheckpointDamaged(t *testing.T) {
	from, to := newCheckpoints(t), newCheckpoints(t)
	good := streamOf(t, from, keep(t, from, &folderState{files: map[string]string{"a": "alpha", "b": ""}}, 10))
	refused := func(what string, b []byte) {
		t.Helper()
		sink := sinkAt(t, to, 10)
		_, err := sink.Write(b)
		if err != nil {
			_ = sink.Cancel()
		} else {
			err = sink.Close()
		}
		if err == nil || len(to.names(t)) > 0 {
			t.Fatalf("%s gives %v and leaves %v", what, err, to.names(t))
		}
	}
	for n := range good {
		refused(fmt.Sprintf("a stream cut off at %d", n), good[:n])
		bad := bytes.Clone(good)
		bad[n] ^= 1 << (n % 8)
		refused(fmt.Sprintf("a stream with byte %d flipped", n), bad)
	}
	refused("a stream with more behind it", append(bytes.Clone(good), 0))
	refused("a machine's own stream", []byte("edgehold-fsm\x00\x02 and what follows it"))
	for _, name := range []string{"../x", "a/b", "", "..", "a\x00b", "."} {
		m := manifest{Files: []fileInfo{{name, 1}}}
		refused(fmt.Sprintf("a file named %q", name), streamHead(&m))
	}
	refused("a file twice", streamHead(&manifest{Files: []fileInfo{{"a", 0}, {"a", 0}}}))
}

// TestCheckpointsKeepOne: the store keeps one checkpoint and those that are being sent. A failed or interrupted one leaves nothing.
func TestCheckpointsKeepOne(t *testing.T) {
	c := newCheckpoints(t)
	s := &folderState{files: someFiles}
	first := keep(t, c, s, 10)
	_, reader, err := c.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	second := keep(t, c, s, 20)
	if n := c.names(t); len(n) != 2 {
		t.Errorf("%v are kept while the first is being sent", n)
	}
	if b, err := io.ReadAll(reader); err != nil || len(b) == 0 {
		t.Errorf("the first one could not be sent: %v", err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	s.broken = errors.New("no disk")
	sink := sinkAt(t, c, 30)
	if err := Of(s).Persist(sink); !errors.Is(err, s.broken) {
		t.Errorf("a machine that fails gives %v", err)
	}
	if err := sink.Cancel(); err != nil {
		t.Error(err)
	}
	interrupted := sinkAt(t, c, 40)
	if _, err := interrupted.Write([]byte(streamMagic)); err != nil {
		t.Fatal(err)
	}
	again, err := Open(c.dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	if n := again.names(t); len(n) != 1 || n[0] != second {
		t.Errorf("%v are left, want %s", n, second)
	}
	if _, _, err := again.Open(first); err == nil {
		t.Error("a checkpoint that has gone was opened")
	}
	if err := os.WriteFile(filepath.Join(c.path(second), metaFile), []byte(`{"Version":9}`), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := again.List(); err == nil {
		t.Error("a checkpoint of another version was listed")
	}
}

// TestPace: the pace admits exactly its rate.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := newPace(1000), time.Now()
		for range 100 {
			p.wait(100)
		}
		if d := time.Since(began); d < 9900*time.Millisecond || d > 10*time.Second {
			t.Errorf("10000 bytes took %v at 1000 a second", d)
		}
	})
}
