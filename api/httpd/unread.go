package httpd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// A request that net/http cannot read (a bad percent escape, a header over the limit, no HTTP at all) never reaches a
// handler: net/http answers it in plain text, straight on the connection. conn puts a problem in its place, so
// that every error of HTTP/1.1 is one.

// plainHeaders are all that net/http sends between the status line and the text of a refusal.
const plainHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// plainRefusal reads a refusal in net/http's words: the status, and what it says beyond the status's name, if anything.
func plainRefusal(b []byte) (status int, reason string, ok bool) {
	if bytes.HasPrefix(b, []byte("HTTP/1.1 417 ")) { // the one that net/http sends without a text
		return http.StatusExpectationFailed, "", true
	}
	line, rest, ok := bytes.Cut(b, []byte("\r\n"))
	text, isHTTP := strings.CutPrefix(string(line), "HTTP/1.1 ")
	if !ok || !isHTTP || !bytes.HasPrefix(rest, []byte(plainHeaders[2:])) {
		return 0, "", false
	}
	number, name, _ := strings.Cut(text, " ")
	if status, _ = strconv.Atoi(number); status < 400 || status > 599 {
		return 0, "", false
	}
	_, reason, _ = strings.Cut(name, ": ")
	return status, reason, true
}

// problemFor is the whole answer to a request that could not be read.
func (c *conn) problemFor(status int, reason string) []byte {
	e := api.Errorf(api.CodeInvalid, "the request is not HTTP/1.1 as it should be: %s", reason)
	switch {
	case status == http.StatusRequestHeaderFieldsTooLarge: // as with a key that is only a little too long
		status = http.StatusRequestEntityTooLarge
		e = api.Errorf(api.CodeTooLarge, "the request's header, its path included, is over the limit of %d bytes; a key has at most %d bytes",
			c.of.http.MaxHeaderBytes, api.MaxKeyBytes)
	case status == http.StatusExpectationFailed:
		e.Hint = "the only Expect that is known here is 100-continue"
	case status == http.StatusNotImplemented:
		e.Hint = "the request's Transfer-Encoding is not known here; send chunked, or a Content-Length"
	case reason == "":
		e.Hint = "the request cannot be read: in a path, write a space and other such bytes as %20, and % itself as %25"
	}
	body, err := json.Marshal(&problem{
		Type: problemType + string(e.Code), Title: problemTitles[e.Code], Status: status, Detail: e.Hint, Code: e.Code, Applied: e.Applied(),
	})
	if err != nil {
		panic(err) // a problem is text and numbers
	}
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: %d\r\n"+
		"Content-Type: application/problem+json\r\nX-Content-Type-Options: nosniff\r\n\r\n", status, http.StatusText(status), len(body)+1)
	return append(append([]byte(head), body...), '\n')
}
