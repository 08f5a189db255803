package httpd

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"net/http"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/observe/trace"
)

// problem is an error in the form of RFC 9457.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Instance names this occurrence, if a trace or the node's log has it too.
	Instance string   `json:"instance,omitempty"`
	Code     api.Code `json:"code"`
	Applied  string   `json:"applied"` // "no" or "unknown"
	keyText
	Version string `json:"version,omitempty"`
	// RetryAfter is in seconds, with decimals; the header has whole ones.
	RetryAfter float64 `json:"retry_after,omitempty"`
}

const problemType = "urn:edgehold:error:"

var problemTitles = map[api.Code]string{
	api.CodeInvalid:            "The request makes no sense",
	api.CodeUnauthenticated:    "A valid credential is needed",
	api.CodeDenied:             "This is not allowed",
	api.CodeNotFound:           "Not found",
	api.CodeConflict:           "The present state forbids this",
	api.CodePreconditionFailed: "A condition did not hold",
	api.CodeTooLarge:           "Over a limit",
	api.CodeLimited:            "Over the rate of the token",
	api.CodeUnavailable:        "Not available now",
	api.CodeAmbiguous:          "The outcome is unknown: read before you repeat it, or repeat it with the same Idempotency-Key",
	api.CodeInternal:           "A fault of the server",
}

// problemOf is the problem that e is, without what it says of a key.
func problemOf(e *api.Error, status int) *problem {
	p := &problem{
		Type: problemType + string(e.Code), Title: problemTitles[e.Code], Status: status, Detail: e.Hint,
		Code: e.Code, Applied: e.Applied(),
	}
	if door.AsksToWait(status) {
		p.RetryAfter = e.RetryAfter.Seconds()
	}
	return p
}

// json is the body of the answer.
func (p *problem) json() []byte {
	body, err := json.Marshal(p)
	if err != nil { // a detail that is no text is no reason to be silent
		body = []byte(`{"code":"internal","applied":"unknown"}`)
	}
	return append(body, '\n')
}

// fail answers with the problem that err is.
func (x *exchange) fail(err error) {
	e := x.explain(err)
	status := door.StatusOf(err, e)
	p := problemOf(e, status)
	p.Instance = x.occurrence(e, err)
	if e.Key != "" {
		p.keyText = textOfKey(e.Key)
	}
	if e.Code == api.CodeNotFound && e.Key != "" || e.Code == api.CodePreconditionFailed && (x.key != "" || !e.Version.IsZero()) {
		p.Version = e.Version.String()
		x.set("Edgehold-Version", p.Version)
	}
	if door.AsksToWait(status) {
		x.set("Retry-After", door.RetryAfter(e))
	}
	if status == http.StatusUnauthorized {
		x.Unauthenticated()
	}
	x.replyProblem(status, p)
}

func (x *exchange) replyProblem(status int, p *problem) {
	x.replyBody(status, problemJSON, p.json())
}

// explain is err as the client of this request may see it.
func (x *exchange) explain(err error) *api.Error {
	e := door.Explain(err, x.writes)
	if !e.Unknown { // what the Store has not seen, such as a body that came late
		e = api.AsError(writeID(x.R).Outcome(e))
	}
	if e.Key == "" && len(x.key) <= api.MaxKeyBytes {
		e.Key = x.key
	}
	return e
}

const (
	traceInstance = "urn:edgehold:trace:"
	faultInstance = "urn:edgehold:fault:"
)

// occurrence returns the URI of this occurrence of e: that of the request's trace, if it is traced, and else, of a fault of the node, one of
// its own. A fault is logged under it. All other errors are no occurrences that a node remembers: "".
func (x *exchange) occurrence(e *api.Error, cause error) (instance string) {
	if id := trace.ID(x.Base); id != "" {
		instance = traceInstance + id
	}
	if e.Code == api.CodeInternal {
		instance = cmp.Or(instance, faultInstance+rand.Text())
		x.Log("request failed", "method", x.R.Method, "path", x.R.URL.EscapedPath(), "error", cause, "instance", instance)
	}
	return instance
}
