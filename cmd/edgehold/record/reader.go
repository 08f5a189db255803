package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// reader reads JSON of valid UTF-8 from its beginning on. It is several times as quick as encoding/json for strings without
// escapes, which nearly all are, and leaves those with escapes to it.
type reader struct{ rest []byte }

// next returns the next byte that is not white space, 0 at the end.
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

// take reads c, if that comes next.
func (r *reader) take(c byte) bool {
	if r.next() != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// text reads a string. The error says what is wrong with it, as in "must be a string".
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

// unescape returns what a quoted string with escapes stands for.
func unescape(quoted []byte) (text string, err error) {
	if loneSurrogate(quoted) {
		return "", errors.New("has an unpaired surrogate (\\uD800 to \\uDFFF), which stands for no character; use key_base64 or value_base64")
	}
	if err := json.Unmarshal(quoted, &text); err != nil {
		return "", fmt.Errorf("is bad JSON: %w", err)
	}
	return text, nil
}

// loneSurrogate reports whether an escape stands for half a surrogate pair. encoding/json puts U+FFFD in its place silently.
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

// codeUnit returns the number in the \uXXXX that b begins with, else -1.
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
