package cluster

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// founderIn is a server that is to found a cluster unless one of the others knows one.
func founderIn(b *bubble, id api.NodeID, dir string, others ...string) Config {
	cfg := b.config(id, api.RoleServer)
	cfg.Bootstrap, cfg.Join, cfg.Dir = true, others, dir
	return cfg
}

func clusterOf(n *Node) string {
	if m := n.mirror.Map(); m != nil {
		return m.ClusterID
	}
	return ""
}

// TestFounderLosesItsFolder: a server that founded a cluster and comes back without its folder, by the same command, founds no second
// one, also if the first node that answers it knows of none: it is refused in words, and passes requests on to the cluster.
func TestFounderLosesItsFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, root := newBubble(t), t.TempDir()
		s1 := b.open(founderIn(b, "s1", filepath.Join(root, "s1"), "s2", "s3", "s1"))
		time.Sleep(10 * time.Second)
		if err := s1.Ready(context.Background()); err == nil || !strings.Contains(err.Error(), "s2 has not answered") || !strings.Contains(err.Error(), "s3 has not answered") {
			t.Errorf("before the others have answered: %v, cluster %q", err, clusterOf(s1))
		}
		join := func(id api.NodeID) *Node {
			cfg := b.config(id, api.RoleServer)
			cfg.Join, cfg.Dir = []string{"s1"}, filepath.Join(root, string(id))
			return b.open(cfg)
		}
		s2, s3 := join("s2"), join("s3")
		for _, n := range []*Node{s1, s2, s3} {
			b.ready(n)
		}
		was := clusterOf(s1)
		if _, err := s1.Store().Do(context.Background(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k", Value: []byte("v")}}}); err != nil {
			t.Fatal(err)
		}
		if err := s1.Close(); err != nil {
			t.Fatal(err)
		}

		b.fabric.Cut("s1", "s2")
		s1 = b.open(founderIn(b, "s1", filepath.Join(root, "lost"), "s2", "s3"))
		time.Sleep(10 * time.Second) // s3 has answered
		b.fabric.Heal("s1", "s2")
		time.Sleep(time.Minute)
		if is := clusterOf(s1); is != was {
			t.Errorf("it was of cluster %q and is of %q", was, is)
		}
		if err := s1.Ready(context.Background()); err == nil || !strings.Contains(err.Error(), "has not admitted this node") || len(s1.members.all()) > 0 {
			t.Errorf("it has forgotten its votes, and is ready: %v, with %d replicas", err, len(s1.members.all()))
		}
		res, err := storetest.Read(context.Background(), s1.Store(), &api.ReadRequest{Keys: []api.Key{"k"}})
		if err != nil || string(res.Entries[0].Value) != "v" {
			t.Errorf("the old key through it: %+v, %v", res, err)
		}
		if err := s1.Close(); err != nil {
			t.Fatal(err)
		}
		s1 = b.open(founderIn(b, "s1", filepath.Join(root, "lost"))) // and it is not let in by being started anew, alone
		time.Sleep(10 * time.Second)
		if len(s1.members.all()) > 0 || clusterOf(s1) != was {
			t.Errorf("started again on the new folder it has %d replicas, of cluster %q", len(s1.members.all()), clusterOf(s1))
		}
	})
}

// TestSeveralFounders: of several servers that are to found a cluster one does, the first by name, in whatever order they start, whichever of
// each pair names the other; and all come to it.
func TestSeveralFounders(t *testing.T) {
	for name, others := range map[string]map[api.NodeID][]string{
		"all name all":      {"s1": {"s2", "s3"}, "s2": {"s1", "s3"}, "s3": {"s1", "s2"}},
		"a ring":            {"s1": {"s2"}, "s2": {"s3"}, "s3": {"s1"}},
		"the first names":   {"s1": {"s2", "s3"}, "s2": {"s3"}, "s3": {"s2"}},
		"the last is named": {"s1": {"s3"}, "s2": {"s3"}, "s3": {"s1", "s2"}},
		"by way of others":  {"s0": {"s2", "s3"}, "s1": {"s2", "s3"}, "s2": {"s9"}, "s3": {"s9"}, "s9": {"s2"}},
	} {
		up := slices.Sorted(maps.Keys(others))
		down := slices.Clone(up)
		slices.Reverse(down)
		for _, order := range [][]api.NodeID{up, down} {
			for _, apart := range []time.Duration{0, foundEvery, 2 * foundTimeout} {
				if testing.Short() && apart != foundEvery {
					continue
				}
				t.Run(fmt.Sprintf("%s, %s first, %v apart", name, order[0], apart), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { testFounders(t, others, order, apart) })
				})
			}
		}
	}
}

func testFounders(t *testing.T, others map[api.NodeID][]string, order []api.NodeID, apart time.Duration) {
	b, root := newBubble(t), t.TempDir()
	cfgs := map[api.NodeID]Config{}
	for _, id := range order {
		cfgs[id] = founderIn(b, id, filepath.Join(root, string(id)), others[id]...)
	}
	var nodes []*Node
	for _, id := range order {
		nodes = append(nodes, b.open(cfgs[id]))
		time.Sleep(apart)
	}
	time.Sleep(time.Minute)
	known := map[string]int{}
	for _, n := range nodes {
		if c := clusterOf(n); c != "" {
			known[c]++
		}
	}
	if len(known) != 1 || slices.ContainsFunc(nodes, func(n *Node) bool { return clusterOf(n) == "" }) {
		t.Errorf("the founders know these clusters: %v", known)
	}
	b.ready(nodes[0])
}

// TestFoundersOfOneName: two servers of one name do not wait in silence, and found nothing.
func TestFoundersOfOneName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		first, second := founderIn(b, "s1", t.TempDir(), "s9"), founderIn(b, "s9", t.TempDir(), "s1")
		second.ID, second.Advertise = "s1", "s9"
		for _, n := range []*Node{b.open(first), b.open(second)} {
			time.Sleep(10 * time.Second)
			if err := n.Ready(context.Background()); err == nil || !strings.Contains(err.Error(), "under the same name") {
				t.Errorf("%s: %v, cluster %q", n.cfg.Advertise, err, clusterOf(n))
			}
		}
	})
}

// TestFoundingLeftAndGivenBack: a server that has left the founding to another founds after all, if that one comes back and is not to
// found any more.
func TestFoundingLeftAndGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, root := newBubble(t), t.TempDir()
		disks := founderIn(b, "s1", filepath.Join(root, "s1"), "s2", "s8")
		s2 := b.open(founderIn(b, "s2", filepath.Join(root, "s2"), "s9")) // which comes later
		s1 := b.open(disks)                                               // waits for s8, which never comes
		time.Sleep(5 * time.Second)
		if err := s2.Ready(context.Background()); err == nil || !strings.Contains(err.Error(), "s9 has not answered") {
			t.Errorf("s2: %v", err)
		}
		joiner := func(id api.NodeID, seed string) *Node {
			cfg := b.config(id, api.RoleServer)
			cfg.Join, cfg.Dir = []string{seed}, filepath.Join(root, string(id))
			return b.open(cfg)
		}
		s9 := joiner("s9", "s2")
		time.Sleep(5 * time.Second)
		if err := s2.Ready(context.Background()); err == nil || !strings.Contains(err.Error(), "its name sorts first") || clusterOf(s2) != "" {
			t.Errorf("s2 has left the founding to s1: %v, cluster %q", err, clusterOf(s2))
		}
		if err := s1.Close(); err != nil {
			t.Fatal(err)
		}
		s1 = joiner("s1", "s2")
		for _, n := range []*Node{s1, s2, s9} {
			b.ready(n)
		}
		if c := clusterOf(s2); c == "" || clusterOf(s1) != c || clusterOf(s9) != c {
			t.Errorf("they are of the clusters %q, %q, %q", clusterOf(s1), c, clusterOf(s9))
		}
	})
}

// TestFoundingInterrupted: a server that ended after it had made its certificate and before the cluster existed founds it at its next
// start, although it asks others first, which know no cluster and no root.
func TestFoundingInterrupted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		other := func() *Node {
			cfg := b.config("s2", api.RoleServer)
			cfg.Join = []string{"s1"}
			return b.open(cfg)
		}
		knows := other()
		found := func() *Node {
			cfg := b.config("s1", api.RoleServer)
			cfg.Bootstrap, cfg.Secure, cfg.Dir, cfg.Join, cfg.noRenewal = true, true, dir, []string{"s2"}, true
			return b.open(cfg)
		}
		n := found()
		b.ready(n)
		cluster := n.mirror.Map().ClusterID
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		// What is written, and what others may have learned, once the cluster exists.
		if err := knows.Close(); err != nil {
			t.Fatal(err)
		}
		other()
		for _, file := range []string{"node", "placement", "roll"} {
			if err := os.Remove(filepath.Join(dir, file)); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		n = found()
		b.ready(n)
		if got := n.mirror.Map().ClusterID; got != cluster {
			t.Errorf("it founded %s first and %s now", cluster, got)
		}
	})
}
