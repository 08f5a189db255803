package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows long work on the standard error if that is a terminal; elsewhere only its warnings are seen. It can be
// used by several goroutines once Start has returned.
type progress struct {
	t   *terminal
	bar *progressbar.ProgressBar // nil: nothing is shown
}

// Start begins a part of the work: so many bytes, or any number if total is -1.
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

// Add counts n more bytes. The bar is decoration: that it cannot be drawn is no error, here and below.
func (p *progress) Add(n int64) {
	if p.bar != nil {
		_ = p.bar.Add64(n)
	}
}

// steps are those of the bar of Show.
const steps = 1000

// Show shows a text beside a bar that is over by so much, from 0 to 1. One goroutine calls it.
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
		_ = p.bar.Set64(min(int64(over*steps), steps-1)) // the bar would vanish at its end, before the last is done
	}
}

// Warn writes a line of its own, above the bar.
func (p *progress) Warn(err error) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	_, _ = fmt.Fprintln(p.t.err, "edgehold: "+explain(err))
}

// Done takes the bar away.
func (p *progress) Done() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
