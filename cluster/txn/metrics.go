package txn

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
)

// metrics holds what this package measures. The modes are those of [running].
type metrics struct {
	total    func(float64, ...string)
	seconds  func(float64, ...string)
	attempts func(float64, ...string)
	retries  func(float64, ...string)
}

func newMetrics(m observe.Metrics) metrics {
	return metrics{
		total:    m.Counter("edgehold_txn_total", "Transactions carried out, by how they were committed and how they ended.", "mode", "outcome"),
		seconds:  m.Histogram("edgehold_txn_seconds", "How long transactions took.", "mode"),
		attempts: m.Histogram("edgehold_txn_attempts", "Attempts of transactions across groups."),
		retries:  m.Counter("edgehold_txn_retries_total", "Attempts that did not commit and were followed by another, by cause.", "cause"),
	}
}

func (m *metrics) done(mode string, err error, d time.Duration) {
	outcome := "ok"
	if err != nil {
		outcome = string(api.CodeOf(err))
	}
	m.total(1, mode, outcome)
	m.seconds(d.Seconds(), mode)
}
