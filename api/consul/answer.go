package consul

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

// refuse returns the refusal of a request with the status and the words of Consul.
func refuse(status int, format string, args ...any) error {
	code := api.CodeInvalid
	switch status {
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong:
		code = api.CodeTooLarge
	case http.StatusNotFound:
		code = api.CodeNotFound
	}
	return door.WithStatus(status, &api.Error{Code: code, Hint: fmt.Sprintf(format, args...)})
}

// fail answers with an error, in Consul's words where it has some. Consul has no 401: what a token may not do is 403 in any case. A
// client repeats what is answered 5xx, which says whether the write may have been applied.
func fail(x *door.Exchange, status int, e *api.Error) {
	words := e.Hint
	if words == "" {
		words = e.Error()
	}
	switch e.Code {
	case api.CodeUnauthenticated:
		status, words = http.StatusForbidden, "ACL not found: "+words
		x.W.Header().Del("Www-Authenticate")
	case api.CodeDenied:
		words = "Permission denied: " + words
	case api.CodeAmbiguous:
		status, words = http.StatusInternalServerError, "the outcome is unknown: "+words
	}
	if status == http.StatusMethodNotAllowed {
		for m := range methodsOf(x.R.URL.Path) {
			x.W.Header().Add("Allow", m)
		}
	}
	write(x, status, plainText, []byte(words))
}

// methodsOf returns the methods of a path that is served.
func methodsOf(text string) map[string]*handler {
	p, _, err := find(text)
	if err != nil {
		return nil
	}
	return p.methods
}

var (
	plainText = []string{"text/plain; charset=utf-8"}
	jsonType  = []string{"application/json"}
)

func write(x *door.Exchange, status int, contentType []string, body []byte) {
	h := x.W.Header()
	h["Content-Type"], h["Content-Length"] = contentType, []string{strconv.Itoa(len(body))}
	x.Reply(status, len(body))
	if x.R.Method != http.MethodHead {
		_, _ = x.W.Write(body) // the client may have gone
	}
}

// reply answers with v as JSON.
func (q *request) reply(status int, v any) error {
	b, err := json.Marshal(v)
	if q.has("pretty") && err == nil {
		b, err = json.MarshalIndent(v, "", "    ")
		b = append(b, '\n')
	}
	if err != nil {
		return &api.Error{Code: api.CodeInternal, Err: err}
	}
	write(q.exchange, status, jsonType, b)
	return nil
}

// meta sets the headers of the answer to a query.
func (q *request) meta(a *answer) {
	h := q.exchange.W.Header()
	h.Set("X-Consul-Index", strconv.FormatUint(max(a.index, 1), 10))
	h.Set("X-Consul-Knownleader", "true")
	h.Set("X-Consul-Lastcontact", strconv.FormatInt(a.age.Milliseconds(), 10))
	effective := "leader"
	switch q.consistency {
	case api.Stale:
		effective = "stale"
	case api.Quorum:
		effective = "consistent"
	}
	h.Set("X-Consul-Effective-Consistency", effective)
}

// notFound answers a query that has found nothing: without a body.
func (q *request) notFound() error {
	write(q.exchange, http.StatusNotFound, plainText, nil)
	return nil
}

// answer is what a query finds.
type answer struct {
	index   uint64
	holders []string      // the sessions whose end would change it
	age     time.Duration // how old it may be
	send    func() error
}
