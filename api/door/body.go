package door

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

// readBy bounds the reading of the body. A connection without deadlines is not bounded.
func (x *Exchange) readBy(t time.Time) { _ = http.NewResponseController(x.W).SetReadDeadline(t) }

// Body reads the request's body, within the limit of bytes and the request's time. what is what errors call it. The bytes are the
// caller's. CodeTooLarge if it is over the limit, CodeUnavailable if it does not arrive in time or there is no memory for it now,
// CodeInvalid if it ends early, is encoded or is a part.
func (x *Exchange) Body(limit int64, what string) ([]byte, error) {
	if err := x.plainBody(); err != nil {
		return nil, err
	}
	size := x.R.ContentLength
	if size > limit {
		return nil, api.Errorf(api.CodeTooLarge, "%s of %d bytes is over the limit of %d bytes", what, size, limit)
	}
	if size == 0 {
		return []byte{}, nil
	}
	if err := x.reserve(size, limit); err != nil {
		return nil, err
	}
	if until, ok := x.Ctx.Deadline(); ok {
		x.readBy(until)
	}
	b, err := readBody(x.R.Body, size, limit)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) || err != nil && errors.Is(x.Ctx.Err(), context.DeadlineExceeded):
		return nil, api.Errorf(api.CodeUnavailable, "the body did not arrive in time: %d bytes did", len(b))
	case err != nil: // also if the client is gone, which ends the request's context
		return nil, api.Errorf(api.CodeInvalid, "the body ended early or is malformed: %d bytes arrived", len(b))
	case int64(len(b)) > limit:
		return nil, api.Errorf(api.CodeTooLarge, "%s of at least %d bytes is over the limit of %d bytes", what, len(b), limit)
	}
	x.taken = true
	x.readBy(time.Time{}) // else the deadline would end the request's context
	return b, nil
}

// plainBody refuses a body that its header says is not to be taken as it stands: its meaning would be lost.
func (x *Exchange) plainBody() error {
	for _, line := range x.R.Header["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = strings.Trim(coding, " \t"); coding != "" && !strings.EqualFold(coding, "identity") {
				x.W.Header()["Accept-Encoding"] = []string{"identity"}
				return WithStatus(http.StatusUnsupportedMediaType, api.Errorf(api.CodeInvalid,
					"a Content-Encoding (%.40q) is not kept with the value: send the body without it, or leave the header out to store the bytes as they are",
					coding))
			}
		}
	}
	if len(x.R.Header["Content-Range"]) > 0 {
		return api.Errorf(api.CodeInvalid, "a part of a body cannot be written: send it whole, without Content-Range")
	}
	return nil
}

// reserve takes the memory that a body of the size (-1: unknown) needs.
func (x *Exchange) reserve(size, limit int64) error {
	if size < 0 {
		size = limit
	}
	if refusal := x.place.Take(size); refusal != nil {
		return x.TurnAway(refusal)
	}
	return nil
}

// readBody reads size bytes, or up to one over the limit if the size is unknown.
func readBody(r io.Reader, size, limit int64) ([]byte, error) {
	if size < 0 {
		return io.ReadAll(io.LimitReader(r, limit+1))
	}
	b := make([]byte, size)
	n, err := io.ReadFull(r, b)
	return b[:n], err
}
