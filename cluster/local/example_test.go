package local_test

import (
	"context"
	"fmt"
	"time"

	"github.com/edgehold/edgehold/cluster/local"
)

// A test gets a planet in one line, and clients by region.
func ExampleDev() {
	t := &exampleTB{ctx: context.Background()} // in a test: its t *testing.T
	defer t.end()                              // a test does this by itself

	p := local.Dev(t, local.WithRegions("us-east", "ap-south"), local.WithRoundTrip(20*time.Millisecond))
	if _, err := p.Client("us-east").Put(t.Context(), "us-east/alice", []byte("hello")); err != nil {
		t.Fatalf("%v", err)
	}
	v, err := p.Client("ap-south").Get(t.Context(), "us-east/alice")
	fmt.Println(string(v.Value), v.Node, err)
	// Output: hello ap-south-edge-1 <nil>
}
