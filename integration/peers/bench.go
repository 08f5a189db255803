package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// The kinds of work, as the results name them.
const (
	putWork   = "put"
	readWork  = "linearizable read"
	localWork = "local read"
	watchWork = "watch"
)

// bench measures everything, round by round. Products that keep data run alone, each round with new members and empty
// folders, and each round in another order; those of local reads stay up together through all rounds.
func bench(ctx context.Context, o *options) (r *report, err error) {
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o700); err != nil {
			return nil, err
		}
	}
	build, err := os.MkdirTemp("", "edgehold-peers-build-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(build)) }()
	binary, err := buildEdgehold(ctx, o.tree, build)
	if err != nil {
		return nil, err
	}
	b := &run{options: o, binary: binary, report: newReport(ctx, o)}
	if err := b.replicated(ctx); err != nil {
		return nil, err
	}
	if err := b.local(ctx); err != nil {
		return nil, err
	}
	if err := b.resp(ctx); err != nil {
		return nil, err
	}
	b.report.end()
	return b.report, nil
}

// run is a benchmark under way.
type run struct {
	options *options
	binary  string
	report  *report
}

// replicated measures puts, watches and linearizable reads.
func (b *run) replicated(ctx context.Context) error {
	var products []replicated
	for _, p := range allReplicated {
		if b.options.wants(p.name) && (len(b.options.puts)+len(b.options.watchers) > 0 || len(b.options.reads) > 0 && p.reads) {
			products = append(products, p)
		}
	}
	for round := range b.options.rounds {
		for i := range products {
			p := &products[(round+i)%len(products)]
			if err := b.product(ctx, p, round); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	return nil
}

// product measures one product in one round.
func (b *run) product(ctx context.Context, p *replicated, round int) (err error) {
	s, err := newStage(b.options, b.binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	store, members, err := p.start(ctx, s)
	if err != nil {
		return err
	}
	defer store.close()
	if err := fill(ctx, store, keys); err != nil {
		return fmt.Errorf("filling: %w", err)
	}
	for _, n := range b.options.puts {
		if err := b.measure(ctx, s, work{p.name, putWork, n}, round, members, putter(store)); err != nil {
			return err
		}
	}
	for _, n := range b.options.watchers {
		if err := b.watch(ctx, s, p, n, round, members, store); err != nil {
			return err
		}
	}
	if !p.reads {
		return nil
	}
	for _, n := range b.options.reads {
		if err := b.measure(ctx, s, work{p.name, readWork, n}, round, members, getter(store)); err != nil {
			return err
		}
	}
	return nil
}

// local measures local reads.
func (b *run) local(ctx context.Context) (err error) {
	if len(b.options.conns) == 0 {
		return nil
	}
	s, err := newStage(b.options, b.binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	readers, err := startReaders(ctx, s)
	if err != nil {
		return err
	}
	for round := range b.options.rounds {
		for _, n := range b.options.conns {
			for i := range readers {
				if err := b.localRead(ctx, s, readers[(round+i)%len(readers)], n, round); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *run) localRead(ctx context.Context, s *stage, l *reader, clients, round int) error {
	do, end, err := l.open(ctx, clients)
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	defer end()
	return b.measure(ctx, s, work{l.name, localWork, clients}, round, l.members, do)
}

// settle is how long a product is left alone before each measurement, so that what the one before left behind is done.
const settle = 500 * time.Millisecond

// measure makes one measurement and keeps it.
func (b *run) measure(ctx context.Context, s *stage, w work, round int, members []*process, do operation) error {
	wait(ctx, settle)
	l := load{
		clients: w.Clients, warmUp: b.options.warmUp, window: b.options.window, do: do, members: members,
		during: profiler(ctx, b.options, fmt.Sprintf("%s-%d-round%d", w.kind(), w.Clients, round+1), members),
	}
	got, err := l.run(ctx)
	if err := errors.Join(err, s.alive()); err != nil {
		return fmt.Errorf("%s, %d clients: %w", w.Work, w.Clients, err)
	}
	b.report.add(w, round, got)
	fmt.Fprintf(os.Stderr, "round %d  %-18s %5d clients  %-9s %9.0f ops/s  p50 %8.3f ms  p99 %8.3f ms\n",
		round+1, w.Work, w.Clients, w.Product, got.Rate, got.P50, got.P99)
	return nil
}

// work is what is measured.
type work struct {
	Product string `json:"product"`
	Work    string `json:"work"`
	Clients int    `json:"clients"`
}

// kind is the work in one word.
func (w work) kind() string {
	return map[string]string{putWork: "put", readWork: "read", localWork: "local", watchWork: "watch", respWork: "resp", pipeWork: "pipe"}[w.Work]
}
