// Package bench puts a load on a running cluster through the SDK and reports the results. Package load has the load and the report,
// package plot the charts.
package bench

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/bench/load"
	"github.com/edgehold/edgehold/cmd/edgehold/bench/plot"
)

// Config configures a run.
type Config struct {
	Plan load.Plan
	// Endpoints are the addresses of the load. Clients has one client for each of them, in the same order.
	Endpoints []string
	Clients   []*client.Client
	// Read is the consistency of reads.
	Read client.ReadOption
	// Prepare writes every key first. Cleanup deletes the keys at the end, even if ctx has ended.
	Prepare, Cleanup bool
	// HTML is the name of a file for charts of the results; "" writes none.
	HTML string
	// Report receives the results before Cleanup begins.
	Report   func(*load.Report) error
	Progress Progress
}

// Progress shows the progress of a run. Add is called by several goroutines at once.
type Progress interface {
	// Start begins a part of the work, of total bytes, or of an unknown number if total is -1.
	Start(part string, total int64)
	// Add counts more bytes of the part.
	Add(bytes int64)
	// Done ends the part, or what Show shows.
	Done()
	// Show shows the state of the measurement, and the part of its time that is over, from 0 to 1.
	Show(text string, over float64)
}

// runner is a run in progress.
type runner struct {
	Config
	targets []load.Target
	html    *os.File // nil: no charts
}

// Run checks that every endpoint answers and runs the load. It also returns an error if ctx ends or if no operation was answered.
// Report has received the results in these cases.
func Run(ctx context.Context, cfg Config) error {
	r := &runner{Config: cfg}
	if err := r.open(ctx); err != nil {
		return err
	}
	err := r.load(ctx)
	if r.html != nil {
		_ = r.html.Close() // it is closed already, or nothing was written
	}
	if r.Cleanup {
		err = errors.Join(err, r.cleanup(context.WithoutCancel(ctx))) // even after an interrupt
	}
	return err
}

// open checks that a node answers at each endpoint, before any load begins, and opens the file for the charts.
func (r *runner) open(ctx context.Context) error {
	for i, c := range r.Clients {
		v, err := c.Get(ctx, r.Plan.Keys.At(0), r.Read)
		if err != nil && api.CodeOf(err) != api.CodeNotFound {
			return err
		}
		r.targets = append(r.targets, load.Target{
			Endpoint: r.Endpoints[i], Node: v.Node,
			Read: func(ctx context.Context, k api.Key) (api.ServedBy, error) {
				v, err := c.Get(ctx, k, r.Read)
				return v.ServedBy, err
			},
			Write: func(ctx context.Context, k api.Key, value []byte) error {
				_, err := c.Put(ctx, k, value)
				return err
			},
		})
	}
	if r.HTML == "" {
		return nil
	}
	f, err := os.OpenFile(r.HTML, os.O_WRONLY|os.O_CREATE, 0o644) // a file that exists is kept until there are charts
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	r.html = f
	return nil
}

// load runs the load and reports the results.
func (r *runner) load(ctx context.Context) error {
	if r.Prepare {
		if err := r.prepare(ctx); err != nil {
			return err
		}
	}
	total := r.Plan.Warmup + r.Plan.Duration
	report := load.Run(ctx, r.Plan, r.targets, func(now load.Reading) {
		r.Progress.Show(readingText(now), float64(now.Elapsed)/float64(total))
	})
	r.Progress.Done()
	if err := r.publish(report); err != nil {
		return err
	}
	switch err := report.Err(); {
	case report.Interrupted:
		return fmt.Errorf("bench: interrupted, %.1f s of %.1f s were measured", report.Seconds, r.Plan.Duration.Seconds())
	case err != nil:
		return fmt.Errorf("bench: no operation was answered: %w", err)
	}
	return nil
}

func (r *runner) publish(report *load.Report) error {
	err := r.Report(report)
	if err != nil || r.html == nil {
		return err
	}
	if err = plot.Write(r.html, report); err == nil {
		err = r.html.Close()
	}
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	return nil
}

// prepare writes every key.
func (r *runner) prepare(ctx context.Context) error {
	value := make([]byte, r.Plan.ValueSize)
	bytes := int64(r.Plan.Keys.Bytes() + len(value))
	return r.all(ctx, "prepare", bytes*r.Plan.Keys.Count, bytes, r.Plan.Keys.All(),
		func(ctx context.Context, c *client.Client, k api.Key) error {
			_, err := c.Put(ctx, k, value)
			return err
		})
}

// cleanup deletes those keys that exist, and no others.
func (r *runner) cleanup(ctx context.Context) error {
	keys := r.Plan.Keys
	there := func(yield func(api.Key, error) bool) {
		for e, err := range r.Clients[0].List(ctx, "", client.Between(keys.At(0), keys.At(keys.Count-1)+"\x00"), client.KeysOnly()) {
			if (err != nil || keys.Has(e.Key)) && !yield(e.Key, err) {
				return
			}
		}
	}
	return r.all(ctx, "clean up", -1, int64(keys.Bytes()), there, func(ctx context.Context, c *client.Client, k api.Key) error {
		_, err := c.Delete(ctx, k)
		return err
	})
}

// all calls do for each key, at all endpoints in parallel.
func (r *runner) all(ctx context.Context, part string, total, each int64, keys iter.Seq2[api.Key, error],
	do func(context.Context, *client.Client, api.Key) error,
) error {
	r.Progress.Start(part, total)
	defer r.Progress.Done()
	err := load.Spread(ctx, r.Plan.Clients*len(r.Clients), keys, func(ctx context.Context, worker int, k api.Key) error {
		defer r.Progress.Add(each)
		return do(ctx, r.Clients[worker%len(r.Clients)], k)
	})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("bench: %s: interrupted", part)
	case err != nil:
		return fmt.Errorf("bench: %s: %w", part, err)
	}
	return nil
}
