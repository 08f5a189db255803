package load

import (
	"cmp"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/edgehold/edgehold/api"
)

// report returns the report. The measured time ended at ended, which is before its planned end if the run was interrupted.
func (r *run) report(ended time.Time, timeline []Point) *Report {
	p := r.plan
	rep := &Report{
		Settings: Settings{p.Reads, p.Keys.Count, p.Zipf, p.Keys.Bytes(), p.ValueSize, p.Keys.Prefix, p.Clients, p.Consistency,
			p.Rate, p.Warmup.Seconds(), p.Duration.Seconds()},
		Began:   r.from.UTC().Truncate(time.Millisecond),
		Seconds: max(0, ended.Sub(r.from).Seconds()), Interrupted: ended.Before(r.until),
		Endpoints: make([]Endpoint, 0, len(r.targets)), Timeline: append([]Point{}, timeline...),
	}
	all := newStats()
	for _, t := range r.targets {
		e := r.endpoint(t, ended, rep.Seconds)
		rep.Late, rep.NotStarted, rep.CutOff = rep.Late+e.Late, rep.NotStarted+e.NotStarted, rep.CutOff+e.CutOff
		rep.Endpoints = append(rep.Endpoints, e)
		all.add(t.stats)
	}
	rep.Operations = all.operations(&p, rep.Seconds)
	for i, k := range p.kinds() {
		rep.Operations[i].Curve = curve(all.kinds[k].latencies)
	}
	return rep
}

func (r *run) endpoint(t *target, ended time.Time, seconds float64) Endpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := Endpoint{
		Endpoint: t.Endpoint, Node: t.Node, Operations: t.operations(&r.plan, seconds),
		Shortfall: Shortfall{Late: t.late, CutOff: t.cutOff},
	}
	if t.pace != nil && ended.After(r.from) {
		e.NotStarted = max(0, t.pace.before(ended)-t.first-t.began)
	}
	return e
}

// kinds returns the kinds of operations in the plan.
func (p *Plan) kinds() []kind {
	switch p.Reads {
	case 0:
		return []kind{write}
	case 100:
		return []kind{read}
	}
	return []kind{read, write}
}

// add adds the statistics of another target.
func (s *stats) add(o *stats) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for k := range s.kinds {
		s.kinds[k].add(&o.kinds[k])
	}
}

// operations returns the statistics for the report. No operation is in flight any more.
func (s *stats) operations(p *Plan, seconds float64) []Operation {
	ops := make([]Operation, 0, kinds)
	for _, k := range p.kinds() {
		ops = append(ops, s.kinds[k].operation(k, seconds))
	}
	return ops
}

func (m *measures) operation(k kind, seconds float64) Operation {
	n := m.latencies.TotalCount()
	o := Operation{Operation: k.String(), Count: n, Absent: m.absent, Errors: m.errors()}
	if seconds > 0 {
		o.OpsPerSecond = float64(m.inTime) / seconds
	}
	for _, f := range o.Errors {
		o.Failed += f.Count
	}
	if k == read {
		o.ServedBy = &ServedBy{Lease: m.served[api.ServedByLease], Owner: m.served[api.ServedByOwner], Stale: m.served[api.ServedByStale]}
	}
	if n == 0 {
		return o
	}
	at := func(percent float64) float64 { return millis(min(m.max, quantile(m.latencies, percent))) }
	o.Latency = Latency{millis(m.sum / time.Duration(n)), at(50), at(90), at(99), at(99.9), millis(m.max)}
	return o
}

// errors returns the failures, the most common first.
func (m *measures) errors() []Failure {
	list := make([]Failure, 0, len(m.failures))
	for code, f := range m.failures {
		list = append(list, Failure{code, f.count, millis(f.sum / time.Duration(f.count)), millis(f.max), f.first.Error(), f.first})
	}
	slices.SortFunc(list, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Code, b.Code))
	})
	return list
}

// curve returns the distribution, with more points towards the greatest latency.
func curve(h *hdrhistogram.Histogram) []Quantile {
	const ticks = 5 // in each half of the rest up to 100 %
	if h.TotalCount() == 0 {
		return nil
	}
	brackets := h.CumulativeDistributionWithTicks(ticks)
	points := make([]Quantile, 0, len(brackets))
	for _, b := range brackets {
		points = append(points, Quantile{b.Quantile, millis(time.Duration(b.ValueAt))})
	}
	return points
}

func quantile(h *hdrhistogram.Histogram, percent float64) time.Duration {
	return time.Duration(h.ValueAtPercentile(percent))
}

// millis returns d in milliseconds, rounded to a microsecond.
func millis(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
