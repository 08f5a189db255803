package httpd

import (
	"maps"
	"net/http"
	"reflect"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd/openapi"
)

// about describes a route in the document of OpenAPI, beside what its row says already.
type about struct {
	id      string // of the operation, for programs
	tag     string // one of sections
	summary string
	text    string // more; "" if the summary says all

	in    shape    // of a body in JSON; nil: it is bytes, if the row has a body
	must  bool     // the body must not be missing
	out   shape    // of the answer in JSON; nil: it is text or bytes, or there is none
	media string   // of the answer; "" is JSON if out is set, else the answer has no body
	head  bool     // the document has HEAD beside GET
	takes []string // headers of the request, of requestHeaders
	gives []string // headers of an answer that is no error, of answerHeaders
	// errors are the statuses of errors beside those that follow from the row.
	errors []int

	examples []example
}

// shape makes the schema of a body.
type shape func(s *openapi.Schemas) *openapi.Schema

// answers is the shape of what v encodes to.
func answers(v any) shape { return func(s *openapi.Schemas) *openapi.Schema { return s.Answer(v) } }

// asks is the shape, with a name, of what is decoded into v strictly. The members named must be there.
func asks(name string, v any, required ...string) shape {
	return func(s *openapi.Schemas) *openapi.Schema { return s.Request(name, v, required...) }
}

// example is a request and its answer. The document has both, and a test sends it.
type example struct {
	name    string // by which the document keeps the parts together
	summary string
	target  string   // path and query as they are sent
	lines   []string // headers, as Name: value
	body    string   // "" is none
	status  int
	answer  string // the body of the answer; versions, ids and times may differ
}

// sections are the groups of operations.
var sections = []openapi.Tag{
	{Name: "keys", Description: "Values by key. A read is linearizable unless it asks for less."},
	{Name: "transactions", Description: "Several keys at once, of any regions."},
	{Name: "watch", Description: "What changes, as it happens."},
	{Name: "locks", Description: "Locks with fences."},
	{Name: "cluster", Description: "Nodes, groups, placement and settings. Needs the right observe, operate or administer."},
	{Name: "join", Description: "How nodes come into a cluster."},
	{Name: "access", Description: "Tokens of clients, policies, and what the caller may do."},
	{Name: "node", Description: "The node that answers: probes, metrics, and this document."},
	{Name: "dev", Description: "Faults of a planet of edgehold dev. No other node has these."},
}

// errorStatuses returns the statuses of errors that the route may answer with, sorted.
func (r *route) errorStatuses() []int {
	all := slices.Clone(r.about.errors)
	switch {
	case r.kind == probe && r.right == front.None:
	case r.kind == probe:
		all = append(all, 400, 401, 403)
	case r.kind == stream:
		all = append(all, 400, 401, 403, 503)
	default:
		all = append(all, 400, 401, 500, 503)
		if r.right != front.None || r.method != http.MethodGet {
			all = append(all, 403)
		}
		if r.right >= front.Read && r.right <= front.Write {
			all = append(all, 413, 429)
		}
		if r.method != http.MethodGet {
			all = append(all, 504)
		}
		if r.body.limit > 0 {
			all = append(all, 413, 415)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// codesOf returns the codes of the errors that are answered with a status; see [api.Code.HTTPStatus].
func codesOf(status int) (all []api.Code) {
	switch status {
	case http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType, http.StatusUpgradeRequired:
		return []api.Code{api.CodeInvalid}
	}
	for _, code := range slices.Sorted(maps.Keys(problemTitles)) {
		if code.HTTPStatus() == status {
			all = append(all, code)
		}
	}
	return all
}

// special are the schemas of types that reflection says too little about.
func special() map[reflect.Type]*openapi.Schema {
	codes := make([]string, 0, len(problemTitles))
	for code := range problemTitles {
		codes = append(codes, string(code))
	}
	slices.Sort(codes)
	return map[reflect.Type]*openapi.Schema{
		reflect.TypeFor[api.Code]():   {Type: "string", Enum: codes},
		reflect.TypeFor[api.Role]():   {Type: "string", Enum: []string{string(api.RoleServer), string(api.RoleEdge)}},
		reflect.TypeFor[api.Secret](): {Type: "string"},
		reflect.TypeFor[api.PolicyRule](): {Type: "object", AdditionalProperties: &openapi.Additional{}, Properties: map[string]*openapi.Schema{
			"prefix": {Type: "string"}, "prefix_base64": {Type: "string", ContentEncoding: "base64"},
			"read": {Type: "boolean"}, "list": {Type: "boolean"}, "write": {Type: "boolean"}}},
		reflect.TypeFor[api.Lock](): {Type: "object", Required: []string{"decider", "seconds"}, Properties: map[string]*openapi.Schema{
			"key": {Type: "string"}, "key_base64": {Type: "string", ContentEncoding: "base64"}, "decider": {Type: "string"}, "seconds": {Type: "number"}}},
		reflect.TypeFor[api.DevState](): {Type: "string", Enum: []string{
			string(api.DevUp), string(api.DevStopping), string(api.DevStopped), string(api.DevStarting)}},
	}
}
