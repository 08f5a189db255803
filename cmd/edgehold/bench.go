package main

import (
	"context"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/bench"
	"github.com/edgehold/edgehold/cmd/edgehold/bench/load"
)

// benchOptions are the settings of bench.
type benchOptions struct {
	reads, zipf, rate            float64
	keys                         int64
	keySize, valueSize, clients  int
	prefix, consistency, html    string
	maxStale, duration, warmup   time.Duration
	prepare, cleanup, consistent bool // consistent: --consistency was chosen
	how                          client.ReadOption
}

// What bench takes at most.
const (
	maxBenchKeys    = 1 << 31
	maxBenchClients = 16384 // at all endpoints together
	maxBenchRate    = 1e7
	maxBenchZipf    = 10
	maxBenchTime    = 24 * time.Hour
)

func newBench(a *app) *cobra.Command {
	o := &benchOptions{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Put a load on a running cluster and measure how it bears it",
		Long: `Put a load of reads and writes on a running cluster, and print how many there were and how long they took.

--addr names the endpoints at which the load arrives, such as an edge of each region: each has --clients clients of its
own, that talk to no other endpoint, and results of its own. An operation includes the tries that the client makes within
--timeout. The keys have the prefix --prefix, and their values are lost.

Without --rate each client starts an operation when its last one has ended, so a slow cluster is asked less. With --rate
operations are due at even intervals, whatever the cluster does: one that must wait until a client is free is late, and
the wait is part of its latency; one for which no client became free in time is counted as not started. That is how users
would feel it; ask for less than the cluster can do to see its latency, and for more to see how it bears that.

Latencies are of operations that were answered, also with "there is no such key"; those that failed are counted by the
code of their error. Ctrl-C ends the measuring and prints what was measured so far. It exits with 1 after that, and where
nothing was answered at all.`,
		Example: `  edgehold bench --prepare --cleanup
  edgehold bench --addr http://127.0.0.1:7409,http://127.0.0.1:7411 --prefix eu-west/bench/ --reads 99 --zipf 0.99 --clients 32
  edgehold bench --rate 2000 --duration 1m --warmup 10s --html latency.html`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.consistent = cmd.Flags().Changed("consistency")
			return runBench(cmd.Context(), a, o)
		},
	}
	o.addTo(cmd)
	return cmd
}

func (o *benchOptions) addTo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Float64Var(&o.reads, "reads", 95, "how many of a hundred operations are reads")
	f.Int64Var(&o.keys, "keys", 10_000, "how many keys there are")
	f.Float64Var(&o.zipf, "zipf", 0, "skew of their popularity, 0.99 is a usual one; 0 asks for all alike")
	f.IntVar(&o.keySize, "key-size", 0, "bytes of a key, its prefix included; 0 is as short as can be")
	f.IntVar(&o.valueSize, "value-size", 256, "bytes of a value")
	f.StringVar(&o.prefix, "prefix", "bench/", "what every key begins with; it decides which region owns them")
	f.IntVar(&o.clients, "clients", 16, "operations under way at each endpoint at the same time")
	f.StringVar(&o.consistency, "consistency", "linearizable", "of the reads: linearizable, quorum (always asks the owner), bounded (see --max-stale) or stale")
	f.DurationVar(&o.maxStale, "max-stale", 0, "how old a value read may be; by itself it asks for bounded")
	f.Float64Var(&o.rate, "rate", 0, "operations due in a second, all endpoints together; 0 lets each client go as fast as it can")
	f.DurationVar(&o.duration, "duration", 10*time.Second, "how long to measure")
	f.DurationVar(&o.warmup, "warmup", 0, "how long the load goes on before it is measured")
	f.BoolVar(&o.prepare, "prepare", false, "write every key first")
	f.BoolVar(&o.cleanup, "cleanup", false, "delete the keys at the end, also after Ctrl-C")
	f.StringVar(&o.html, "html", "", "write a picture of the latencies to `FILE`, a page that needs nothing else")
	completeWith(cmd, "consistency", "linearizable", "quorum", "bounded", "stale")
	for flag, values := range map[string][]string{
		"reads": {"0", "50", "95", "99", "100"}, "zipf": {"0", "0.99", "1.2"}, "duration": {"10s", "30s", "1m", "5m"}, "warmup": {"0s", "5s", "30s"},
		"keys": nil, "key-size": nil, "value-size": nil, "prefix": nil, "clients": nil, "rate": nil, "max-stale": nil,
	} {
		completeWith(cmd, flag, values...)
	}
	if err := cmd.MarkFlagFilename("html", "html"); err != nil {
		panic(err) // the flag does not exist: a slip in this package
	}
}

func runBench(ctx context.Context, a *app, o *benchOptions) error {
	if err := o.check(len(a.addrs)); err != nil {
		return err
	}
	if len(a.addrs) == 0 {
		return usagef("--addr is empty: name a node, such as http://127.0.0.1:7400")
	}
	cfg := bench.Config{
		Plan: o.plan(), Endpoints: a.addrs, Read: o.how, Prepare: o.prepare, Cleanup: o.cleanup, HTML: o.html,
		Report:   func(r *load.Report) error { return a.show(a.out, r, bench.Text(r, explain)) },
		Progress: &progress{t: a.terminal},
	}
	for _, addr := range a.addrs {
		one := a.settings
		one.addrs = []string{addr}
		c, err := one.open(ctx, o.clients)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }() // it only gives connections back
		cfg.Clients = append(cfg.Clients, c)
	}
	return bench.Run(ctx, cfg)
}

// check finds what is wrong with the settings, for so many endpoints.
func (o *benchOptions) check(endpoints int) error {
	keys := o.plan().Keys
	switch {
	case !between(o.reads, 0, 100):
		return usagef("--reads %v: choose 0 to 100, of a hundred operations", o.reads)
	case o.keys < 1 || o.keys > maxBenchKeys:
		return usagef("--keys %d: choose 1 to %d", o.keys, maxBenchKeys)
	case !between(o.zipf, 0, maxBenchZipf):
		return usagef("--zipf %v: choose 0 (all alike) to %d", o.zipf, maxBenchZipf)
	case o.prefix == "":
		return usagef("--prefix is empty: name one that only keys of this load have, such as bench/")
	case o.keySize < 0 || o.keySize > 0 && o.keySize < keys.Least():
		return usagef("--key-size %d: the prefix %.100q and the number of a key take %d bytes", o.keySize, o.prefix, keys.Least())
	case keys.Bytes() > api.MaxKeyBytes:
		return usagef("a key of %d bytes is over the limit of %d: choose another --key-size or --prefix", keys.Bytes(), api.MaxKeyBytes)
	case o.valueSize < 0 || o.valueSize > api.MaxValueBytes:
		return usagef("--value-size %d: choose 0 to %d", o.valueSize, api.MaxValueBytes)
	case o.clients < 1 || o.clients > maxBenchClients/max(1, endpoints):
		return usagef("--clients %d: choose 1 to %d, with as many endpoints (%d)", o.clients, maxBenchClients/max(1, endpoints), endpoints)
	case !between(o.rate, 0, maxBenchRate):
		return usagef("--rate %v: choose 0 (as fast as the clients can) to %.0f operations a second", o.rate, float64(maxBenchRate))
	case o.duration <= 0 || o.duration > maxBenchTime:
		return usagef("--duration %v: choose a time above 0 and up to %v", o.duration, maxBenchTime)
	case o.warmup < 0 || o.warmup > maxBenchTime:
		return usagef("--warmup %v: choose 0 to %v", o.warmup, maxBenchTime)
	}
	var err error
	o.how, err = readOption(o.consistency, o.consistent, o.maxStale)
	return err
}

// between is false for what is no number.
func between(x, low, high float64) bool { return !math.IsNaN(x) && low <= x && x <= high }

func (o *benchOptions) plan() load.Plan {
	p := load.Plan{
		Keys: load.Keys{Prefix: o.prefix, Count: o.keys, Size: o.keySize}, Zipf: o.zipf, Reads: o.reads, ValueSize: o.valueSize,
		Clients: o.clients, Rate: o.rate, Warmup: o.warmup, Duration: o.duration, Consistency: o.consistency,
	}
	if o.maxStale > 0 {
		p.Consistency = "bounded by " + o.maxStale.String()
	}
	return p
}
