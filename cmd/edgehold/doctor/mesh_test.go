package doctor

import (
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestMesh asks each server which others it reaches. One that is down for all is no matter of this check, and neither is an edge.
func TestMesh(t *testing.T) {
	servers := []api.NodeStatus{at(t, 0), at(t, time.Second), at(t, 2*time.Second)}
	for i := range servers {
		servers[i].Node = api.NodeID([]string{"s1", "s2", "s3"}[i])
	}
	down := api.NodeStatus{Node: "s4", Role: api.RoleServer, URL: "http://127.0.0.1:1", State: "unreachable"}
	edge := api.NodeStatus{Node: "e1", Role: api.RoleEdge, URL: "http://127.0.0.1:1", State: "up"}
	all := &api.Status{Nodes: append(slices.Clone(servers), down, edge)}
	views := map[string]*fakeNode{}
	for _, s := range servers {
		views[s.URL] = &fakeNode{status: all}
	}
	x := examOf(t, &fakeNode{status: all})
	says(t, mesh(t.Context(), x), Skip, "no server was asked")
	x.At = func(url string) Node { return views[url] }
	says(t, mesh(t.Context(), x), OK, "all 3 servers reach each other")

	cut := &api.Status{Nodes: slices.Clone(all.Nodes)}
	cut.Nodes[1].State, cut.Nodes[4].State = "unreachable", "unreachable"
	views[servers[2].URL] = &fakeNode{status: cut}
	found := mesh(t.Context(), x)
	says(t, found, Fail, "s3 does not reach s2; see the firewalls")
	if len(found) != 1 {
		t.Errorf("%+v", found)
	}
	views[servers[2].URL] = &fakeNode{err: api.Errorf(api.CodeDenied, "no right")}
	says(t, mesh(t.Context(), x), Skip, "2 of 3 servers reach all others")
	all.Nodes[1].URL = "http://127.0.0.1:1" // it answers the others, and not here
	says(t, mesh(t.Context(), x), Skip, "1 of 3 servers")
	for url := range views {
		views[url] = &fakeNode{err: api.Errorf(api.CodeUnauthenticated, "no token")}
	}
	says(t, mesh(t.Context(), x), Skip, "--token with the right observe")
	x.status = func() (*api.Status, error) { return nil, api.Errorf(api.CodeUnavailable, "no answer") }
	says(t, mesh(t.Context(), x), Fail, "--addr")
}
