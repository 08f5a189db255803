package load

import (
	"time"

	"github.com/edgehold/edgehold/api"
)

// Report is the result of a run. Its JSON is the output of bench for programs.
type Report struct {
	Settings Settings `json:"settings"`
	// Began is when the measurement began.
	Began time.Time `json:"began"`
	// Seconds is how long the measurement took. It is less than planned if Interrupted.
	Seconds     float64 `json:"seconds"`
	Interrupted bool    `json:"interrupted"`
	Shortfall
	Operations []Operation `json:"operations"`
	Endpoints  []Endpoint  `json:"endpoints"`
	Timeline   []Point     `json:"timeline"`
}

// Shortfall counts operations that did not go as planned. Operations include those that were late, but not the others.
type Shortfall struct {
	Late       int64 `json:"late"`        // due while all clients were busy; the wait is in the latency
	NotStarted int64 `json:"not_started"` // still waiting for a client at the end
	CutOff     int64 `json:"cut_off"`     // in flight at the interrupt; the outcome is unknown
}

// Settings are the plan in a report.
type Settings struct {
	Reads       float64 `json:"reads"`
	Keys        int64   `json:"keys"`
	Zipf        float64 `json:"zipf"`
	KeySize     int     `json:"key_size"`
	ValueSize   int     `json:"value_size"`
	Prefix      string  `json:"prefix"`
	Clients     int     `json:"clients"` // at each endpoint
	Consistency string  `json:"consistency"`
	Rate        float64 `json:"rate"` // 0: a closed loop
	Warmup      float64 `json:"warmup_seconds"`
	Duration    float64 `json:"duration_seconds"`
}

// Endpoint is the result at one target.
type Endpoint struct {
	Endpoint string     `json:"endpoint"`
	Node     api.NodeID `json:"node"`
	Shortfall
	Operations []Operation `json:"operations"`
}

// Operation is the result for one kind of operation.
type Operation struct {
	Operation    string    `json:"operation"` // read or write
	Count        int64     `json:"count"`     // answered, of those that began in the measured time
	OpsPerSecond float64   `json:"ops_per_second"`
	Failed       int64     `json:"failed"`
	Errors       []Failure `json:"errors"`
	Latency      Latency   `json:"latency_ms"` // of the answered
	// ServedBy counts the reads by what answered them. Absent counts those that found no value.
	ServedBy *ServedBy `json:"served_by,omitempty"`
	Absent   int64     `json:"absent,omitempty"`
	// Curve is the distribution of latencies, in rising order. Endpoints have none.
	Curve []Quantile `json:"curve,omitempty"`
}

// Failure counts the failures with one code.
type Failure struct {
	Code  api.Code `json:"code"`
	Count int64    `json:"count"`
	Mean  float64  `json:"mean_ms"` // until it failed, including retries
	Max   float64  `json:"max_ms"`
	Text  string   `json:"example"`
	Err   error    `json:"-"` // the example
}

// Latency is in milliseconds.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// ServedBy counts reads by what answered them.
type ServedBy struct {
	Lease int64 `json:"lease"`
	Owner int64 `json:"owner"`
	Stale int64 `json:"stale"`
}

// Quantile is a point of a distribution: Percent of all operations took at most Millis.
type Quantile struct {
	Percent float64 `json:"percent"`
	Millis  float64 `json:"ms"`
}

// Err returns the most common error if no operation was answered. It returns nil if one was, or if there were no operations.
func (r *Report) Err() error {
	var worst Failure
	for _, o := range r.Operations {
		if o.Count > 0 {
			return nil
		}
		for _, f := range o.Errors {
			if f.Count > worst.Count {
				worst = f
			}
		}
	}
	return worst.Err
}
