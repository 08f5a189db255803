package remote

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/peer/peertest"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestListPositions checks that the positions of a list arrive with the page, and that nodes of versions before and after them understand
// each other's pages.
func TestListPositions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := newGroup("g")
		g.at = []words.Listed{{Piece: words.Piece{Range: api.PrefixRange("a/"), Of: 3, Index: 1, Epoch: 4, Group: "g"}, At: words.Position{Incarnation: 5, Index: 6}}}
		if _, err := g.Memory.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "a/k", Value: []byte("v")}}}); err != nil {
			t.Fatal(err)
		}
		s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}})
		defer s.close()
		before := peer.NewMethod[words.ListRequest, api.ListResult]("List", admission.Request, peer.Nodes)
		old := w.Start("old", peer.ServerConfig{}, nil, func(s *peer.Server) {
			before.Handle(s, func(ctx context.Context, q *words.ListRequest) (*api.ListResult, error) {
				return g.Memory.List(ctx, &q.ListRequest)
			})
		})
		defer old.Close()
		q := &words.ListRequest{Group: "g", ListRequest: api.ListRequest{Range: api.PrefixRange("a/"), Limit: 5}}
		page, err := s.node("s").List(t.Context(), q)
		if err != nil || len(page.Entries) != 1 || !reflect.DeepEqual(page.At, g.at) {
			t.Errorf("%+v, %v", page, err)
		}
		page, err = Node{at(old, "s")}.List(t.Context(), q)
		if err != nil || len(page.Entries) != 1 || !reflect.DeepEqual(page.At, g.at) {
			t.Errorf("from another node: %+v, %v", page, err)
		}
		page, err = s.node("old").List(t.Context(), q)
		if err != nil || len(page.Entries) != 1 || len(page.At) != 0 {
			t.Errorf("of an older node: %+v, %v", page, err)
		}
		got, err := before.Ask(t.Context(), at(old, "s"), q)
		if err != nil || len(got.Entries) != 1 || string(got.Entries[0].Value) != "v" {
			t.Errorf("at an older node: %+v, %v", got, err)
		}
	})
}

func at(s *peertest.Station, id api.NodeID) *peer.Remote { return s.Pool.Remote(id) }
