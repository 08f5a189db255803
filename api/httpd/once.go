package httpd

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// requestID reads Idempotency-Key. The SDK's form, eh1-CLIENT-SEQ-ACKEDBELOW, names a client (32 lower-case hex digits)
// that numbers its writes from 1, so that their records may soon go; any other text is opaque and kept for a day.
func requestID(h http.Header) (api.RequestID, error) {
	lines := h["Idempotency-Key"]
	if len(lines) == 0 {
		return api.RequestID{}, nil
	}
	text := lines[0]
	switch {
	case len(lines) > 1:
		return api.RequestID{}, api.Errorf(api.CodeInvalid, "Idempotency-Key is given more than once")
	case text == "":
		return api.RequestID{}, api.Errorf(api.CodeInvalid, "Idempotency-Key is empty")
	case len(text) > api.MaxIdempotencyKeyBytes:
		return api.RequestID{}, api.Errorf(api.CodeTooLarge, "Idempotency-Key of %d bytes is over the limit of %d bytes",
			len(text), api.MaxIdempotencyKeyBytes)
	}
	if id, ok := numberedID(text); ok {
		return id, nil
	}
	sum := sha256.Sum256([]byte(text))
	return api.RequestID{Client: api.ClientID(sum[:16])}, nil
}

// numberedID reads the SDK's form.
func numberedID(text string) (id api.RequestID, ok bool) {
	part := strings.Split(text, "-")
	if len(part) != 4 || part[0] != "eh1" || len(part[1]) != 32 || part[1] != strings.ToLower(part[1]) {
		return id, false
	}
	client, err := hex.DecodeString(part[1])
	if err != nil {
		return id, false
	}
	seq, ok1 := parseNumber(part[2])
	below, ok2 := parseNumber(part[3])
	id = api.RequestID{Client: api.ClientID(client), Seq: seq, AckedBelow: below}
	return id, ok1 && ok2 && seq > 0 && below <= seq && !id.IsZero()
}

// parseNumber reads a decimal in its one form, without leading zeros.
func parseNumber(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == s
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
