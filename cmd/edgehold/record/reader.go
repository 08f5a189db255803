package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// reader reads JSON that is valid UTF-8. Strings without escapes, which are most, take a quarter of the time that encoding/json
// takes; it leaves strings with escapes to encoding/json.
type reader struct{ rest []byte }

// next returns the next byte that is not white space, or 0 at the end.
func (r *reader) next() byte {
	for ; len(r.rest) > 0; r.rest = r.rest[1:] {
		switch c := r.rest[0]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take reads c if it is the next byte.
func (r *reader) take(c byte) bool {
	if r.next() != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// text reads a string. The error is a predicate of it, such as "must be a string".
func (r *reader) text() (string, error) {
	if r.next() != '"' {
		return "", errors.New("must be a string")
	}
	escapes := false
	for i := 1; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == '"':
			quoted := r.rest[:i+1]
			r.rest = r.rest[i+1:]
			if escapes {
				return unescape(quoted)
			}
			return string(quoted[1:i]), nil
		case c == '\\':
			escapes = true
			i++
		case c < ' ':
			return "", fmt.Errorf("must have the byte %#02x escaped", c)
		}
	}
	return "", errors.New("has no end")
}

// unescape returns the text of a quoted string with escapes.
func unescape(quoted []byte) (text string, err error) {
	if loneSurrogate(quoted) {
		return "", errors.New("has an unpaired surrogate (\\uD800 to \\uDFFF), which is not a character; use key_base64 or value_base64")
	}
	if err := json.Unmarshal(quoted, &text); err != nil {
		return "", fmt.Errorf("is bad JSON: %w", err)
	}
	return text, nil
}

// loneSurrogate reports whether an escape is half of a surrogate pair, which encoding/json silently replaces with U+FFFD.
func loneSurrogate(b []byte) bool {
	for len(b) > 1 {
		switch c := codeUnit(b); {
		case b[0] != '\\':
			b = b[1:]
		case c < 0:
			b = b[2:]
		case !utf16.IsSurrogate(c):
			b = b[6:]
		case utf16.DecodeRune(c, codeUnit(b[6:])) == utf8.RuneError:
			return true
		default:
			b = b[12:]
		}
	}
	return false
}

// codeUnit returns the number in the \uXXXX at the beginning of b, or -1 if there is none.
func codeUnit(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}
