// Package traces sends the spans of a node to a collector, by OpenTelemetry's SDK and OTLP over HTTP. It is the one package of a node
// that knows the SDK.
package traces

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/api/observe/trace"
)

const (
	// MaxQueue bounds the spans that wait to be sent. One more is dropped.
	MaxQueue = 2048
	// batch bounds the spans of one message.
	batch = 512
	// every is how long a span waits for others at most.
	every = time.Second
	// sendTimeout bounds the sending of one message, and closeTimeout what is sent when the node closes.
	sendTimeout  = 5 * time.Second
	closeTimeout = time.Second
	// idleTimeout is how long a connection without spans to send is kept.
	idleTimeout = 90 * time.Second
)

// DefaultRatio is the part of the requests without a traceparent that a node traces, unless its settings say otherwise.
const DefaultRatio = 0.01

// Config says where spans go, and of which requests. All fields but Ratio are required.
type Config struct {
	// URL is the collector's, such as http://127.0.0.1:4318. Without a path it is that of OTLP, /v1/traces.
	URL string
	// Ratio is the part of the requests without a traceparent that are traced, from 0 to 1.
	Ratio   float64
	Node    api.NodeID
	Region  api.RegionID
	Metrics observe.Metrics
	// Log takes a message and key-value pairs, once when the collector cannot be reached any more, and once when it can again.
	Log func(msg string, args ...any)
}

// Check returns CodeInvalid if there can be no collector at the URL, or the ratio is none. "" is a valid URL: nothing is traced.
func Check(collector string, ratio float64) error {
	if !(ratio >= 0 && ratio <= 1) {
		return api.Errorf(api.CodeInvalid, "--trace-ratio is from 0 to 1, not %v", ratio)
	}
	if collector == "" {
		return nil
	}
	_, err := endpoint(collector)
	return err
}

// endpoint returns the URL to which spans are sent.
func endpoint(collector string) (string, error) {
	u, err := url.Parse(collector)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", api.Errorf(api.CodeInvalid, "--otlp needs the URL of a collector, such as http://127.0.0.1:4318")
	case u.User != nil:
		return "", api.Errorf(api.CodeInvalid, "--otlp takes no credentials: give them as a header in OTEL_EXPORTER_OTLP_HEADERS")
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/v1/traces"
	}
	return u.String(), nil
}

// Traces sends the spans of a node. It never blocks a request: spans that find no room are dropped.
type Traces struct {
	*trace.Tracer
	provider    *sdktrace.TracerProvider
	exporter    *exporter
	connections *http.Transport
}

// Open begins to send spans.
func Open(c Config) (*Traces, error) {
	to, err := endpoint(c.URL)
	if err != nil {
		return nil, err
	}
	connections := &http.Transport{ // of this node alone, so that Close can close them
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: sendTimeout, IdleConnTimeout: idleTimeout,
	}
	inner := otlptrace.NewUnstarted(otlptracehttp.NewClient(otlptracehttp.WithEndpointURL(to),
		otlptracehttp.WithHTTPClient(&http.Client{Transport: connections, Timeout: sendTimeout}),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))) // what cannot be sent is dropped: a retry would hold up what comes after it
	if err := inner.Start(context.Background()); err != nil { // it makes no connection
		return nil, &api.Error{Code: api.CodeInvalid, Hint: "spans cannot be sent to " + to, Err: err}
	}
	x := &exporter{SpanExporter: inner, to: to, log: c.Log}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	x.spans = c.Metrics.Counter("edgehold_trace_spans_total",
		"Spans, by what became of them: ended, then sent or failed. What has ended and is neither waits, or was dropped since too many wait.", "result")
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // the Tracer decides
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", trace.System),
			attribute.String("service.instance.id", string(c.Node)),
			attribute.String("cloud.region", string(c.Region)),
		)),
		sdktrace.WithSpanProcessor(counting{sdktrace.NewBatchSpanProcessor(x, sdktrace.WithMaxQueueSize(MaxQueue),
			sdktrace.WithMaxExportBatchSize(batch), sdktrace.WithBatchTimeout(every), sdktrace.WithExportTimeout(sendTimeout)), x}),
	)
	return &Traces{Tracer: trace.New(provider, c.Ratio), provider: provider, exporter: x, connections: connections}, nil
}

// Close sends what waits, for a second at most, closes the connections to the collector, and ends.
func (t *Traces) Close() error {
	late := time.AfterFunc(closeTimeout, t.exporter.cancel)
	defer late.Stop()
	defer t.connections.CloseIdleConnections()
	defer t.exporter.cancel()
	return t.provider.Shutdown(context.Background())
}

// counting is the processor, which counts the spans that end.
type counting struct {
	sdktrace.SpanProcessor
	exporter *exporter
}

// OnEnd queues the span.
func (c counting) OnEnd(s sdktrace.ReadOnlySpan) {
	c.exporter.spans(1, "ended")
	c.SpanProcessor.OnEnd(s)
}

// exporter sends spans, and keeps what goes wrong with that from everything else: it is counted, and logged when it begins and ends. Its
// methods are called by one goroutine at a time.
type exporter struct {
	sdktrace.SpanExporter
	to     string
	ctx    context.Context // ends when the node has waited long enough for the last spans
	cancel context.CancelFunc
	log    func(msg string, args ...any)
	spans  func(n float64, values ...string)
	fails  atomic.Bool
}

// ExportSpans sends spans, or drops them.
func (x *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(x.ctx, cancel)()
	err := x.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		x.spans(float64(len(spans)), "failed")
		if !x.fails.Swap(true) {
			x.log("spans cannot be sent to the collector, and are dropped until they can", "collector", x.to, "error", brief(err))
		}
		return nil
	}
	x.spans(float64(len(spans)), "sent")
	if x.fails.Swap(false) {
		x.log("spans are sent to the collector again", "collector", x.to)
	}
	return nil
}

// maxError bounds what the log has of an error, in bytes: it may hold the whole answer of the collector.
const maxError = 300

func brief(err error) string {
	text := err.Error()
	if len(text) > maxError {
		text = text[:maxError] + " .."
	}
	return text
}
