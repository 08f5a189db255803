package httpd

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"

	"github.com/edgehold/edgehold/api"
)

// requestID reads Idempotency-Key.
func requestID(h http.Header) (api.RequestID, error) {
	switch lines := h["Idempotency-Key"]; len(lines) {
	case 0:
		return api.RequestID{}, nil
	case 1:
		return api.ParseIdempotencyKey(lines[0])
	}
	return api.RequestID{}, api.Errorf(api.CodeInvalid, "Idempotency-Key is given more than once")
}

// writeID is the id of a request that may write; none if it has none, or one that is refused.
func writeID(r *http.Request) api.RequestID {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return api.RequestID{}
	}
	id, err := requestID(r.Header)
	if err != nil {
		return api.RequestID{}
	}
	return id
}

// alternativeID is the id of the i-th alternative of a request: each has its own record, so that a repetition of the
// request finds the one that took effect.
func alternativeID(id api.RequestID, i int) api.RequestID {
	if id.IsZero() || i == 0 {
		return id
	}
	b := append([]byte("alternative"), id.Client[:]...)
	b = binary.BigEndian.AppendUint64(b, id.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(i))
	sum := sha256.Sum256(b)
	return api.RequestID{Client: api.ClientID(sum[:16])}
}
