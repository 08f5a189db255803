package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// IdempotencyKey returns the text of a numbered id: eh1-CLIENT-SEQ-ACKEDBELOW, with CLIENT as 32 lower-case hexadecimal digits.
func (r RequestID) IdempotencyKey() string {
	return fmt.Sprintf("eh1-%s-%d-%d", r.Client, r.Seq, r.AckedBelow)
}

// ParseIdempotencyKey returns the id for the text of an Idempotency-Key. A text in the form of [RequestID.IdempotencyKey] is a
// numbered id: its client numbers its writes from 1, so its record may be dropped soon. Any other text is opaque, and its record
// is kept for a day. ParseIdempotencyKey returns CodeInvalid if the text is empty or [RequestID.Check] refuses the id, and
// CodeTooLarge if the text is over [MaxIdempotencyKeyBytes].
func ParseIdempotencyKey(text string) (RequestID, error) {
	switch {
	case text == "":
		return RequestID{}, Errorf(CodeInvalid, "the Idempotency-Key is empty; it has 1 to %d bytes", MaxIdempotencyKeyBytes)
	case len(text) > MaxIdempotencyKeyBytes:
		return RequestID{}, Errorf(CodeTooLarge, "Idempotency-Key of %d bytes is over the limit of %d bytes", len(text), MaxIdempotencyKeyBytes)
	}
	if id, ok := numberedID(text); ok {
		return id, id.Check()
	}
	sum := sha256.Sum256([]byte(text))
	return RequestID{Client: ClientID(sum[:16])}, nil
}

func numberedID(text string) (id RequestID, ok bool) {
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
	id = RequestID{Client: ClientID(client), Seq: seq, AckedBelow: below}
	return id, ok1 && ok2 && seq > 0 && !id.IsZero()
}

// parseNumber parses a decimal number without leading zeros.
func parseNumber(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == s
}
