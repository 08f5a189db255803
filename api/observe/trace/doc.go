// Package trace carries the spans of requests through the rooms of a node and between nodes. It is the one package that knows the
// interface of OpenTelemetry; what collects the spans is behind it, and comes from the caller of [New].
//
// Whether a request is traced is decided once, where it comes in. From there on its context has a span, and the rooms that it passes
// through begin spans below that with [Start]. A request that is not traced has none: Start then costs one look at the context, and
// allocates nothing. The context of a request that is traced elsewhere, at a node that makes no spans ([Forward]), has the span of the
// sender: what this node sends for the request names that, and Start makes none.
//
// Nothing that a client or another node says about a trace changes what is done with a request, except for the spans that are made of
// it.
package trace
