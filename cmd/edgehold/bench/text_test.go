package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cmd/edgehold/bench/load"
)

// TestText compares the whole text.
func TestText(t *testing.T) {
	reads := load.Operation{Operation: "read", Count: 190_012, OpsPerSecond: 19001.2, Failed: 3, Absent: 12, ServedBy: &load.ServedBy{Lease: 171_011, Owner: 19_001},
		Errors:  []load.Failure{{Code: api.CodeUnavailable, Count: 3, Mean: 10_001, Max: 10_003, Err: api.Errorf(api.CodeUnavailable, "no leader")}},
		Latency: load.Latency{Mean: 0.524, P50: 0.204, P90: 0.961, P99: 8.412, P999: 87.13, Max: 10_000}}
	writes := load.Operation{Operation: "write"}
	r := &load.Report{
		Settings: load.Settings{Reads: 95, Keys: 10_000, Zipf: 0.99, KeySize: 10, ValueSize: 256, Clients: 16, Consistency: "linearizable", Rate: 20_000},
		Seconds:  10, Shortfall: load.Shortfall{Late: 17, NotStarted: 5, CutOff: 1}, Operations: []load.Operation{reads, writes},
		Endpoints: []load.Endpoint{
			{Endpoint: "http://127.0.0.1:7409", Node: "us-east-edge-1", Operations: []load.Operation{reads, writes}},
			{Endpoint: "http://127.0.0.1:7411", Operations: []load.Operation{writes}},
		},
	}
	const want = `10.0 s, 16 clients at each of 2 endpoints, 20000 operations per second
95 % reads (linearizable) of 10000 keys, zipf 0.99; keys of 10 bytes, values of 256

OPERATION  COUNT   OPS/S  FAILED  MEAN    P50     P90     P99      P99.9    MAX
read       190012  19001  3       524 µs  204 µs  961 µs  8.41 ms  87.1 ms  10.0 s
write      0       0      0       -       -       -       -        -        -

ENDPOINT               NODE            OPERATION  COUNT   OPS/S  FAILED  MEAN    P50     P90     P99      P99.9    MAX
http://127.0.0.1:7409  us-east-edge-1  read       190012  19001  3       524 µs  204 µs  961 µs  8.41 ms  87.1 ms  10.0 s
http://127.0.0.1:7409  us-east-edge-1  write      0       0      0       -       -       -       -        -        -
http://127.0.0.1:7411                  write      0       0      0       -       -       -       -        -        -

reads served by: lease 171011 (90.0 %), owner 19001 (10.0 %)
12 reads found no value: --prepare writes every key first
read failed: 3 unavailable, after 10.0 s on average and 10.0 s at most; for example unavailable: no leader
17 operations were late: all clients were busy when they were due; the wait is part of their latency
5 operations were due but not started before the end, and are not in the figures above: the clients did not keep up with --rate
1 operations were in flight at the interrupt
`
	if got := Text(r, error.Error); got != want {
		t.Errorf("got\n%s", got)
	}
	r = &load.Report{Settings: load.Settings{Reads: 100, Keys: 5, Clients: 2, Consistency: "stale", KeySize: 7}, Seconds: 1, Endpoints: r.Endpoints[:1], Operations: []load.Operation{writes}}
	if got, want := Text(r, error.Error), "1.0 s, 2 clients, as fast as they can\n100 % reads (stale) of 5 keys, chosen equally; keys of 7 bytes, values of 0\n\nOPERATION"; !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 5 {
		t.Errorf("got\n%s", got)
	}
}

func TestReadingText(t *testing.T) {
	text := readingText(load.Reading{Phase: load.Measuring, OpsPerSecond: 12345.6, P50: 204 * time.Microsecond, P99: 3410 * time.Microsecond, Late: 7, Failed: 2})
	if text != "measuring: 12346 ops/s, p50 204 µs, p99 3.41 ms, 7 late, 2 failed" {
		t.Errorf("got %q", text)
	}
}
