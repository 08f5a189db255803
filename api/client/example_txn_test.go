package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strconv"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// Move money between two accounts that may be on different continents.
func ExampleClient_Txn() {
	n := node()
	defer n.Close()
	ctx := context.Background()
	c, err := client.Open(ctx, client.Config{Endpoints: []string{n.URL}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Put(ctx, "eu-west/alice", []byte("100")); err != nil {
		log.Fatal(err)
	}

	notEnough := errors.New("not enough money")
	pay := func(amount int64) error {
		return c.Txn(ctx, func(tx *client.Tx) error {
			from, err := tx.Get(ctx, "eu-west/alice")
			if err != nil {
				return err
			}
			has, err := strconv.ParseInt(string(from.Value), 10, 64)
			if err != nil {
				return err
			}
			if has < amount {
				return notEnough // nothing is written
			}
			if err := tx.Add("eu-west/alice", -amount); err != nil {
				return err
			}
			return tx.Add("us-east/bob", amount) // bob need not be read, and need not exist
		})
	}
	fmt.Println(pay(70))
	fmt.Println(pay(70))
	// Output:
	// <nil>
	// not enough money
}

// Sum two accounts while money moves between them. A View sees the money in exactly one of them.
func ExampleClient_View() {
	n := node()
	defer n.Close()
	ctx := context.Background()
	c, err := client.Open(ctx, client.Config{Endpoints: []string{n.URL}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Put(ctx, "eu-west/alice", []byte("100")); err != nil {
		log.Fatal(err)
	}

	var sum int64
	err = c.View(ctx, func(tx *client.Tx) error {
		sum = 0 // the function may run again
		accounts, err := tx.GetAll(ctx, "eu-west/alice", "us-east/bob")
		if err != nil {
			return err
		}
		for _, a := range accounts {
			if !a.Exists {
				continue
			}
			has, err := strconv.ParseInt(string(a.Value), 10, 64)
			if err != nil {
				return err
			}
			sum += has
		}
		return nil
	})
	fmt.Println(sum, err)

	err = c.View(ctx, func(tx *client.Tx) error { return tx.Delete("eu-west/alice") })
	fmt.Println(errors.Is(err, api.CodeInvalid))
	// Output:
	// 100 <nil>
	// true
}
