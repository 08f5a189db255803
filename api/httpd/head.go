package httpd

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// The headers of a value cost net/http more than the lease costs that answers it: each is put in a map, copied, sorted
// and written by itself. Where the answer is a small value over HTTP/1.1 on a connection of [Server], they are rendered
// here as they stand on the wire, and retellingConn puts them behind the status line; net/http writes all else. They are
// the same headers, but a handler around the API's own does not see them, and must leave the status 200 as it is.

// answerHead begins the answers in which a head is put.
var answerHead = []byte("HTTP/1.1 200 OK\r\n")

// commonHead is what commonHeaders sets, as it stands on the wire; nil where the node's name does not go there as it is.
func commonHead(node api.NodeID) []byte {
	if !plainText(string(node)) {
		return nil
	}
	b := []byte("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n")
	if node != "" {
		b = appendHeader(b, "Edgehold-Node", string(node))
	}
	return b
}

// replyHead answers 200 with the entry's value, if it can be done this way.
func (x *exchange) replyHead(e *api.Entry, res *api.ReadResult) bool {
	if x.r.Method != http.MethodGet || x.r.ProtoMajor != 1 || x.r.ProtoMinor != 1 || !x.small(e.Value) ||
		x.head == nil || res.Timing.Route+res.Timing.Revoke+res.Timing.Commit != 0 || res.Timing.Mode != "" || !plainText(string(res.Group)) {
		return false
	}
	c, ok := x.r.Context().Value(connKey{}).(*retellingConn)
	if !ok {
		return false
	}
	b := append(c.head[:0], x.head...)
	b = appendHeader(b, "Edgehold-Served-By", res.ServedBy.String())
	if res.Group != "" {
		b = appendHeader(b, "Edgehold-Owner", string(res.Group))
	}
	b = appendVersion(append(b, "Edgehold-Version: "...), e.Version)
	b = appendVersion(append(b, "\r\nETag: \""...), e.Version)
	c.head = append(b, "\"\r\n"...)
	x.w.Header()["Content-Type"] = octetStream
	x.send(e.Value)
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

// writeHead writes b, the beginning of an answer, with the head in it.
func (c *retellingConn) writeHead(b []byte) (int, error) {
	whole := headBuffers.Get().(*[]byte)
	defer headBuffers.Put(whole)
	*whole = append(append(append((*whole)[:0], answerHead...), c.head...), b[len(answerHead):]...)
	c.head = c.head[:0]
	if _, err := c.Conn.Write(*whole); err != nil {
		return 0, err
	}
	return len(b), nil
}

var headBuffers = sync.Pool{New: func() any { return new([]byte) }}

// hasHead tells whether b begins the answer for which there is a head.
func (c *retellingConn) hasHead(b []byte) bool {
	return len(c.head) != 0 && bytes.HasPrefix(b, answerHead)
}
