// Package top shows what a cluster does as a table on a terminal: nodes, groups, rates, and what took how long.
package top

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/edgehold/edgehold/api"
)

// Event is what GET /v1/cluster/live says at one moment.
type Event struct {
	api.Status
	Live *api.Live `json:"live"`
}

// maxEvent bounds an event, in bytes.
const maxEvent = 16 << 20

// Reader reads the events of an answer of GET /v1/cluster/live. It belongs to one goroutine.
type Reader struct{ lines *bufio.Scanner }

// NewReader returns a Reader of the body of an answer.
func NewReader(body io.Reader) *Reader {
	s := bufio.NewScanner(body)
	s.Buffer(make([]byte, 0, 64<<10), maxEvent)
	return &Reader{s}
}

// Next returns the next event, and the JSON that it was, which is valid until the next call. The error is that with which the node has
// ended the stream, or io.EOF.
func (r *Reader) Next() (*Event, []byte, error) {
	name := ""
	for r.lines.Scan() {
		line := r.lines.Bytes()
		if len(line) == 0 {
			name = ""
			continue
		}
		if n, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			name = string(n)
			continue
		}
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		switch {
		case !ok:
		case name == "end":
			return nil, nil, Refusal(data)
		case name == "live":
			e := new(Event)
			if err := json.Unmarshal(data, e); err != nil {
				return nil, nil, fmt.Errorf("the node sends what is not understood: %w", err)
			}
			if e.Live == nil {
				e.Live = new(api.Live)
			}
			return e, data, nil
		}
	}
	if err := r.lines.Err(); err != nil {
		return nil, nil, err
	}
	return nil, nil, io.EOF
}

// Refusal is the error that a problem (RFC 9457) of a node says.
func Refusal(problem []byte) error {
	var p struct {
		Code   api.Code `json:"code"`
		Detail string   `json:"detail"`
	}
	if err := json.Unmarshal(problem, &p); err != nil || p.Code == "" {
		return api.Errorf(api.CodeInternal, "the answer is none of a node")
	}
	return &api.Error{Code: p.Code, Op: "top", Hint: p.Detail}
}
