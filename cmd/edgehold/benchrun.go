package main

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

// benchJob is one run of bench.
type benchJob struct {
	t       *terminal
	o       *benchOptions
	plan    load.Plan
	json    bool
	clients []*client.Client // one an endpoint
	targets []load.Target
	html    *os.File // nil: no picture
}

func runBench(ctx context.Context, t *terminal, s *settings, o *benchOptions) error {
	asJSON, err := s.json()
	if err == nil {
		err = o.check(len(s.addrs))
	}
	if err != nil {
		return err
	}
	j := &benchJob{t: t, o: o, plan: o.plan(), json: asJSON}
	defer j.close()
	if err := j.open(ctx, s); err != nil {
		return err
	}
	err = j.load(ctx)
	if o.cleanup {
		err = errors.Join(err, j.cleanup(context.WithoutCancel(ctx))) // asked for, also after Ctrl-C
	}
	return err
}

// open makes a client for each endpoint, and makes sure that a node answers there before any load begins.
func (j *benchJob) open(ctx context.Context, s *settings) error {
	if len(s.addrs) == 0 {
		return usagef("--addr is empty: name a node, such as http://127.0.0.1:7400")
	}
	for _, addr := range s.addrs {
		one := *s
		one.addrs = []string{addr}
		c, err := one.open(ctx, j.o.clients)
		if err != nil {
			return err
		}
		j.clients = append(j.clients, c)
	}
	for i, c := range j.clients {
		v, err := c.Get(ctx, j.plan.Keys.At(0), j.o.how)
		if err != nil && api.CodeOf(err) != api.CodeNotFound {
			return err
		}
		j.targets = append(j.targets, load.Target{
			Endpoint: s.addrs[i], Node: v.Node,
			Read: func(ctx context.Context, k api.Key) (api.ServedBy, error) {
				v, err := c.Get(ctx, k, j.o.how)
				return v.ServedBy, err
			},
			Write: func(ctx context.Context, k api.Key, value []byte) error {
				_, err := c.Put(ctx, k, value)
				return err
			},
		})
	}
	if j.o.html == "" {
		return nil
	}
	f, err := os.OpenFile(j.o.html, os.O_WRONLY|os.O_CREATE, 0o644) // what is there stays until there is a picture
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	j.html = f
	return nil
}

func (j *benchJob) close() {
	for _, c := range j.clients {
		_ = c.Close() // it only gives connections back
	}
	if j.html != nil {
		_ = j.html.Close() // a second time, or nothing was written
	}
}

// load puts the load on the cluster and prints the report.
func (j *benchJob) load(ctx context.Context) error {
	if j.o.prepare {
		if err := j.prepare(ctx); err != nil {
			return err
		}
	}
	live := newBenchLive(j.t, j.plan.Warmup+j.plan.Duration)
	r := load.Run(ctx, j.plan, j.targets, live.show)
	live.end()
	if err := j.print(r); err != nil {
		return err
	}
	switch err := r.Err(); {
	case r.Interrupted:
		return fmt.Errorf("bench: interrupted, %.1f s of %.1f s were measured", r.Seconds, j.plan.Duration.Seconds())
	case err != nil:
		return fmt.Errorf("bench: nothing was answered: %w", err)
	}
	return nil
}

func (j *benchJob) print(r *load.Report) error {
	var err error
	if j.json {
		err = printJSON(j.t.out, nil, r)
	} else {
		_, err = fmt.Fprint(j.t.out, benchText(r))
	}
	if err != nil || j.html == nil {
		return err
	}
	if err = plot.Write(j.html, r); err == nil {
		err = j.html.Close()
	}
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	return nil
}

// prepare writes every key.
func (j *benchJob) prepare(ctx context.Context) error {
	value := make([]byte, j.plan.ValueSize)
	bytes := int64(j.plan.Keys.Bytes() + len(value))
	return j.all(ctx, "prepare", bytes*j.plan.Keys.Count, bytes, j.plan.Keys.All(),
		func(ctx context.Context, c *client.Client, k api.Key) error {
			_, err := c.Put(ctx, k, value)
			return err
		})
}

// cleanup deletes what is there of the keys, and nothing else.
func (j *benchJob) cleanup(ctx context.Context) error {
	keys := j.plan.Keys
	there := func(yield func(api.Key, error) bool) {
		for e, err := range j.clients[0].List(ctx, "", client.Between(keys.At(0), keys.At(keys.Count-1)+"\x00"), client.KeysOnly()) {
			if (err != nil || keys.Has(e.Key)) && !yield(e.Key, err) {
				return
			}
		}
	}
	return j.all(ctx, "clean up", -1, int64(keys.Bytes()), there, func(ctx context.Context, c *client.Client, k api.Key) error {
		_, err := c.Delete(ctx, k)
		return err
	})
}

// all does something with each key, at all endpoints at the same time.
func (j *benchJob) all(ctx context.Context, what string, total, each int64, keys iter.Seq2[api.Key, error],
	do func(context.Context, *client.Client, api.Key) error,
) error {
	bar := newProgress(j.t, what, total)
	defer bar.end()
	err := load.Spread(ctx, j.o.clients*len(j.clients), keys, func(ctx context.Context, worker int, k api.Key) error {
		defer bar.add(each)
		return do(ctx, j.clients[worker%len(j.clients)], k)
	})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("bench: %s: interrupted", what)
	case err != nil:
		return fmt.Errorf("bench: %s: %w", what, err)
	}
	return nil
}
