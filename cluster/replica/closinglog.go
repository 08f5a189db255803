package replica

import (
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
)

// closingLog is a log that drops complaints once its replica closes: that connections end then is no news to anybody.
type closingLog struct {
	hclog.Logger
	closing atomic.Bool
}

func (q *closingLog) Warn(msg string, args ...any) {
	if !q.closing.Load() {
		q.Logger.Warn(msg, args...)
	}
}

func (q *closingLog) Error(msg string, args ...any) {
	if !q.closing.Load() {
		q.Logger.Error(msg, args...)
	}
}
