package api

import "time"

// Limits of requests. A request over a limit is refused with [CodeTooLarge], which names the limit and the size. Nothing of it is
// applied.
const (
	MaxKeyBytes   = 4096
	MaxValueBytes = 1 << 20
	MaxTxnOps     = 2500
	MaxTxnBytes   = 8 << 20
	// MaxTxnWorkBytes bounds the bytes that the gets of a transaction read, that its functions produce, that the keys have which it
	// touches, and that its lists pass: keys with their values. It is a total.
	MaxTxnWorkBytes = 8 << 20
	// MaxTxnBodyBytes bounds a transaction in JSON. It allows for every byte written as \u00XX, and for the rest of the body.
	MaxTxnBodyBytes = 6*MaxTxnBytes + 1<<20
	MaxListLimit    = 1000
	// DefaultListLimit is how many entries a page of a list has at most if the request sets no limit.
	DefaultListLimit = 100
	MaxListBytes     = 8 << 20
	// MaxListParts bounds the further lists of one ListRequest.
	MaxListParts = 32
	// MaxReadKeys bounds the keys of one ReadRequest.
	MaxReadKeys = 1000
	// MaxReadBytes bounds the values that one group returns for one read.
	MaxReadBytes = 16 << 20
	// MaxIdempotencyKeyBytes bounds an opaque Idempotency-Key.
	MaxIdempotencyKeyBytes = 255
	// MaxCursorBytes bounds a [Cursor]. A range that needs a longer one cannot be watched.
	MaxCursorBytes = 4 << 10
)

// DefaultTimeout bounds a request that sets no timeout. MaxTimeout is the longest timeout that a request may set.
const (
	DefaultTimeout = 10 * time.Second
	MaxTimeout     = 10 * time.Minute
)

// CheckKey returns nil if k is a valid key, CodeInvalid if it is empty, and CodeTooLarge if it is over [MaxKeyBytes].
func CheckKey(k Key) error {
	switch n := len(k); {
	case n == 0:
		return &Error{Code: CodeInvalid, Hint: "the key is empty; a key has 1 to 4096 bytes"}
	case n > MaxKeyBytes:
		return Errorf(CodeTooLarge, "key of %d bytes is over the limit of %d bytes", n, MaxKeyBytes)
	}
	return nil
}

// CheckTTL returns nil if d is a time to live, from [MinTTL] to [MaxTTL], and CodeInvalid if it is not.
func CheckTTL(d time.Duration) error {
	if d < MinTTL || d > MaxTTL {
		return Errorf(CodeInvalid, "ttl %v is not from %v to %d years", d, MinTTL, int(MaxTTL/(365*24*time.Hour)))
	}
	return nil
}

// CheckValue returns nil if v is a valid value, and CodeTooLarge if it is over [MaxValueBytes].
func CheckValue(v []byte) error {
	if n := len(v); n > MaxValueBytes {
		return Errorf(CodeTooLarge, "value of %d bytes is over the limit of %d bytes", n, MaxValueBytes)
	}
	return nil
}
