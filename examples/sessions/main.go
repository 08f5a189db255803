// Command sessions keeps the sessions of a web application: created at one edge, read at every edge, changed at several
// edges at once without losing a change, and ended everywhere at once.
//
// Usage: go run ./examples/sessions URL... (one node a place, as `edgehold dev` prints them)
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: sessions URL...")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	err := run(ctx, os.Args[1:])
	cancel()
	if err != nil {
		log.Fatal(err)
	}
}

// run plays an application with an instance beside each node.
func run(ctx context.Context, urls []string) error {
	var edges []*Store
	for _, url := range urls {
		c, err := client.Open(ctx, client.Config{Endpoints: []string{url}})
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }() // it only gives connections back
		edges = append(edges, &Store{client: c, prefix: "us-east/sessions/", life: time.Hour})
	}
	id, err := edges[0].Create(ctx, "alice")
	if err != nil {
		return err
	}
	for _, do := range []func(context.Context, []*Store, string) error{readEverywhere, viewEverywhere, endEverywhere} {
		if err := do(ctx, edges, id); err != nil {
			return err
		}
	}
	return nil
}

// readEverywhere reads the session at each edge, as the requests of a visitor do, until the edge answers under a lease. It
// prints each change of what answers.
func readEverywhere(ctx context.Context, edges []*Store, id string) error {
	for _, edge := range edges {
		var last string
		for last != api.ServedByLease.String() {
			session, v, err := edge.Get(ctx, id)
			if err != nil {
				return err
			}
			if by := v.ServedBy.String(); by != last {
				fmt.Printf("%s: the session of %s, served by %s\n", v.Node, session.User, by)
				last = by
			}
			time.Sleep(betweenRequests)
		}
	}
	return nil
}

// betweenRequests is the time between two requests of a visitor.
const betweenRequests = 20 * time.Millisecond

// viewEverywhere counts a page view at all edges at once, then reads the count at each.
func viewEverywhere(ctx context.Context, edges []*Store, id string) error {
	var wg sync.WaitGroup
	errs := make([]error, len(edges))
	for i, edge := range edges {
		wg.Go(func() { _, errs[i] = edge.Update(ctx, id, func(s *Session) { s.Views++ }) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, edge := range edges {
		session, v, err := edge.Get(ctx, id)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d views\n", v.Node, session.Views)
	}
	return nil
}

// endEverywhere ends the session at the first edge and looks for it at each, then sweeps what has expired.
func endEverywhere(ctx context.Context, edges []*Store, id string) error {
	if err := edges[0].End(ctx, id); err != nil {
		return err
	}
	for _, edge := range edges {
		_, v, err := edge.Get(ctx, id)
		switch {
		case err == nil:
			return fmt.Errorf("%s still finds the session after its end", v.Node)
		case !errors.Is(err, ErrNoSession):
			return err
		}
		fmt.Printf("%s: %v\n", v.Node, err)
	}
	short := *edges[0]
	short.life = 0 // expires at once
	if _, err := short.Create(ctx, "bob"); err != nil {
		return err
	}
	swept, err := edges[0].Sweep(ctx)
	fmt.Printf("%d swept\n", swept)
	return err
}
