package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/edgehold/edgehold/cmd/edgehold/bench/load"
)

// benchLive shows on stderr how a load goes on, where that is a terminal.
type benchLive struct {
	bar   *progressbar.ProgressBar // nil: silent
	total time.Duration
}

func newBenchLive(t *terminal, total time.Duration) *benchLive {
	l := &benchLive{total: total}
	if t.errIsTTY {
		l.bar = progressbar.NewOptions64(int64(total),
			progressbar.OptionSetWriter(t.err),
			progressbar.OptionSetWidth(20),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionShowDescriptionAtLineEnd(),
			progressbar.OptionSetSpinnerChangeInterval(0),
			progressbar.OptionClearOnFinish(),
		)
	}
	return l
}

// show draws a reading. It is decoration: that it cannot be drawn is no error.
func (l *benchLive) show(r load.Reading) {
	if l.bar == nil {
		return
	}
	l.bar.Describe(liveText(r))
	_ = l.bar.Set64(min(int64(r.Elapsed), int64(l.total)-1)) // the bar would vanish at its end, before the last is done
}

// end takes the bar away.
func (l *benchLive) end() {
	if l.bar != nil {
		_ = l.bar.Finish()
	}
}

// liveText is a reading in a line.
func liveText(r load.Reading) string {
	text := fmt.Sprintf("%s: %s ops/s, p50 %s, p99 %s", r.Phase, load.RateText(r.OpsPerSecond), load.MillisText(millisOf(r.P50)), load.MillisText(millisOf(r.P99)))
	if r.Late > 0 {
		text += fmt.Sprintf(", %d late", r.Late)
	}
	if r.Failed > 0 {
		text += fmt.Sprintf(", %d failed", r.Failed)
	}
	return text
}

func millisOf(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
