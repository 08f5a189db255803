package httpd

import (
	"net/http"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/ui"
)

// The headers of every file of the page.
var pageHeaders = map[string][]string{
	"Content-Security-Policy":      {ui.Policy},
	"Referrer-Policy":              {"no-referrer"},
	"Cross-Origin-Opener-Policy":   {"same-origin"},
	"Cross-Origin-Resource-Policy": {"same-origin"},
}

// getUI answers with a file of the page. It needs no right, since the files hold nothing of the cluster. A page of another origin whose
// name was made to resolve to this machine gets none.
func getUI(x *exchange) error {
	if err := x.KnownHost(); err != nil {
		return err
	}
	f, ok := ui.Find(x.args["file"])
	if !ok {
		return door.WithStatus(http.StatusNotFound, api.Errorf(api.CodeNotFound, "the page has no such file"))
	}
	h := x.W.Header()
	for name, value := range pageHeaders {
		h[name] = value
	}
	x.replyBody(http.StatusOK, []string{f.Type}, f.Body)
	return nil
}

var (
	aboutGetUI = about{id: "getPage", tag: "node", summary: "A page for browsers that shows the cluster live", media: "text/html; charset=utf-8", errors: []int{403},
		text:     "It needs no right, and has those of the token that is typed in.",
		examples: []example{{name: "open", target: "/ui/", status: 200, answer: "<!doctype html>\n"}}}
	aboutGetUIFile = about{id: "getPageFile", tag: "node", summary: "A file of that page", media: "text/javascript; charset=utf-8", errors: []int{403, 404},
		text:     "A script; the style and the picture have types of their own.",
		examples: []example{{name: "script", target: "/ui/app.js", status: 200, answer: "// @ts-check\n"}}}
)
