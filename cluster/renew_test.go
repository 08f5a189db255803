package cluster

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/placement"
)

// loseAnswer has the cluster carry the node's renewal out, and loses the answer.
func loseAnswer(t *testing.T, r *renewing, names ...string) {
	t.Helper()
	key, err := r.credentials.nextKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := join.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ask(t.Context(), &renewRequest{CSR: csr, Names: names}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // the map comes by itself
}

// TestRenewalLost: a node that does not hear the answers to its renewals, with or without a data folder, keeps a key that the cluster
// accepts, and gets its certificate in the end.
func TestRenewalLost(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		synctest.Test(t, func(t *testing.T) {
			j := newJoined(t)
			n := j.unrenewed("s2", api.RoleServer, dir)
			r := newRenewing(n)
			defer r.background.close()
			present := n.membership.credentials.identity().Pin()
			for range 3 {
				loseAnswer(t, r)
				time.Sleep(time.Minute)
			}
			if x, _ := j.first.mirror.Map().Node("s2"); !x.HasPin(present[:]) {
				t.Fatalf("the cluster does not accept the key that the node has: %x", x.Pins)
			}
			r.share = -1e6
			if n := figure(t, n.metrics, "edgehold_identity_renewals_total"); n != 0 {
				t.Errorf("%v renewals are counted before one", n)
			}
			if err := r.step(); err != nil {
				t.Fatal(err)
			}
			if n := figure(t, n.metrics, "edgehold_identity_renewals_total"); n != 1 {
				t.Errorf("%v renewals are counted", n)
			}
			pin := n.membership.credentials.identity().Pin()
			if x, _ := j.first.mirror.Map().Node("s2"); pin == present || !x.HasPin(pin[:]) {
				t.Errorf("the node has %x, and the cluster %x", pin, x.Pins)
			}
		})
	}
}

// unrenewed opens a node that joins and does not renew its certificate by itself, and waits until it is ready.
func (j *joined) unrenewed(id api.NodeID, role api.Role, dir string) *Node {
	j.t.Helper()
	cfg, _ := j.joiner(id, role, j.token(api.JoinTokenSpec{Role: role}))
	cfg.Dir, cfg.noRenewal = dir, true
	n := j.open(cfg)
	j.ready(n)
	return n
}

// TestNamesLost: a node whose names the map has, and its certificate does not, because the answer was lost, gets them all the same.
func TestNamesLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		n := j.unrenewed("s2", api.RoleServer, "")
		r := newRenewing(n)
		defer r.background.close()
		n.cfg.Names = []string{"api.example.com"}
		loseAnswer(t, r, n.cfg.Names...)
		for range 2 {
			if err := r.step(); err != nil {
				t.Fatal(err)
			}
		}
		id := n.membership.credentials.identity()
		if !slices.Contains(id.Leaf.DNSNames, "api.example.com") {
			t.Errorf("the certificate has the names %v", id.Leaf.DNSNames)
		}
		if err := r.step(); err != nil || n.membership.credentials.identity() != id {
			t.Errorf("renewed again: %v", err)
		}
	})
}

// TestFirstCertificateLost: a node of a plain cluster that becomes secure asks again if it did not hear the answer with its first
// certificate, also after a restart.
func TestFirstCertificateLost(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		first := b.config("s1", api.RoleServer)
		first.Bootstrap = true
		s1 := b.open(first)
		b.ready(s1)
		cfg := b.config("s2", api.RoleServer)
		cfg.Join, cfg.Dir, cfg.noRenewal = []string{"s1"}, dir, true
		n := b.open(cfg)
		b.ready(n)
		if _, err := s1.SetSetting(t.Context(), "security", "both", false); err != nil {
			t.Fatal(err)
		}
		r := newRenewing(n)
		loseAnswer(t, r)
		r.background.close()
		_ = n.Close()
		again := b.config("s2x", api.RoleServer)
		cfg.noRenewal, cfg.Listener, cfg.Advertise = false, again.Listener, "s2x"
		n = b.open(cfg)
		b.ready(n)
		time.Sleep(5 * time.Second)
		if n.membership.credentials.identity() == nil {
			t.Fatal("the node has no certificate")
		}
		time.Sleep(time.Minute)
		if _, err := s1.SetSetting(t.Context(), "security", "tls", false); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if n.membership.security.kind() != placement.TLS {
			t.Error("the node does not know that the cluster speaks TLS")
		}
	})
}

// TestNoWriteFailsByRenewal: when the map drops the pin of a node on which its connections rest, nothing is under way on them: it has made new
// ones since its key is new.
func TestNoWriteFailsByRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		n := j.unrenewed("e1", api.RoleEdge, "")
		r := newRenewing(n)
		defer r.background.close()
		r.share = -1e6
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 8)
		for w := range cap(done) {
			go func() { done <- writes(ctx, n, api.Key(fmt.Sprint(w))) }()
		}
		time.Sleep(time.Second)
		if err := r.step(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		r.served = r.served.Add(-dropAfter) // as if that was long ago
		if err := r.step(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if now, _ := j.first.mirror.Map().Node(n.cfg.ID); len(now.Pins) != 1 {
			t.Errorf("%s has %d pins", n.cfg.ID, len(now.Pins))
		}
		stop()
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// writes adds to the key again and again, until ctx ends or a write fails.
func writes(ctx context.Context, n *Node, key api.Key) error {
	for i := 0; ctx.Err() == nil; i++ {
		if _, err := n.Store().Do(context.Background(), &api.Txn{Then: []api.Op{{Kind: api.OpAdd, Key: key, Delta: 1}}}); err != nil {
			return fmt.Errorf("write %d: %w", i, err)
		}
	}
	return nil
}

// TestRenewalsAreBounded: a node that changes its key and names again and again is refused before it changes the map.
func TestRenewalsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		n := j.unrenewed("e1", api.RoleEdge, "")
		key, err := join.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		csr, err := join.NewRequest(key)
		if err != nil {
			t.Fatal(err)
		}
		before := j.first.mirror.Map().Version
		for i := range 100 {
			names := []string{fmt.Sprintf("10.0.0.%d", i)}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			_, _ = methodRenew.Call(ctx, n.pool.Remote("s1"), &renewRequest{CSR: csr, Names: names}) // most are refused
			cancel()
		}
		if changes := j.first.mirror.Map().Version - before; changes > 2*touchBurst {
			t.Errorf("a node has changed the map %d times within a second", changes)
		}
	})
}

// TestPlainRenewal: while a cluster becomes secure, a caller without TLS that calls itself a node gets no certificate in that node's
// name once it has a key, and takes no key away.
func TestPlainRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		cfg := b.config("s1", api.RoleServer)
		cfg.Bootstrap = true
		s1 := b.open(cfg)
		b.ready(s1)
		cfg = b.config("e1", api.RoleEdge)
		cfg.Join = []string{"s1"}
		n := b.open(cfg)
		b.ready(n)
		if _, err := s1.SetSetting(t.Context(), "security", "both", false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		before, _ := s1.mirror.Map().Node("e1")
		if len(before.Pins) != 1 {
			t.Fatalf("the edge has %d pins", len(before.Pins))
		}
		key, err := join.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		csr, err := join.NewRequest(key)
		if err != nil {
			t.Fatal(err)
		}
		caller := peer.Caller{Node: "e1", Role: api.RoleEdge, Num: before.Num, Plain: true}
		ctx := words.WithCaller(t.Context(), &caller)
		for _, q := range []*renewRequest{{CSR: csr}, {Drop: before.Pins[0]}} {
			if _, err := s1.registrar.renew(ctx, q); api.CodeOf(err) != api.CodeDenied {
				t.Errorf("without TLS: %v", err)
			}
		}
		if now, _ := s1.mirror.Map().Node("e1"); !now.Equal(before) {
			t.Errorf("the edge was %+v and is %+v", before, now)
		}
	})
}
