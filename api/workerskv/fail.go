package workerskv

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

// refuse returns the refusal of a request, in the words of the protocol's own server.
func refuse(status int, words string) error {
	code := api.CodeInvalid
	if status == http.StatusRequestEntityTooLarge || status == http.StatusRequestURITooLong {
		code = api.CodeTooLarge
	}
	return door.WithStatus(status, &api.Error{Code: code, Hint: words})
}

// restOfValue bounds what is read of a body whose request is refused: as much as the protocol's own limit of a value. A binding that
// cannot send all of it reports a lost connection, and not the refusal.
const restOfValue = 25 << 20

// fail answers with an error. The binding shows only the status line to the Worker: "KV PUT failed: 413 Value length of ..". net/http
// knows one reason phrase for each status. So a refusal that the request itself is the cause of is written by hand, and its connection
// closed; an error that comes with load, or with a wrong credential, is not.
func fail(x *door.Exchange, status int, e *api.Error) {
	words := e.Hint
	if words == "" {
		words = http.StatusText(status)
	}
	if e.Applied() == "unknown" {
		words += " (the write may have been applied)"
	}
	if status < http.StatusInternalServerError && status != http.StatusTooManyRequests && x.R.ContentLength != 0 {
		_, _ = io.CopyN(io.Discard, x.R.Body, restOfValue) // the answer is the same, whatever became of the body
	}
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong:
		if x.R.ProtoMajor == 1 && byHand(x, status, words) {
			return
		}
	}
	reply(x, status, plainText, []byte(words+"\n"))
}

// answerTimeout bounds the writing of an answer by hand.
const answerTimeout = 5 * time.Second

// byHand answers with a reason phrase of our own, and closes the connection. It reports whether it could.
func byHand(x *door.Exchange, status int, words string) bool {
	conn, _, err := http.NewResponseController(x.W).Hijack()
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // the answer says so
	x.Status = status
	x.Headers()
	h := x.W.Header()
	h["Content-Type"], h["Content-Length"], h["Connection"] = plainText, []string{strconv.Itoa(len(words) + 1)}, []string{"close"}
	var b strings.Builder
	b.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + phrase(words) + "\r\n")
	_ = h.Write(&b) // a builder takes all
	b.WriteString("\r\n")
	if x.R.Method != http.MethodHead {
		b.WriteString(words + "\n")
	}
	_ = conn.SetDeadline(time.Now().Add(answerTimeout)) // a connection without deadlines has none to set
	_, _ = io.WriteString(conn, b.String())             // the client may have gone
	return true
}

// phrase is the words as a reason phrase may have them: one line of printable ASCII.
func phrase(words string) string {
	const most = 200
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, words[:min(len(words), most)])
}
