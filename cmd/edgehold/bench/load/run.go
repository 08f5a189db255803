package load

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// run is a load in progress.
type run struct {
	plan       Plan
	targets    []*target
	popularity *popularity
	// The run begins at start. The measured time begins at from and ends at until.
	start, from, until time.Time
}

// target is a Target with its statistics.
type target struct {
	Target
	*stats
	pace  *pace // nil: a closed loop
	first int64 // the first operation that is due in the measured time
}

// Run puts the load on the targets until the time of the plan is over or ctx ends, and returns the report. It waits for operations
// that are in flight when the time is over; the end of ctx cuts them off. It calls watch several times a second, from one goroutine
// at a time, and not after it has returned. There must be at least one target.
func Run(ctx context.Context, p Plan, targets []Target, watch func(Reading)) *Report {
	r := newRun(p, targets)
	open, stop := context.WithDeadline(ctx, r.until)
	defer stop()
	seed := p.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	var clients sync.WaitGroup
	for i, t := range r.targets {
		for j := range p.Clients {
			random := rand.New(rand.NewPCG(seed, uint64(i)<<32|uint64(j)))
			clients.Go(func() { r.client(ctx, open, t, random) })
		}
	}
	idle := make(chan struct{})
	go func() {
		clients.Wait()
		close(idle)
	}()
	s := newSampler(r, watch)
	ended := s.follow(open.Done(), idle)
	return r.report(ended, s.timeline)
}

func newRun(p Plan, targets []Target) *run {
	r := &run{plan: p, popularity: newPopularity(p.Keys.Count, p.Zipf), start: time.Now()}
	r.from = r.start.Add(p.Warmup)
	r.until = r.from.Add(p.Duration)
	for i, t := range targets {
		own := &target{Target: t, stats: newStats()}
		if p.Rate > 0 {
			own.pace = newPace(r.start, p.Rate, i, len(targets))
			own.first = own.pace.before(r.from)
		}
		r.targets = append(r.targets, own)
	}
	return r
}

// measured reports whether at is in the measured time.
func (r *run) measured(at time.Time) bool { return !at.Before(r.from) && at.Before(r.until) }

// client executes operations, one after the other, until open ends. ctx is the context of the operations.
func (r *run) client(ctx, open context.Context, t *target, random *rand.Rand) {
	value := newValue(r.plan.ValueSize, random)
	for {
		began, counts, ok := r.next(open, t)
		if !ok {
			return
		}
		o := outcome{kind: write, counts: counts}
		key := r.plan.Keys.At(r.popularity.choose(random))
		if random.Float64()*100 < r.plan.Reads {
			o.kind = read
			o.served, o.err = t.Read(ctx, key)
		} else {
			o.err = t.Write(ctx, key, value.next())
		}
		now := time.Now()
		o.latency, o.inTime = now.Sub(began), open.Err() == nil && r.measured(now)
		switch {
		case o.err == nil || ctx.Err() == nil:
			t.end(&o)
		case counts:
			t.cut()
		}
	}
}

// next waits for the next operation of the target. ok is false if there are no more.
func (r *run) next(open context.Context, t *target) (began time.Time, counts, ok bool) {
	began = time.Now()
	if open.Err() != nil || !began.Before(r.until) {
		return began, false, false
	}
	if t.pace == nil {
		return began, r.measured(began), true
	}
	if !began.Before(r.from) {
		t.pace.skip(t.first)
	}
	due, began, late, ok := t.pace.wait(open)
	if ok = ok && due.Before(r.until); !ok {
		return began, false, false
	}
	if counts = r.measured(due); counts {
		t.begin(late)
	}
	return began, counts, true
}

// value makes different values of one length.
type value struct {
	bytes  []byte
	random *rand.Rand
}

func newValue(size int, random *rand.Rand) *value {
	v := &value{make([]byte, size), random}
	for i := range v.bytes {
		v.bytes[i] = byte(random.Uint32())
	}
	return v
}

// next returns a value that is valid until the next call.
func (v *value) next() []byte {
	n := v.random.Uint64()
	for i := range min(8, len(v.bytes)) {
		v.bytes[i] = byte(n >> (8 * i))
	}
	return v.bytes
}
