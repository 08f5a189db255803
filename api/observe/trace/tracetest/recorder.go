// Package tracetest records the spans that a test makes.
package tracetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
)

// Recorder is a provider of tracers that samples every span and keeps it. Its zero value works, and it is safe for concurrent use.
type Recorder struct {
	embedded.TracerProvider
	mu    sync.Mutex
	spans []*span // guarded by mu, with all of its fields but self
}

// Span is what is recorded of a span.
type Span struct {
	Name         string
	Self, Parent oteltrace.SpanContext
	Attributes   []attribute.KeyValue
	// Failed: its status is an error.
	Failed bool
	// Began and Ended are zero if the span began now, and if it has not ended. Ends counts its ends.
	Began, Ended time.Time
	Ends         int
}

// Attribute returns the value of an attribute as text; "" if the span has none of that name.
func (s *Span) Attribute(name string) string {
	for _, a := range slices.Backward(s.Attributes) {
		if string(a.Key) == name {
			return a.Value.String()
		}
	}
	return ""
}

// Spans returns the spans in the order in which they began.
func (r *Recorder) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Span, len(r.spans))
	for i, s := range r.spans {
		all[i] = s.kept
		all[i].Attributes = slices.Clone(s.kept.Attributes)
	}
	return all
}

// Tracer implements the provider.
func (r *Recorder) Tracer(string, ...oteltrace.TracerOption) oteltrace.Tracer { return tracer{of: r} }

type tracer struct {
	embedded.Tracer
	of *Recorder
}

func (t tracer) Start(ctx context.Context, name string, opts ...oteltrace.SpanStartOption) (context.Context, oteltrace.Span) {
	r := t.of
	r.mu.Lock()
	defer r.mu.Unlock()
	parent, number := oteltrace.SpanContextFromContext(ctx), len(r.spans)+1
	id := parent.TraceID()
	if !id.IsValid() {
		id = oteltrace.TraceID{14: byte(number >> 8), 15: byte(number)}
	}
	s := &span{of: r, self: oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
		TraceID: id, SpanID: oteltrace.SpanID{6: byte(number >> 8), 7: byte(number)}, TraceFlags: oteltrace.FlagsSampled, TraceState: parent.TraceState(),
	})}
	cfg := oteltrace.NewSpanStartConfig(opts...)
	s.kept = Span{Name: name, Self: s.self, Parent: parent, Began: cfg.Timestamp(), Attributes: cfg.Attributes()}
	r.spans = append(r.spans, s)
	return oteltrace.ContextWithSpan(ctx, s), s
}

// span is a span that is being recorded.
type span struct {
	noop.Span
	of   *Recorder
	self oteltrace.SpanContext
	kept Span // guarded by of.mu
}

// edit changes what is kept of the span, which has not ended.
func (s *span) edit(change func(kept *Span)) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.kept.Ends == 0 {
		change(&s.kept)
	}
}

func (s *span) SpanContext() oteltrace.SpanContext       { return s.self }
func (s *span) TracerProvider() oteltrace.TracerProvider { return s.of }
func (s *span) SetName(name string)                      { s.edit(func(kept *Span) { kept.Name = name }) }
func (s *span) SetStatus(c codes.Code, _ string) {
	s.edit(func(kept *Span) { kept.Failed = c == codes.Error })
}

func (s *span) SetAttributes(all ...attribute.KeyValue) {
	s.edit(func(kept *Span) { kept.Attributes = append(kept.Attributes, all...) })
}

func (s *span) IsRecording() bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	return s.kept.Ends == 0
}

func (s *span) End(opts ...oteltrace.SpanEndOption) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.kept.Ends++; s.kept.Ends > 1 {
		return
	}
	cfg := oteltrace.NewSpanEndConfig(opts...)
	if s.kept.Ended = cfg.Timestamp(); s.kept.Ended.IsZero() {
		s.kept.Ended = time.Now()
	}
}
