package cluster

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// TestLevel1Folders opens data folders of a program that knew level 1 alone, with either kind of log: all is as it was, the
// group rises to the newest level, goes on there, and comes back there.
func TestLevel1Folders(t *testing.T) {
	for _, kind := range []LogKind{"bolt", "wal"} {
		t.Run(string(kind), func(t *testing.T) {
			dir := t.TempDir()
			unpack(t, filepath.Join("testdata", "level-1-"+string(kind)+".tar.gz"), dir)
			for _, level := range []fsm.Level{fsm.Level1, fsm.NewestLevel} {
				n := openFolder(t, dir)
				asItWas(t, n, level)
				until(t, "the newest level", func() string {
					if n.Machine("r.1").Level() == fsm.NewestLevel && n.Machine("r.2").Level() == fsm.NewestLevel {
						return ""
					}
					return "not yet"
				}, "")
				asItWas(t, n, fsm.NewestLevel)
				mapRises(t, n)
				if err := n.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// mapRises waits until the map has risen, and checks that its node has a number and its old places.
func mapRises(t *testing.T, n *Node) {
	t.Helper()
	until(t, "the newest level of the map", func() string {
		if m := n.mirror.Map(); m.Level == placement.NewestLevel {
			return ""
		}
		return "not yet"
	}, "")
	m := n.mirror.Map()
	if s1, ok := m.Node("s1"); !ok || s1.Num != 1 || m.NextNum != 2 || len(m.VotersAt("s1")) != 3 {
		t.Errorf("the map has %+v, next number %d, places %v", s1, m.NextNum, m.VotersAt("s1"))
	}
	if err := m.Check(); err != nil {
		t.Error(err)
	}
}

func openFolder(t *testing.T, dir string) *Node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quick := replica.Timing{Heartbeat: 100 * time.Millisecond, Election: 100 * time.Millisecond, LeaderLease: 50 * time.Millisecond}
	n, err := Open(context.Background(), Config{
		ID: "s1", Region: "r", Role: api.RoleServer, Listener: l, Dir: dir, Bootstrap: true, RegionTiming: quick, WideTiming: quick,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	until(t, "ready", func() string {
		if err := n.Ready(context.Background()); err != nil {
			return err.Error()
		}
		return ""
	}, "")
	return n
}

// asItWas checks what the folders hold, and writes something new.
func asItWas(t *testing.T, n *Node, least fsm.Level) {
	t.Helper()
	for _, g := range []api.GroupID{"r.1", "r.2"} {
		if level := n.Machine(g).Level(); level < least {
			t.Errorf("%s is at level %d, want at least %d", g, level, least)
		}
	}
	s, ctx := n.Store(), t.Context()
	for k, want := range map[api.Key]string{
		"k/0": "v0", "k/1": "new", "k/2": "v2", "k/3": "v3", "k/4": "v4", "k/1n": "7", "n": "5", "m": "6", "k/o": "7", "list": "<1>", "after": "snapshot",
	} {
		r, err := storetest.Read(ctx, s, &api.ReadRequest{Keys: []api.Key{k}})
		if err != nil || string(r.Entries[0].Value) != want {
			t.Errorf("%s: %+v, %v, want %q", k, r, err, want)
		}
	}
	if r, err := storetest.Read(ctx, s, &api.ReadRequest{Keys: []api.Key{"k/5"}}); err != nil || r.Entries[0].Exists {
		t.Errorf("k/5 was deleted: %+v, %v", r, err)
	}
	get := func(k api.Key) api.Op { return api.Op{Kind: api.OpGet, Key: k} }
	add := func(k api.Key, n int64) api.Op { return api.Op{Kind: api.OpAdd, Key: k, Delta: n} }
	put := func(k api.Key, v string) api.Op { return api.Op{Kind: api.OpPut, Key: k, Value: []byte(v)} }
	one := api.ClientID{1}
	for _, sent := range []struct {
		txn  api.Txn
		sums map[int]string // by step
	}{
		{api.Txn{ID: api.RequestID{Client: one, Seq: 1}, Then: []api.Op{get("k/1"), put("k/1", "new"), add("k/1n", 7)}}, map[int]string{2: "7"}},
		{api.Txn{ID: api.RequestID{Client: one, Seq: 2}, Then: []api.Op{
			get("k/0"), get("k/1"), get("k/2"), get("k/3"), get("k/4"), add("n", 5), add("m", 6), add("k/o", 7),
			{Kind: api.OpAppendIfAbsent, Key: "list", Value: []byte("<1>")},
		}}, map[int]string{5: "5", 6: "6", 7: "7"}},
		{api.Txn{ID: api.RequestID{Client: api.ClientID{2}}, Then: []api.Op{{Kind: api.OpDelete, Key: "k/5"}, get("k/5")}}, nil},
	} {
		r := done(t, s, &sent.txn)
		if !r.Replayed || !r.Committed {
			t.Fatalf("sent again: %+v", r)
		}
		for i, want := range sent.sums {
			if got := string(r.Entries[i].Value); got != want {
				t.Errorf("sent again, step %d is %q, want %q", i, got, want)
			}
		}
	}
	if r := done(t, s, &api.Txn{Then: []api.Op{put("k/x", "x"), put("k/y", "y"), add("count", 1)}}); !r.Committed {
		t.Errorf("a new transaction: %+v", r)
	}
}

// done is the transaction's result, once the node knows the leaders of all groups that it needs.
func done(t *testing.T, s api.Store, txn *api.Txn) (r *api.TxnResult) {
	t.Helper()
	until(t, "a transaction", func() string {
		var err error
		if r, err = s.Do(t.Context(), txn); err != nil {
			return err.Error()
		}
		return ""
	}, "")
	return r
}

func unpack(t *testing.T, file, dir string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o700)
		} else {
			err = unpackFile(name, r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unpackFile(name string, r io.Reader) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// TestOlderNodeIsNoMember: a server whose program is older than the leader's is not added to a group, since it could not follow
// the log. Upgraded, it is.
func TestOlderNodeIsNoMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		s1 := b.found()
		second := b.config("s2", api.RoleServer)
		second.Join, second.Dir = []string{"s1"}, t.TempDir()
		second.level, second.mapLevel = fsm.Level1, 1 // of the map it knows none
		s2 := b.open(second)
		time.Sleep(time.Minute)
		for _, g := range []api.GroupID{"r.1", ident.MetaGroup} {
			if nodes := s1.members.get(g).raft.Configured(); len(nodes) != 1 {
				t.Errorf("the members of %s are %q, and one of them knows no levels", g, nodes)
			}
		}
		if level := s1.replicas.mapLevelOf(t.Context(), []string{"s1", "s2"}); level != placement.Level0 {
			t.Errorf("both are said to know level %d of the map", level)
		}
		if level := s1.replicas.levelOf(t.Context(), []string{"s1", "s2"}); level != fsm.Level1 {
			t.Errorf("both are said to know level %d", level)
		}
		if err := s2.Close(); err != nil {
			t.Fatal(err)
		}
		if level := s1.replicas.levelOf(t.Context(), []string{"s1", "s2"}); level != fsm.Level1 {
			t.Errorf("with one that does not answer both are said to know level %d", level)
		}
		var err error
		if second.Listener, err = b.fabric.Listen("s2", "r"); err != nil {
			t.Fatal(err)
		}
		second.level, second.mapLevel = 0, 0
		s2 = b.open(second)
		b.ready(s2)
		if level := s1.replicas.levelOf(t.Context(), s1.members.get("r.1").raft.Configured()); level != fsm.NewestLevel {
			t.Errorf("both are said to know level %d", level)
		}
		if level := s1.replicas.mapLevelOf(t.Context(), s1.members.get(ident.MetaGroup).raft.Configured()); level != placement.NewestLevel {
			t.Errorf("both are said to know level %d of the map", level)
		}
	})
}

// TestHaltedMap: a node whose replica of the meta group met an entry of a newer version is not ready, and names the next step. Attack
// 45.
func TestHaltedMap(t *testing.T) {
	for name, entry := range map[string][]byte{
		"version": {byte(placement.NewestLevel) + 1, 1}, "kind": {byte(placement.NewestLevel), 0xff},
		"level": placement.Encode(placement.SetLevel{Level: placement.NewestLevel + 1}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t)
				cfg := b.config("s1", api.RoleServer)
				cfg.Bootstrap, cfg.Dir = true, t.TempDir()
				n := b.open(cfg)
				b.ready(n)
				x := n.members.get(ident.MetaGroup)
				before := x.meta.Map()
				if _, err := x.raft.(*replica.Replica[placement.Result]).Propose(t.Context(), entry); api.CodeOf(err) != api.CodeAmbiguous {
					t.Errorf("the command of a newer version gave %v", err)
				}
				err := n.Ready(t.Context())
				if want := "meta has entries of a newer version: upgrade this node"; api.AsError(err).Hint != want {
					t.Errorf("ready: %v, want %q", err, want)
				}
				if x.meta.Map() != before {
					t.Error("the map has changed")
				}
			})
		})
	}
}

// TestHaltedGroup: a node whose replica met an entry of a newer version is not ready, and names the group and the next step.
func TestHaltedGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		cfg := b.config("s1", api.RoleServer)
		cfg.Bootstrap, cfg.Dir = true, t.TempDir()
		n := b.open(cfg)
		b.ready(n)
		raft := n.members.get("r.1").raft.(*replica.Replica[fsm.Result])
		if _, err := raft.Propose(t.Context(), []byte{byte(fsm.NewestLevel) + 1, 1}); api.CodeOf(err) != api.CodeAmbiguous {
			t.Errorf("the command of a newer version gave %v", err)
		}
		err := n.Ready(t.Context())
		if want := "r.1 has entries of a newer version: upgrade this node"; api.AsError(err).Hint != want {
			t.Errorf("ready: %v, want %q", err, want)
		}
		if _, err := storetest.Read(t.Context(), n.Store(), &api.ReadRequest{Keys: []api.Key{"k"}, Consistency: api.Quorum}); err == nil {
			t.Error("a read was served from a state that is not that of the log")
		}
		if n.members.get(ident.MetaGroup).raft.Halted() != nil {
			t.Error("the other group has halted, too")
		}
	})
}

// TestEdgeHoldsLevel: an edge whose program is older holds the level of the map, and with it those of the groups, which the settings
// of histories need. A node that was removed from the map holds nothing.
func TestEdgeHoldsLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		older := func(c Config) Config { c.level, c.mapLevel = fsm.Level2, placement.LevelIdentity; return c }
		first := b.config("s1", api.RoleServer)
		first.Bootstrap, first.Dir = true, t.TempDir()
		s1 := b.open(older(first))
		b.ready(s1)
		var edges []*Node
		var configs []Config
		for _, id := range []api.NodeID{"e1", "e2"} {
			c := b.config(id, api.RoleEdge)
			c.Join = []string{"s1"}
			edges, configs = append(edges, b.open(older(c))), append(configs, c)
			b.ready(edges[len(edges)-1])
		}
		again := func(n *Node, c Config) *Node {
			t.Helper()
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			var err error
			if c.Listener, err = b.fabric.Listen(string(c.ID), "r"); err != nil {
				t.Fatal(err)
			}
			n = b.open(c)
			b.ready(n)
			return n
		}
		s1 = again(s1, first)
		time.Sleep(time.Minute)
		at := func(what string, mapLevel placement.Level, level fsm.Level, held ...api.NodeID) {
			t.Helper()
			l, err := s1.ClusterLevel(t.Context())
			if err != nil || l.Level != int(mapLevel) || len(l.HeldBy) != len(held) {
				t.Fatalf("%s: the level of the map is %+v, %v, want %d", what, l, err, mapLevel)
			}
			for i, h := range l.HeldBy {
				if h.Node != held[i] {
					t.Errorf("%s: held by %v, want %v", what, l.HeldBy, held)
				}
			}
			if got := s1.Machine("r.1").Level(); got != level {
				t.Errorf("%s: the group is at level %d, want %d", what, got, level)
			}
		}
		at("two older edges", placement.LevelIdentity, fsm.Level2, "e1", "e2")
		if _, err := s1.SetSetting(t.Context(), placement.SettingHistoryMax, "1MiB", false); api.CodeOf(err) != api.CodeConflict {
			t.Errorf("a setting of a later level: %v", err)
		}
		e1 := configs[0]
		again(edges[0], e1)
		time.Sleep(time.Minute)
		at("one older edge", placement.LevelIdentity, fsm.Level2, "e2")
		if err := edges[1].Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		at("one that is down", placement.LevelIdentity, fsm.Level2, "e2")
		if _, err := s1.Remove(t.Context(), "e2", true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		at("none", placement.NewestLevel, fsm.NewestLevel)
		if _, err := s1.SetSetting(t.Context(), placement.SettingHistoryMax, "8MiB", false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if most := s1.Machine("r.1").Position().Max; most != 1<<20 { // an eighth, as it is in memory
			t.Errorf("the history may take %d bytes", most)
		}
	})
}

// TestLevel2Folder opens a data folder of a program that knew level 2 of groups and level 3 of the map: all is as it was, both rise to
// the newest level, and the history begins there.
func TestLevel2Folder(t *testing.T) {
	dir := t.TempDir()
	unpack(t, filepath.Join("testdata", "level-2-wal.tar.gz"), dir)
	for range 2 {
		n := openFolder(t, dir)
		until(t, "the newest level", func() string {
			if n.Machine("r.1").Level() == fsm.NewestLevel && n.Machine("r.2").Level() == fsm.NewestLevel {
				return ""
			}
			return "not yet"
		}, "")
		for k, want := range map[api.Key]string{"k/1": "v1", "k/2": "v2", "k/3": ""} {
			r, err := storetest.Read(t.Context(), n.Store(), &api.ReadRequest{Keys: []api.Key{k}})
			if err != nil || string(r.Entries[0].Value) != want || r.Entries[0].Exists != (want != "") {
				t.Errorf("%s: %+v, %v, want %q", k, r, err, want)
			}
		}
		done(t, n.Store(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k/new", Value: []byte("v")}}})
		events := 0
		for _, g := range []api.GroupID{"r.1", "r.2"} {
			p := n.Machine(g).Position()
			h, err := n.Machine(g).History(p.Floor, 1<<20)
			if events += len(h.Events); err != nil || p.Floor == 0 {
				t.Errorf("%s: the history begins at %d (%v)", g, p.Floor, err)
			}
		}
		if events == 0 {
			t.Error("nothing of what was written stands in a history")
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
