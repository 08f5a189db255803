package httpd

import (
	"maps"
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

// pagePrefix is the path of the page, which is not part of the API and has no row in its table.
const pagePrefix = "/ui/"

// getPage answers with a file of the page. It needs no right, since the files hold nothing of the cluster. A page of another origin whose
// name was made to resolve to this machine gets none.
func (x *exchange) getPage(name string) error {
	if err := x.onlyRead(); err != nil {
		return err
	}
	if err := x.KnownHost(); err != nil {
		return err
	}
	f, ok := ui.Find(name)
	if !ok {
		return door.WithStatus(http.StatusNotFound, api.Errorf(api.CodeNotFound, "the page has no such file"))
	}
	h := x.W.Header()
	maps.Copy(h, pageHeaders)
	x.replyBody(http.StatusOK, []string{f.Type}, f.Body)
	return nil
}

// leadToPage answers the path of the page without its last slash. The reference is relative, so that it holds behind a proxy that adds a
// prefix.
func (x *exchange) leadToPage() error {
	if err := x.onlyRead(); err != nil {
		return err
	}
	x.set("Location", "ui/")
	x.replyBody(http.StatusPermanentRedirect, plainText, []byte("the page is at ui/\n"))
	return nil
}

// onlyRead refuses any method but those that read.
func (x *exchange) onlyRead() error {
	if x.R.Method == http.MethodGet || x.R.Method == http.MethodHead {
		return nil
	}
	x.W.Header().Set("Allow", "GET, HEAD")
	return door.WithStatus(http.StatusMethodNotAllowed, api.Errorf(api.CodeInvalid, "the methods here are GET, HEAD"))
}
