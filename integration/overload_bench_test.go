package integration

import (
	"cmp"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// BenchmarkOverload finds the most that three servers and an edge do for clients in a closed loop, and then offers ten
// times that. The nodes have one processor and the clients another one, for the peak and for the overload, so the cost
// of making the load is not taken from the nodes. held is the part of the peak that they still do. A machine is not equally
// fast all the time, so the peak is measured again before each of several overloads, and held is the median of the ratios.
// offered, in peaks, is what they were asked for. refusal-p99 is the longest time that a refusal of a client beside the load
// took. With fewer than two processors, nodes and clients share them, and held is less. The benchmark measures once, for one
// to two minutes a kind, however often it runs.
func BenchmarkOverload(b *testing.B) {
	binary := buildBinary(b)
	nodes, clients := shareCPUs()
	spawn, end := newSpawner(clients...)
	defer end()
	defer keepBusy(b, spawn, len(clients))()
	for _, x := range []struct {
		kind string
		open bool // ten times the peak is offered, whatever comes back; else ten times the clients ask
		most int  // clients of the peak; 0: those that reach it are found first
	}{
		{"puts/streams", true, 0}, {"puts/sdk", false, 0}, {"reads/streams", true, 0}, {"puts/http", false, 1024}, {"reads/http", false, 1024},
	} {
		b.Run(x.kind, func(b *testing.B) {
			urls := overloadFleet(b, nodes, binary)
			o := order{URLs: urls, Kind: x.kind, Warm: 2 * time.Second, Lasts: 3 * time.Second}
			most := x.most
			if most == 0 {
				most = mostClients(b, spawn, o)
			}
			times, warm := 5, 6*time.Second // by then all have come, and rest as they will
			if x.open {                     // it is steady at once
				times, warm, o.Lasts = 9, time.Second, 3*time.Second/2
			}
			var rounds []round
			for range times {
				o.Clients, o.Rate, o.Warm = most, 0, min(warm, 2*time.Second)
				r := round{peak: o.run(b, spawn)}
				if o.Clients, o.Warm = 10*most, warm; x.open {
					o.Clients, o.Rate = 0, int(10*r.peak.OK)
				}
				r.seen = probe(b, spawn, urls, o.Warm+o.Lasts, func() { r.over = o.run(b, spawn) })
				r.log(b)
				rounds = append(rounds, r)
			}
			reportRounds(b, rounds)
			if !x.open {
				b.ReportMetric(float64(o.Clients), "clients")
			}
		})
	}
}

// mostClients is how many in a closed loop reach about the most that the nodes do: of those that do, the most.
func mostClients(b *testing.B, spawn func(*exec.Cmd) error, o order) (clients int) {
	most := 0.0
	for _, o.Clients = range []int{128, 256, 512, 1024} {
		t := o.run(b, spawn)
		if t.OK > 0.9*most {
			clients = o.Clients
		}
		most = max(most, t.OK)
	}
	return clients
}

// round is the peak, and the overload that followed it.
type round struct {
	peak, over *tally
	seen       probed
}

func (r *round) held() float64 { return r.over.OK / r.peak.OK }

// log takes one line: of more than ten, testing shows ten.
func (r *round) log(b *testing.B) {
	b.Logf("held %.2f of %.0f/s: %v, %.2f CPU; beside it %d served (p99 %v), %d refused (p50 %v, p99 %v), %d something else",
		r.held(), r.peak.OK, r.over, r.over.cpu(), len(r.seen.Served), p99(r.seen.Served), len(r.seen.Refusals),
		quantile(r.seen.Refusals, 50), p99(r.seen.Refusals), r.seen.Other)
}

// reportRounds reports the medians of the rounds, and the worst of what must not happen.
func reportRounds(b *testing.B, rounds []round) {
	median := func(of func(r *round) float64) float64 {
		all := make([]float64, len(rounds))
		for i := range rounds {
			all[i] = of(&rounds[i])
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	b.ReportMetric(median(func(r *round) float64 { return r.peak.OK }), "peak/s")
	b.ReportMetric(median(func(r *round) float64 { return r.over.OK }), "over/s")
	b.ReportMetric(median(func(r *round) float64 { return r.held() }), "held")
	b.ReportMetric(median(func(r *round) float64 {
		return (r.over.OK + r.over.Refused + r.over.Bare + r.over.Unknown + r.over.Other) / r.peak.OK
	}), "offered")
	var refusal time.Duration
	var lost, memory float64
	for _, r := range rounds {
		refusal, memory = max(refusal, p99(r.seen.Refusals)), max(memory, r.over.After.Memory)
		lost += r.over.After.Lapsed - r.over.Before.Lapsed + r.over.After.Died - r.over.Before.Died
	}
	b.ReportMetric(float64(refusal.Milliseconds()), "refusal-p99-ms")
	b.ReportMetric(memory/(1<<20), "MiB")
	b.ReportMetric(lost, "sessions-lost")
	b.ReportMetric(rounds[len(rounds)-1].over.After.Terms-rounds[0].peak.Before.Terms, "terms")
	b.ReportMetric(0, "ns/op")
}

// shareCPUs gives half of the processors to the nodes and the rest to their clients; nil, nil if there are no two.
func shareCPUs() (nodes, clients []int) {
	all := allCPUs()
	if len(all) < 2 {
		return nil, nil
	}
	half := (len(all) + 1) / 2
	return all[:half], all[half:]
}

// overloadFleet is three servers of one region and an edge, each a process of its own, on these processors.
func overloadFleet(t testing.TB, cpus []int, binary string) (urls []string) {
	t.Helper()
	f, seed := newFleetOn(t, cpus, binary), ""
	for _, name := range []string{"here-1", "here-2", "here-3"} {
		d := f.server(t, name, "here", seed)
		seed = cmp.Or(seed, d.address)
	}
	f.edge(t, "here-edge-1", "here", seed)
	ready(t, f.nodes...)
	for _, d := range f.nodes {
		urls = append(urls, d.url())
	}
	return urls
}
