package group

import (
	"context"

	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/fsm"
)

// revokeSpan begins the span of a write's wait for lease holders.
func (a *Authority) revokeSpan(ctx context.Context, holders []fsm.Holder) (context.Context, trace.Span) {
	ctx, span := trace.Start(ctx, "revoke", trace.Internal)
	span.Set(trace.Group, string(a.cfg.Group))
	span.SetInt(trace.Holders, len(holders))
	return ctx, span
}

// holderSpans makes a span of each holder that the write has waited for the longest: at most [words.MaxDelays]. The wait is over.
func holderSpans(ctx context.Context, w *wait) {
	if !trace.Of(ctx).Recording() {
		return
	}
	for _, d := range w.delays {
		span := trace.Past(ctx, "await holder", w.since)
		span.Set(trace.Node, string(d.Node))
		span.EndAt(w.since.Add(d.Wait))
	}
}
