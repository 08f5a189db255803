package cluster

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestLyingNodeIsNotFound: with TLS an edge says that it is a server. It is not taken for that one, and an address that was noted
// wrongly is forgotten at the first dial.
func TestLyingNodeIsNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2", "s3", "e1")
		s.start()
		n := s.nodes["s1"]
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if n.membership.proves(ctx, "test", "s3", "e1") {
			t.Error("an edge passes for a server")
		}
		if !n.membership.proves(ctx, "test", "s3", "s3") {
			t.Error("a server does not prove itself")
		}
		n.membership.addresses.note("s3", foundAt{"e1", "s3"})
		c, err := n.membership.dialNode(n.membership.dialer.DialPeer)(ctx, "s3")
		if err == nil {
			_ = c.Close()
			t.Error("an edge is dialed as a server")
		}
		if at, ok := n.membership.address("s3"); !ok || at != "s3" {
			t.Errorf("s3 is looked for at %q", at)
		}
		if _, err := reportOf(ctx, n.pool.Remote(api.NodeID("s3"))); err != nil {
			t.Error(err)
		}
	})
}
