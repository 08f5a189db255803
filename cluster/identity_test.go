package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestFolder: a data folder is that of the node that founded or joined with it. That node comes back as itself; another
// does not open on it, and leaves nothing behind.
func TestFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dir := newBubble(t), filepath.Join(t.TempDir(), "new", "folder")
		disks := map[api.NodeID]Config{}
		found := func(id api.NodeID, dir string) (*Node, error) {
			cfg := b.config(id, api.RoleServer)
			cfg.Bootstrap, cfg.Dir = true, dir
			if old, ok := disks[id]; ok {
				cfg.Stores = old.Stores
			}
			disks[id] = cfg
			n, err := Open(context.Background(), cfg)
			if err == nil {
				t.Cleanup(func() { _ = n.Close() })
			}
			return n, err
		}
		var cluster string
		for range 2 {
			n, err := found("s1", dir)
			if err != nil {
				t.Fatal(err)
			}
			b.ready(n)
			if is := n.mirror.Map().ClusterID; cluster != "" && is != cluster {
				t.Errorf("it founded the cluster %q, and then %q", cluster, is)
			} else {
				cluster = is
			}
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
		_, err := found("s2", dir)
		if said := api.AsError(err).Hint; api.CodeOf(err) != api.CodeConflict ||
			!strings.Contains(said, dir) || !strings.Contains(said, `"s1"`) || !strings.Contains(said, `"s2"`) {
			t.Errorf("on the folder of another: %v", err)
		}
		file := filepath.Join(dir, "node")
		if _, err := found("s1", file); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("on a file: %v", err)
		}
		if err = os.Remove(file); err == nil {
			err = os.Mkdir(file, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := found("s1", dir); err == nil {
			t.Error("on a folder whose file of the node cannot be read")
		}
		n, err := found("s2", t.TempDir()) // the ports are free
		if err != nil {
			t.Fatal(err)
		}
		b.ready(n)
	})
}

// TestKnownNodeNewFolder: a server that lost its folder has forgotten its votes. The cluster recognises it, wherever it
// is reached now, and it opens no replica; with its old folder it does. An edge has nothing to forget.
func TestKnownNodeNewFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		root := t.TempDir()
		first := b.config("s1", api.RoleServer)
		first.Bootstrap, first.Dir = true, filepath.Join(root, "s1")
		s1 := b.open(first)
		b.ready(s1)

		disks := b.config("s2", api.RoleServer)
		_ = disks.Listener.Close()
		join := func(id api.NodeID, role api.Role, folder, at string) *Node {
			cfg := b.config(id, role)
			cfg.Join, cfg.Dir, cfg.Advertise = []string{"s1"}, filepath.Join(root, folder), at
			if folder == "s2" {
				cfg.Stores = disks.Stores // what the folder holds beside
			}
			return b.open(cfg)
		}
		stop := func(n *Node) {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
		s2, e1 := join("s2", api.RoleServer, "s2", "s2"), join("e1", api.RoleEdge, "e1", "e1")
		for _, n := range []*Node{s2, join("s3", api.RoleServer, "s3", "s3"), e1} { // two are a quorum of three
			b.ready(n)
		}
		stop(s2)
		stop(e1)

		for _, at := range []string{"s2", "s2", "moved"} { // also when it is tried again
			s2 = join("s2", api.RoleServer, "lost "+at, at)
			time.Sleep(time.Minute)
			if err := s2.Ready(context.Background()); api.CodeOf(err) != api.CodeUnavailable || !strings.Contains(err.Error(), "has not admitted this node") {
				t.Errorf("with a new folder, at %s: %v", at, err)
			}
			if open := s2.members.all(); len(open) > 0 {
				t.Errorf("with a new folder, at %s, it votes in %s", at, open[0].group)
			}
			stop(s2)
		}
		b.ready(join("s2", api.RoleServer, "s2", "s2"))
		b.ready(join("e1", api.RoleEdge, "lost too", "moved"))
		time.Sleep(10 * time.Second)
		if n, ok := s1.mirror.Map().Node("e1"); !ok || n.Address != "moved" {
			t.Errorf("the edge with a new folder is held to be at %q", n.Address)
		}
	})
}
