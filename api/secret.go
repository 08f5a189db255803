package api

import (
	"fmt"
	"io"
)

// Secret is a text that must not be shown, such as a token. Packages fmt, encoding/json and log/slog print "***" for it, so that a
// configuration can be logged; JSON shows it as the key of a map. [Secret.Reveal] returns the text.
type Secret string

// hidden is what is printed instead of a secret.
const hidden = "***"

// Reveal returns the text.
func (s Secret) Reveal() string { return string(s) }

// Format prints "***" for every verb; an empty secret prints as nothing.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String returns "***", or "" if the secret is empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// MarshalText returns what String does.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
