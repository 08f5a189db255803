package integration

import (
	"cmp"
	"testing"
	"time"
)

// BenchmarkOverload finds the most that three servers and an edge do for clients in a closed loop, and then offers ten
// times that. The nodes have one processor and the clients another one, both for the peak and for the rest: what the load
// costs those who make it is not taken from the nodes. held is the part of the peak that they still do; offered, in peaks,
// is what they were asked for. refusal-p99 is how long it took to say no to somebody who asks beside them. Where there are
// fewer than two processors to share out, they are shared by all, and held is the less for it. It measures once, for some
// thirty seconds a kind, however often it runs.
func BenchmarkOverload(b *testing.B) {
	binary := buildBinary(b)
	nodes, clients := shareCPUs()
	spawn, end := newSpawner(clients...)
	defer end()
	for _, x := range []struct {
		kind string
		open bool // ten times the peak is offered, whatever comes back; else ten times the clients ask
	}{
		{"puts/streams", true}, {"puts/sdk", false}, {"reads/streams", true}, {"puts/http", false}, {"reads/http", false},
	} {
		b.Run(x.kind, func(b *testing.B) {
			urls := overloadFleet(b, nodes, binary)
			o := order{URLs: urls, Kind: x.kind, Warm: 2 * time.Second, Lasts: 3 * time.Second}
			peak, at := &tally{}, 0
			for _, o.Clients = range []int{128, 256, 512, 1024} {
				t := o.run(b, spawn)
				b.Logf("%d clients: %v, %.2f CPU", o.Clients, t, t.cpu())
				if t.OK > peak.OK {
					peak, at = t, o.Clients
				}
			}
			o.Lasts = 6 * time.Second
			if o.Clients = 10 * at; x.open {
				o.Clients, o.Rate = 0, int(10*peak.OK)
			}
			var over *tally
			seen := probe(b, spawn, urls, o.Warm+o.Lasts, func() { over = o.run(b, spawn) })
			b.Logf("overload: %v, %.2f CPU", over, over.cpu())
			b.Logf("beside it: %d were served with a p99 of %v, %d refused with a p50 of %v and a p99 of %v, %d something else",
				len(seen.Served), p99(seen.Served), len(seen.Refusals), quantile(seen.Refusals, 50), p99(seen.Refusals), seen.Other)
			b.Logf("%.0f/s were refused at the door, %.0f/s further in; vitals: %+v then %+v", (over.After.Rejected-over.Before.Rejected)/over.Took,
				(over.After.Deep-over.Before.Deep)/over.Took, over.Before, over.After)
			o.Clients, o.Rate, o.Lasts = at, 0, 3*time.Second
			b.Logf("after it: %v", o.run(b, spawn))
			b.ReportMetric(peak.OK, "peak/s")
			b.ReportMetric(over.OK, "over/s")
			b.ReportMetric(over.OK/peak.OK, "held")
			b.ReportMetric((over.OK+over.Refused+over.Bare+over.Unknown+over.Other)/peak.OK, "offered")
			b.ReportMetric((over.OK/over.cpu())/(peak.OK/peak.cpu()), "held/cpu")
			b.ReportMetric(float64(p99(seen.Refusals).Milliseconds()), "refusal-p99-ms")
			b.ReportMetric(over.After.Memory/(1<<20), "MiB")
			b.ReportMetric(over.After.Lapsed-over.Before.Lapsed+over.After.Died-over.Before.Died, "sessions-lost")
			b.ReportMetric(over.After.Terms-over.Before.Terms, "terms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// shareCPUs gives half of the processors to the nodes and the rest to their clients; nil, nil where there are no two.
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
