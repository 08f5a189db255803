package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows a bar on the standard error for long work if that is a terminal, and always shows warnings. Add and Warn are safe
// for concurrent use.
type progress struct {
	t   *terminal
	bar *progressbar.ProgressBar // nil: no bar
}

// Start begins a part of the work, of total bytes, or of an unknown number if total is -1.
func (p *progress) Start(part string, total int64) {
	p.open(total,
		progressbar.OptionSetDescription(part),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
	)
}

func (p *progress) open(total int64, options ...progressbar.Option) {
	if p.t.errIsTTY {
		p.bar = progressbar.NewOptions64(total, append(options,
			progressbar.OptionSetWriter(p.t.err),
			progressbar.OptionSetSpinnerChangeInterval(0),
			progressbar.OptionClearOnFinish(),
		)...)
	}
}

// Add counts n more bytes. It ignores the errors of drawing the bar, as the other methods do.
func (p *progress) Add(n int64) {
	if p.bar != nil {
		_ = p.bar.Add64(n)
	}
}

// steps is the number of steps of the bar of Show.
const steps = 1000

// Show shows text beside a bar. over is the part of the time that is over, from 0 to 1. It is for one goroutine.
func (p *progress) Show(text string, over float64) {
	if p.bar == nil {
		p.open(steps,
			progressbar.OptionSetWidth(20),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionShowDescriptionAtLineEnd(),
		)
	}
	if p.bar != nil {
		p.bar.Describe(text)
		_ = p.bar.Set64(min(int64(over*steps), steps-1)) // a complete bar would disappear before the last operation ends
	}
}

// Warn writes err as one line above the bar.
func (p *progress) Warn(err error) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	_, _ = fmt.Fprintln(p.t.err, "edgehold: "+explain(err))
}

// Done removes the bar.
func (p *progress) Done() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
