package main

import (
	"context"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cmd/edgehold/bench"
	"github.com/edgehold/edgehold/cmd/edgehold/bench/load"
)

// benchOptions are the settings of bench.
type benchOptions struct {
	bench.Config
	maxStale   time.Duration
	consistent bool // --consistency was chosen
}

// The limits of the settings of bench.
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
		Short: "Put a load on a running cluster and measure latency and throughput",
		Long: `Put a load of reads and writes on a running cluster, and print their number and latencies.

--addr names the endpoints of the load, for example an edge of each region. Each endpoint has --clients clients of its own,
which use no other endpoint, and results of its own. An operation includes the retries of the client within --timeout. The
keys have the prefix --prefix; the values of these keys are lost.

Without --rate each client starts an operation when its last one has ended, so a slow cluster gets less load. With --rate
operations are due at even intervals, whatever the cluster does. An operation that waits for a free client is late, and the
wait is part of its latency, as it would be for a user. An operation that no client could start in time is counted as not
started. Choose a rate below what the cluster can do to see its latency, and one above that to see how it handles overload.

Latencies are those of operations that were answered, even if the key was absent. Operations that failed are counted by the
code of their error. Ctrl-C ends the measurement and prints the results so far. The exit status is 1 then, and if no
operation was answered.`,
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
	f.Float64Var(&o.Plan.Reads, "reads", 95, "percentage of reads")
	f.Int64Var(&o.Plan.Keys.Count, "keys", 10_000, "number of keys")
	f.Float64Var(&o.Plan.Zipf, "zipf", 0, "skew of the popularity of keys, usually 0.99; 0 chooses all keys equally")
	f.IntVar(&o.Plan.Keys.Size, "key-size", 0, "bytes of a key, including the prefix; 0 is as short as possible")
	f.IntVar(&o.Plan.ValueSize, "value-size", 256, "bytes of a value")
	f.StringVar(&o.Plan.Keys.Prefix, "prefix", "bench/", "prefix of all keys; it decides which region owns them")
	f.IntVar(&o.Plan.Clients, "clients", 16, "operations in flight at each endpoint")
	f.StringVar(&o.Plan.Consistency, "consistency", "linearizable", "consistency of reads: linearizable, quorum (always asks the owner), bounded (see --max-stale) or stale")
	f.DurationVar(&o.maxStale, "max-stale", 0, "maximum age of a value that is read; implies --consistency bounded")
	f.Float64Var(&o.Plan.Rate, "rate", 0, "operations per second, for all endpoints together; 0 is as fast as the clients can")
	f.DurationVar(&o.Plan.Duration, "duration", 10*time.Second, "how long to measure")
	f.DurationVar(&o.Plan.Warmup, "warmup", 0, "how long to run before measuring")
	f.BoolVar(&o.Prepare, "prepare", false, "write every key first")
	f.BoolVar(&o.Cleanup, "cleanup", false, "delete the keys at the end, even after Ctrl-C")
	f.StringVar(&o.HTML, "html", "", "write charts of the results to `FILE`, a self-contained HTML page")
	completeWith(cmd, "consistency", "linearizable", "quorum", "bounded", "stale")
	for flag, values := range map[string][]string{
		"reads": {"0", "50", "95", "99", "100"}, "zipf": {"0", "0.99", "1.2"}, "duration": {"10s", "30s", "1m", "5m"}, "warmup": {"0s", "5s", "30s"},
		"keys": nil, "key-size": nil, "value-size": nil, "prefix": nil, "clients": nil, "rate": nil, "max-stale": nil,
	} {
		completeWith(cmd, flag, values...)
	}
	if err := cmd.MarkFlagFilename("html", "html"); err != nil {
		panic(err) // the flag does not exist: a mistake in this package
	}
}

func runBench(ctx context.Context, a *app, o *benchOptions) error {
	if err := o.check(len(a.addrs)); err != nil {
		return err
	}
	o.Report = func(r *load.Report) error { return a.show(a.out, r, bench.Text(r, explain)) }
	o.Progress = &progress{t: a.terminal}
	for _, addr := range a.addrs {
		one := a.settings
		one.addrs = []string{addr}
		c, err := one.open(ctx, o.Plan.Clients)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }() // it only gives connections back
		o.Endpoints, o.Clients = append(o.Endpoints, addr), append(o.Clients, c)
	}
	return bench.Run(ctx, o.Config)
}

// check returns an error if a setting is wrong for this number of endpoints.
func (o *benchOptions) check(endpoints int) error {
	p := &o.Plan
	switch keys := p.Keys; {
	case endpoints == 0:
		return usagef("--addr is empty: name a node, such as http://127.0.0.1:7400")
	case !between(p.Reads, 0, 100):
		return usagef("--reads %v: choose 0 to 100 percent", p.Reads)
	case keys.Count < 1 || keys.Count > maxBenchKeys:
		return usagef("--keys %d: choose 1 to %d", keys.Count, maxBenchKeys)
	case !between(p.Zipf, 0, maxBenchZipf):
		return usagef("--zipf %v: choose 0 (all keys equally) to %d", p.Zipf, maxBenchZipf)
	case keys.Prefix == "":
		return usagef("--prefix is empty: choose one that no other keys have, such as bench/")
	case keys.Size < 0 || keys.Size > 0 && keys.Size < keys.Least():
		return usagef("--key-size %d: the prefix %.100q and the number of a key take %d bytes", keys.Size, keys.Prefix, keys.Least())
	case keys.Bytes() > api.MaxKeyBytes:
		return usagef("a key of %d bytes is over the limit of %d: choose another --key-size or --prefix", keys.Bytes(), api.MaxKeyBytes)
	case p.ValueSize < 0 || p.ValueSize > api.MaxValueBytes:
		return usagef("--value-size %d: choose 0 to %d", p.ValueSize, api.MaxValueBytes)
	case p.Clients < 1 || p.Clients > maxBenchClients/endpoints:
		return usagef("--clients %d: choose 1 to %d for %d endpoints", p.Clients, maxBenchClients/endpoints, endpoints)
	case !between(p.Rate, 0, maxBenchRate):
		return usagef("--rate %v: choose 0 (as fast as the clients can) to %.0f operations a second", p.Rate, float64(maxBenchRate))
	case p.Duration <= 0 || p.Duration > maxBenchTime:
		return usagef("--duration %v: choose a time above 0 and up to %v", p.Duration, maxBenchTime)
	case p.Warmup < 0 || p.Warmup > maxBenchTime:
		return usagef("--warmup %v: choose 0 to %v", p.Warmup, maxBenchTime)
	}
	var err error
	o.Read, err = readOption(p.Consistency, o.consistent, o.maxStale)
	if o.maxStale > 0 {
		p.Consistency = "bounded by " + o.maxStale.String() // in the report
	}
	return err
}

// between reports whether x is in the range; NaN is not.
func between(x, low, high float64) bool { return !math.IsNaN(x) && low <= x && x <= high }
