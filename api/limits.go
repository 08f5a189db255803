package api

import "time"

// Limits that callers meet. One over gets [CodeTooLarge] naming the limit and the size; nothing is applied.
const (
	MaxKeyBytes   = 4096
	MaxValueBytes = 1 << 20
	MaxTxnOps     = 1000
	MaxTxnBytes   = 8 << 20
	// MaxTxnWorkBytes bounds what the steps of a transaction read by gets and make by functions, all together.
	MaxTxnWorkBytes = 8 << 20
	// MaxTxnBodyBytes bounds a transaction in JSON: its bytes at their longest, each written as \u00XX, and room for the rest.
	MaxTxnBodyBytes = 6*MaxTxnBytes + 1<<20
	MaxListLimit    = 1000
	// DefaultListLimit entries come where a list names no limit.
	DefaultListLimit = 100
	MaxListBytes     = 8 << 20
	// MaxReadKeys bounds the keys of one ReadRequest.
	MaxReadKeys = 1000
	// MaxReadBytes bounds the values that one group returns to a read.
	MaxReadBytes = 16 << 20
	// MaxIdempotencyKeyBytes bounds an opaque Idempotency-Key.
	MaxIdempotencyKeyBytes = 255
)

// DefaultTimeout bounds a request that names no timeout; MaxTimeout bounds what it may name.
const (
	DefaultTimeout = 10 * time.Second
	MaxTimeout     = 10 * time.Minute
)

// CheckKey tells whether k may be a key.
func CheckKey(k Key) error {
	switch n := len(k); {
	case n == 0:
		return &Error{Code: CodeInvalid, Hint: "the key is empty; a key has 1 to 4096 bytes"}
	case n > MaxKeyBytes:
		return Errorf(CodeTooLarge, "key of %d bytes is over the limit of %d bytes", n, MaxKeyBytes)
	}
	return nil
}

// CheckValue tells whether v may be a value.
func CheckValue(v []byte) error {
	if n := len(v); n > MaxValueBytes {
		return Errorf(CodeTooLarge, "value of %d bytes is over the limit of %d bytes", n, MaxValueBytes)
	}
	return nil
}
