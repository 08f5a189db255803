package door

import (
	"cmp"
	"net/http"

	"github.com/edgehold/edgehold/api/observe/trace"
)

// endSpan ends the span of the request, if it is traced and has not ended. The path is not in it, since it may be a key.
func (x *Exchange) endSpan(route string) {
	s := x.span
	if !s.Recording() {
		return
	}
	x.span = trace.Span{}
	method, path := knownMethod(x.R.Method), cmp.Or(x.Pattern, route)
	s.Name(method + " " + path)
	s.Set(trace.HTTPMethod, method)
	s.Set(trace.HTTPRoute, path)
	s.Set(trace.Front, x.door.name)
	s.SetInt(trace.HTTPStatus, x.Status)
	if x.note.Source() != "" {
		s.Set(trace.ServedBy, x.note.Source())
	}
	if x.Status >= http.StatusInternalServerError {
		s.Fail(StatusText(x.Status))
	}
	s.End()
}

// Abandon ends the span of a request whose handler panics before [Exchange.End], and does nothing after that. It is to be deferred.
func (x *Exchange) Abandon() {
	if x.span.Recording() {
		x.span.Fail("panic")
		x.endSpan("none")
	}
}

// knownMethod returns the method, or what the semantic conventions have for one that is not known: a client may send any text.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodOptions, http.MethodPatch:
		return m
	}
	return "_OTHER"
}
