// Package bench puts a load on a running cluster through the SDK, and reports how the cluster bears it. Package load has the
// load and the report, package plot the picture of one.
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

// Config is one run.
type Config struct {
	Plan load.Plan
	// Endpoints are the addresses at which the load arrives, Clients those that talk to them, one each and in the same order.
	Endpoints []string
	Clients   []*client.Client
	// Read is how the reads ask.
	Read client.ReadOption
	// Prepare writes every key first; Cleanup deletes the keys at the end, also if ctx has ended.
	Prepare, Cleanup bool
	// HTML, unless it is "", is a file that gets a picture of the latencies.
	HTML string
	// Report receives what was measured, before Cleanup begins.
	Report   func(*load.Report) error
	Progress Progress
}

// Progress shows how a run goes on. Add may be called by several goroutines at once.
type Progress interface {
	// Start begins a part of the work, of so many bytes, or of an unknown number if total is -1.
	Start(part string, total int64)
	// Add counts more bytes of the part.
	Add(bytes int64)
	// Done ends the part, and what Show shows.
	Done()
	// Show describes how the measuring goes, and how much of its time is over, from 0 to 1.
	Show(text string, over float64)
}

// runner is a run under way.
type runner struct {
	Config
	targets []load.Target
	html    *os.File // nil: no picture
}

// Run makes sure that every endpoint answers, and runs the load. It returns an error if the run was interrupted or nothing was
// answered, too; Report has received what was measured then.
func Run(ctx context.Context, cfg Config) error {
	r := &runner{Config: cfg}
	if err := r.open(ctx); err != nil {
		return err
	}
	err := r.load(ctx)
	if r.html != nil {
		_ = r.html.Close() // a second time, or nothing was written
	}
	if r.Cleanup {
		err = errors.Join(err, r.cleanup(context.WithoutCancel(ctx))) // asked for, also after an interrupt
	}
	return err
}

// open makes sure that a node answers at each endpoint before any load begins.
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
	f, err := os.OpenFile(r.HTML, os.O_WRONLY|os.O_CREATE, 0o644) // what is there stays until there is a picture
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	r.html = f
	return nil
}

// load puts the load on the cluster and reports.
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
		return fmt.Errorf("bench: nothing was answered: %w", err)
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

// cleanup deletes what is there of the keys, and nothing else.
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

// all does something with each key, at all endpoints at the same time.
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
