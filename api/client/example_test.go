package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// node stands for a node of Edgehold, so that the examples run. With `edgehold dev` its URL is http://127.0.0.1:7400.
func node() *httptest.Server {
	m := storetest.NewMemory()
	return httptest.NewServer(httpd.New(front.New(front.Config{Store: m, Lister: m, Node: "us-east-1"}), httpd.Config{}))
}

func Example() {
	n := node()
	defer n.Close()
	ctx := context.Background()

	c, err := client.Open(ctx, client.Config{Endpoints: []string{n.URL}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	if _, err := c.Put(ctx, "us-east/alice", []byte("hello")); err != nil {
		log.Fatal(err)
	}
	v, err := c.Get(ctx, "us-east/alice")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, version %s, answered by the %s\n", v.Value, v.Version, v.ServedBy)

	_, err = c.Get(ctx, "us-east/bob")
	fmt.Println(errors.Is(err, api.CodeNotFound))
	// Output:
	// hello, version 1.1, answered by the owner
	// true
}

// Change a value only if it has not changed since it was read.
func ExampleIfVersion() {
	n := node()
	defer n.Close()
	ctx := context.Background()
	c, err := client.Open(ctx, client.Config{Endpoints: []string{n.URL}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	seen, err := c.Put(ctx, "stock", []byte("7"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.Put(ctx, "stock", []byte("6")); err != nil { // another client
		log.Fatal(err)
	}
	_, err = c.Put(ctx, "stock", []byte("5"), client.IfVersion(seen))
	if errors.Is(err, api.CodePreconditionFailed) {
		fmt.Println("another client was faster: read again")
	}
	// Output: another client was faster: read again
}

func ExampleClient_List() {
	n := node()
	defer n.Close()
	ctx := context.Background()
	c, err := client.Open(ctx, client.Config{Endpoints: []string{n.URL}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	for _, k := range []api.Key{"eu-west/carol", "us-east/alice", "us-east/bob"} {
		if _, err := c.Put(ctx, k, []byte("x")); err != nil {
			log.Fatal(err)
		}
	}
	for e, err := range c.List(ctx, "us-east/", client.KeysOnly()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Key, e.Version)
	}
	// Output:
	// us-east/alice 1.2
	// us-east/bob 1.3
}

// A Client of an edge in this process. With a node of package cluster it is client.New(node.Store()). Reads under leases that the
// edge holds are as fast as memory.
func ExampleNew() {
	var store api.Store = storetest.NewMemory() // stands for node.Store(), so that the example runs
	c := client.New(store)
	ctx := context.Background()

	if _, err := c.Put(ctx, "us-east/alice", []byte("hello")); err != nil {
		log.Fatal(err)
	}
	v, err := c.Get(ctx, "us-east/alice")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, version %s\n", v.Value, v.Version)
	// Output:
	// hello, version 1.1
}
