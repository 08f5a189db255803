package httpd

import (
	"net/http"

	"github.com/edgehold/edgehold/api/front"
)

// What pages of other origins may send and read, in the headers of CORS.
var (
	corsRequestHeaders = []string{"Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID"}
	corsAnswerHeaders  = []string{"ETag, Retry-After, Server-Timing, Edgehold-Age, Edgehold-Fence, Edgehold-Node, Edgehold-Owner, " +
		"Edgehold-Replayed, Edgehold-Served-By, Edgehold-TTL, Edgehold-Version"}
	corsMaxAge = []string{"7200"} // in seconds; browsers remember a preflight no longer
)

// forPages reports whether pages of other origins may use the resource: it is about keys, or about the caller itself. The cluster is
// not for them.
func (r *resource) forPages() bool {
	for _, route := range r.routes {
		if route.kind != request || route.right > front.Write || route.right == front.None && route.name != "self" {
			return false
		}
	}
	return true
}

// fromPage reports whether the request comes from a page of another origin that may use the resource, and sets the headers that let
// the page see the answer. Any other origin gets none. Credentials of the browser are never allowed: a token stands in Authorization.
func (x *exchange) fromPage(at *resource) bool {
	origin := x.R.Header.Get("Origin")
	if origin == "" || !x.pages[origin] && !x.pages["*"] || !at.forPages() {
		return false
	}
	x.page = true
	h := x.W.Header()
	if x.pages["*"] {
		h["Access-Control-Allow-Origin"] = []string{"*"}
	} else {
		h["Access-Control-Allow-Origin"] = []string{origin}
		h["Vary"] = []string{"Origin"}
	}
	h["Access-Control-Expose-Headers"] = corsAnswerHeaders
	return true
}

// preflight answers the question of a browser whether a page may send a request; false if the request is none.
func (x *exchange) preflight(at *resource) bool {
	if x.R.Method != http.MethodOptions || x.R.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h := x.W.Header()
	h["Access-Control-Allow-Methods"] = []string{at.allow}
	h["Access-Control-Allow-Headers"] = corsRequestHeaders
	h["Access-Control-Max-Age"] = corsMaxAge
	x.Reply(http.StatusNoContent, 0)
	return true
}
