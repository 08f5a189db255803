package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/local"
)

// An embedded edge can stand wherever a program uses a client of nodes.
var _ interface {
	Get(ctx context.Context, key api.Key, opts ...client.ReadOption) (client.Value, error)
} = (*cluster.Edge)(nil)

// An edge in the program's own process: the methods of the SDK, and reads under leases that leave neither the process nor the goroutine.
func ExampleOpenEdge() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	planet, err := local.Start(ctx, local.Config{Regions: []api.RegionID{"us-east"}, Replicas: 1, Edges: -1, Port: -1}) // a cluster to join
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = planet.Close() }()

	edge, err := cluster.OpenEdge(ctx, cluster.EdgeConfig{
		Join:   []string{strings.TrimPrefix(planet.Nodes()[0].URL, "http://")}, // HOST:PORT of servers
		Region: "us-east",
		// Token: the join token, if the cluster has TLS
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = edge.Close() }()
	if _, err := edge.Put(ctx, "flags/dark", []byte("on")); err != nil {
		fmt.Println(err)
		return
	}
	for {
		v, err := edge.Get(ctx, "flags/dark")
		if err != nil {
			fmt.Println(err)
			return
		}
		if v.ServedBy == api.ServedByLease { // from the second read or so on
			fmt.Printf("%s, answered by this process: %t\n", v.Value, v.Node == edge.ID())
			return
		}
	}
	// Output: on, answered by this process: true
}
