package client

import (
	"strings"

	"github.com/edgehold/edgehold/api"
)

const keyPath = "/v1/kv/"

// escapeKey renders a key as part of a path. Unreserved characters and single slashes stay as they are; every other byte becomes
// %XX. Dots that form a whole segment and slashes that form an empty segment are escaped too, so that a proxy does not normalize
// them.
func escapeKey(k api.Key) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(k) + 16)
	escape := func(c byte) { b.Write([]byte{'%', hex[c>>4], hex[c&15]}) }
	start := 0 // of the current segment
	for i := range len(k) {
		switch c := k[i]; {
		case c == '/':
			if i == start {
				escape(c)
			} else {
				b.WriteByte(c)
			}
			start = i + 1
		case c == '.' && dotSegment(string(k), start):
			escape(c)
		case unreserved(c):
			b.WriteByte(c)
		default:
			escape(c)
		}
	}
	return b.String()
}

// dotSegment reports whether the segment of k that begins at start is "." or "..".
func dotSegment(k string, start int) bool {
	s, _, _ := strings.Cut(k[start:], "/")
	return s == "." || s == ".."
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~'
}
