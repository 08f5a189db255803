package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows long work on stderr where that is a terminal, and is silent elsewhere. Safe for concurrent use.
type progress struct {
	bar *progressbar.ProgressBar // nil: silent
	t   *terminal
}

// newProgress counts bytes up to total, or without an end where total is not known (-1).
func newProgress(t *terminal, what string, total int64) *progress {
	p := &progress{t: t}
	if t.errIsTTY {
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(t.err),
			progressbar.OptionSetDescription(what),
			progressbar.OptionShowBytes(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetSpinnerChangeInterval(0),
			progressbar.OptionClearOnFinish(),
		)
	}
	return p
}

// add counts n more bytes. The bar is decoration: that it cannot be drawn is no error.
func (p *progress) add(n int64) {
	if p.bar != nil {
		_ = p.bar.Add64(n)
	}
}

// line writes a line of its own, above the bar.
func (p *progress) line(format string, args ...any) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	_, _ = fmt.Fprintf(p.t.err, format+"\n", args...)
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
