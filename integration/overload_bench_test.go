package integration

import (
	"cmp"
	"testing"
	"time"
)

// BenchmarkOverload finds the most that three servers and an edge do for clients in a closed loop, and then offers ten
// times that. held is the part of the peak that they still do, and held/cpu the same for each second of CPU that they get:
// on one machine the clients take more of it too. refusal-p99 is how long it took to say no to somebody who asks beside
// them. It measures once, for some thirty seconds, however often it runs.
func BenchmarkOverload(b *testing.B) {
	binary := buildBinary(b)
	for _, x := range []struct {
		name string
		do   func(f *flood) ask
		open bool
	}{
		{"puts/streams", func(f *flood) ask { return f.put }, true},
		{"reads/streams", func(f *flood) ask { return f.read }, true},
		{"puts/http", func(f *flood) ask { return f.putHTTP }, false},
		{"reads/http", func(f *flood) ask { return f.readHTTP }, false},
	} {
		b.Run(x.name, func(b *testing.B) {
			f := newFlood(b, 4, overloadFleet(b, binary)...)
			f.closed(256, 2*time.Second, x.do(f)) // warm
			before := f.vitals(b)
			peak, clients, peakCPU := &tally{}, 0, 0.0
			for _, n := range []int{256, 512, 1024} {
				from := f.vitals(b).cpu
				t := f.closed(n, 3*time.Second, x.do(f))
				b.Logf("%d clients: %v", n, t)
				if t.ok > peak.ok {
					peak, clients, peakCPU = t, n, f.vitals(b).cpu-from
				}
			}
			var over *tally
			from := f.vitals(b).cpu
			seen := f.probe(b, 7*time.Second, func() {
				if x.open {
					over = f.open(int(10*peak.ok), 8*time.Second, x.do(f))
				} else {
					over = f.closed(10*clients, 8*time.Second, x.do(f))
				}
			})
			after := f.vitals(b)
			overCPU := after.cpu - from
			b.Logf("overload: %v; %v", over, over.odd)
			b.Logf("beside it: %d were served with a p99 of %v, %d refused with a p50 of %v and a p99 of %v, %d something else",
				len(seen.Served), p99(seen.Served), len(seen.Refusals), quantile(seen.Refusals, 50), p99(seen.Refusals), seen.Other)
			b.Logf("vitals: %+v then %+v", before, after)
			again := f.closed(clients, 3*time.Second, x.do(f))
			b.Logf("after it: %v", again)
			b.ReportMetric(peak.ok, "peak/s")
			b.ReportMetric(over.ok, "over/s")
			b.ReportMetric(over.ok/peak.ok, "held")
			b.ReportMetric((over.ok*over.took/overCPU)/(peak.ok*peak.took/peakCPU), "held/cpu")
			b.ReportMetric(float64(p99(seen.Refusals).Milliseconds()), "refusal-p99-ms")
			b.ReportMetric(after.memory/(1<<20), "MiB")
			b.ReportMetric(after.lapsed-before.lapsed+after.died-before.died, "sessions-lost")
			b.ReportMetric(after.terms-before.terms, "terms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// overloadFleet is three servers of one region and an edge, each a process of its own.
func overloadFleet(t testing.TB, binary string) (urls []string) {
	t.Helper()
	f, seed := newFleet(t, binary), ""
	for _, name := range []string{"here-1", "here-2", "here-3"} {
		d := f.server(t, name, "here", seed)
		seed = cmp.Or(seed, d.address)
	}
	f.edge(t, "here-edge-1", "here", seed)
	ready(t, f.nodes...)
	for _, d := range f.nodes {
		urls = append(urls, "http://"+d.address)
	}
	return urls
}
