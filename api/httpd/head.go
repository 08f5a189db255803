package httpd

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// The headers of a value cost net/http more than the lease costs that answers it: each is put in a map, copied, sorted
// and written by itself, and so is the value, through two buffers. Where the answer is a small value over HTTP/1.1 on a
// connection of [Server], net/http answers nothing at all, 200 with no body, and conn puts the headers, as they
// stand on the wire, and the value into that; net/http writes all else. They are the same headers, but a handler around
// the API's own sees neither them nor the value: it must leave the status 200 as it is, write nothing, and set no more
// headers than net/http writes in one piece (4 KiB).

var (
	// answerHead begins the answers in which a head is put.
	answerHead = []byte("HTTP/1.1 200 OK\r\n")
	// noLength is what net/http says of them, lengthHead begins what is said instead.
	noLength   = []byte("\r\nContent-Length: 0\r\n")
	lengthHead = noLength[:len(noLength)-len("0\r\n")]
)

// errUntold: what was to be an answer with a head is none that has a place for it. The client gets none.
var errUntold = errors.New("httpd: the answer was changed by a handler around the API")

// commonHead is what all answers of a type of content say, as it stands on the wire; nil where the node's name does not go
// there as it is.
func commonHead(node api.NodeID, content string) []byte {
	if !plainText(string(node)) {
		return nil
	}
	b := []byte("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n")
	b = appendHeader(b, "Content-Type", content)
	if node != "" {
		b = appendHeader(b, "Edgehold-Node", string(node))
	}
	return b
}

// replyHead answers 200 with the entry's value, if it can be done this way.
func (x *exchange) replyHead(e *api.Entry, res *api.ReadResult) bool {
	if x.r.Method != http.MethodGet || x.r.ProtoMajor != 1 || x.r.ProtoMinor != 1 || x.r.ContentLength != 0 || !x.small(e.Value) ||
		x.head == nil || res.Timing.Route+res.Timing.Revoke+res.Timing.Commit != 0 || res.Timing.Mode != "" || !plainText(string(res.Group)) {
		return false
	}
	c, ok := x.r.Context().Value(connKey{}).(*conn)
	if !ok {
		return false
	}
	b := c.head[:0]
	b = append(b, x.head...)
	b = appendHeader(b, "Edgehold-Served-By", res.ServedBy.String())
	if res.Group != "" {
		b = appendHeader(b, "Edgehold-Owner", string(res.Group))
	}
	b = appendVersion(append(b, "Edgehold-Version: "...), e.Version)
	b = appendVersion(append(b, "\r\nETag: \""...), e.Version)
	b = append(b, '"')
	c.head, c.value = b, e.Value
	x.atHand = res.ServedBy == api.ServedByLease && x.into != nil
	return true
}

func appendHeader(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

func appendVersion(b []byte, v api.Version) []byte {
	b = append(strconv.AppendUint(b, v.Epoch, 10), '.')
	return strconv.AppendUint(b, v.Index, 10)
}

// plainText tells whether s stands in a header as it is.
func plainText(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// writeHead writes b, the answer of net/http, with the head and the value in it.
func (c *conn) writeHead(b []byte) (int, error) {
	others, end, ok := bytes.Cut(b[len(answerHead)-len("\r\n"):], noLength)
	if !ok || !bytes.HasSuffix(end, []byte("\r\n")) {
		return 0, errUntold
	}
	buffer := headBuffers.Get().(*[]byte)
	defer headBuffers.Put(buffer)
	whole := append(append((*buffer)[:0], answerHead...), c.head...)
	whole = append(append(whole, others...), lengthHead...)
	whole = append(strconv.AppendInt(whole, int64(len(c.value)), 10), "\r\n"...)
	whole = append(append(whole, end...), c.value...)
	*buffer = whole
	c.head, c.value = c.head[:0], nil
	if _, err := c.Conn.Write(whole); err != nil {
		return 0, err
	}
	return len(b), nil
}

var headBuffers = sync.Pool{New: func() any { return new([]byte) }}

// hasHead tells whether b is the answer for which there is a head.
func (c *conn) hasHead(b []byte) bool {
	return len(c.head) != 0 && bytes.HasPrefix(b, answerHead)
}
