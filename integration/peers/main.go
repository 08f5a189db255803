// Command peers does the same work against Edgehold and against its peers, each over its own public API, on one machine
// and one disk, and prints what came out side by side:
//
//   - puts and linearizable reads: Edgehold, etcd, and NATS JetStream KV (puts only), three members each, every
//     acknowledged write fsynced;
//   - local reads: Edgehold's leased reads at an edge, a bare handler behind the same server, and Redis.
//
// Every member is a process of its own, so that the CPU of servers and of the load is measured separately: Edgehold's is the real
// binary, built from the tree; etcd's and NATS' are this program, run again as "peers member". It is a module of its own,
// so that Edgehold's needs none of this. docs/benchmarks/peers.md says what the columns mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := start(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func start(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 && args[0] == "member" {
		return runMember(ctx, args[1:])
	}
	if len(args) > 0 && args[0] == "merge" {
		return mergeProfiles(args[1:])
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	r, err := bench(ctx, o)
	if err != nil {
		return err
	}
	return r.write(o)
}
