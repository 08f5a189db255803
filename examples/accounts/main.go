// Command accounts moves money between two accounts with the Go SDK: a read, a conditional write, a transaction and a view.
//
// Usage: go run ./examples/accounts URL... (of nodes, the nearest first; `edgehold dev` prints them)
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	c, err := client.Open(ctx, client.Config{Endpoints: os.Args[1:]}) // nearest first; it fails over
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	for _, do := range []func(context.Context, *client.Client) error{set, archive, show} {
		if err := do(ctx, c); err != nil {
			log.Fatal(err)
		}
	}
}

// set changes an account if no other client has changed it in between.
func set(ctx context.Context, c *client.Client) error {
	version, err := c.Put(ctx, "eu-west/alice", []byte("100"))
	if err != nil {
		return err
	}
	v, err := c.Get(ctx, "eu-west/alice") // v.Value, v.Version, v.ServedBy
	if err != nil {
		return err
	}
	fmt.Printf("alice has %s, unchanged: %t\n", v.Value, v.Version == version)
	_, err = c.Put(ctx, "eu-west/alice", []byte("90"), client.IfVersion(v.Version))
	if errors.Is(err, api.CodePreconditionFailed) {
		return errors.New("another client was faster: read again")
	}
	return err
}

// archive moves an account to another key: both happen, or neither.
func archive(ctx context.Context, c *client.Client) error {
	return c.Txn(ctx, func(tx *client.Tx) error {
		v, err := tx.Get(ctx, "eu-west/alice") // sees what tx itself has written
		if err != nil {
			return err // an error ends it, without effect
		}
		if err := tx.Put("us-east/alice", v.Value); err != nil {
			return err
		}
		return tx.Delete("eu-west/alice")
	})
}

// show reads both keys as of one instant.
func show(ctx context.Context, c *client.Client) error {
	return c.View(ctx, func(tx *client.Tx) error { // reads only, one snapshot
		accounts, err := tx.GetAll(ctx, "eu-west/alice", "us-east/alice")
		if err != nil {
			return err
		}
		for _, a := range accounts {
			fmt.Printf("%s: %t %s\n", a.Key, a.Exists, a.Value)
		}
		return nil
	})
}
