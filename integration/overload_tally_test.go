package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// tally is the results of a load, over a time in which it was steady.
type tally struct {
	OK, Refused, Bare, Unknown, Other float64       // a second
	Refusal, Success                  time.Duration // p99
	Took                              float64       // seconds
	Odd                               string
	Before, After                     vitals // of the nodes, when that time began and ended
}

func (t *tally) String() string {
	return fmt.Sprintf("ok %.0f/s (p99 %v), refused %.0f/s (p99 %v), without Retry-After %.1f/s, unknown %.1f/s, other %.1f/s %s",
		t.OK, t.Success.Round(time.Millisecond), t.Refused, t.Refusal.Round(time.Millisecond), t.Bare, t.Unknown, t.Other, t.Odd)
}

// cpu is how many seconds of CPU the nodes got for each second.
func (t *tally) cpu() (all float64) {
	for i, x := range t.After.CPU {
		all += (x.Seconds - t.Before.CPU[i].Seconds) / x.At.Sub(t.Before.CPU[i].At).Seconds()
	}
	return all
}

// measure returns the tally of d after warm.
func (f *flood) measure(warm, d time.Duration, load func(ctx context.Context)) (*tally, error) {
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		load(ctx)
	}()
	defer func() { cancel(); <-over }()
	time.Sleep(warm)
	t := &tally{}
	var err1, err2 error
	t.Before, err1 = f.vitals()
	f.mu.Lock()
	f.refusals, f.successes, f.odd = nil, nil, nil
	f.mu.Unlock()
	counts := []*atomic.Int64{&f.ok, &f.refused, &f.bare, &f.unknown, &f.other}
	before := make([]int64, len(counts))
	for i, n := range counts {
		before[i] = n.Load()
	}
	began := time.Now()
	time.Sleep(d)
	for i, to := range []*float64{&t.OK, &t.Refused, &t.Bare, &t.Unknown, &t.Other} {
		*to = float64(counts[i].Load()-before[i]) / time.Since(began).Seconds()
	}
	t.Took = time.Since(began).Seconds()
	t.After, err2 = f.vitals()
	f.mu.Lock()
	defer f.mu.Unlock()
	t.Refusal, t.Success = p99(f.refusals), p99(f.successes)
	if f.odd != nil {
		t.Odd = f.odd.Error()
	}
	return t, errors.Join(err1, err2)
}

func p99(all []time.Duration) time.Duration { return quantile(all, 99) }

func quantile(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)*percent/100]
}

// vitals are what load must not disturb.
type vitals struct {
	Terms                  float64 // of all groups at all servers
	Lapsed, Died, Suspects float64
	Extended               float64
	Memory                 float64 // the most that a process has taken from the system
	CPU                    []used  // by each node
}

// used is how many seconds of CPU a node had used at the time of its answer.
type used struct {
	Seconds float64
	At      time.Time
}

// vitals sums the metrics of all nodes.
func (f *flood) vitals() (v vitals, err error) {
	for _, url := range f.urls {
		res, err := plainHTTP.Get(url + "/metrics")
		if err != nil {
			return v, err
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			return v, fmt.Errorf("metrics of %s: %s, %w", url, res.Status, err)
		}
		sum := func(row string) float64 { return sumOf(string(body), row) }
		v.Terms += sum("edgehold_replica_term")
		v.Lapsed += sum(`edgehold_edge_session_events_total{event="lapsed"`)
		v.Died += sum(`edgehold_edge_session_events_total{event="dead"`)
		v.Extended += sum(`edgehold_edge_session_events_total{event="extended"`)
		v.Memory = max(v.Memory, sum("go_memstats_sys_bytes"))
		v.CPU = append(v.CPU, used{sum("process_cpu_seconds_total"), time.Now()})
		v.Suspects += sum("edgehold_region_suspects_total")
	}
	return v, nil
}

// sumOf adds up the rows that begin so. A row that is no number makes the sum none.
func sumOf(metrics, row string) (sum float64) {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, row) {
			var v float64
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v); err != nil {
				return math.NaN()
			}
			sum += v
		}
	}
	return sum
}
