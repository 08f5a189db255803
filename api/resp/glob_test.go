package resp

import (
	"strings"
	"testing"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "abbc", true},
		{"a*c", "abbd", false}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"[abc]", "b", true}, {"[abc]", "d", false}, {"[^abc]", "d", true},
		{"[^abc]", "a", false}, {"[a-c]x", "bx", true}, {"[c-a]x", "bx", true}, {"[a-c]", "d", false}, {`\*`, "*", true}, {`\*`, "a", false},
		{`[\]]`, "]", true}, {"[abc", "a", true}, {`a\`, `a\`, true}, {"**", "a", true}, {"*a*b*", "xaybz", true}, {"*a*b*", "xbya", false},
		{"user:*:name", "user:17:name", true}, {"a**b", "ab", true}, {"\x00*", "\x00\xff", true}, {"[-a]", "-", true}, {"[]", "a", false},
	} {
		if got := matches(c.pattern, c.s); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.s, got)
		}
		if prefix, whole := literal(c.pattern); c.want && (!strings.HasPrefix(c.s, prefix) || whole && c.s != prefix) {
			t.Errorf("%q matches %q, and begins with %q", c.pattern, c.s, prefix)
		}
	}
	if matches(strings.Repeat("*a", 1000)+"b", strings.Repeat("a", 4000)) { // 2^1000 steps if it tried all
		t.Error("it does not end with b")
	}
}

// TestCursors: a cursor is known to all connections; the same position has the same one; the one not used for longest is forgotten.
func TestCursors(t *testing.T) {
	var s cursors
	first := s.put("redis/0/a")
	if again := s.put("redis/0/a"); again != first || first == 0 || first >= 1<<cursorBits {
		t.Errorf("got %d and %d", first, again)
	}
	second := s.put("redis/0/b")
	s.get(first)
	for range maxCursors - 1 {
		s.put(prefixedKey())
	}
	if k, ok := s.get(first); !ok || k != "redis/0/a" {
		t.Errorf("got %q, %v", k, ok)
	}
	if _, ok := s.get(second); ok {
		t.Error("the oldest is remembered")
	}
	for range 2000 {
		s.put(prefixedKey() + "/" + keyOf(4000))
	}
	if s.bytes > maxCursorBytes || len(s.of) != len(s.at) || len(s.of) != s.order.Len() {
		t.Errorf("%d bytes, %d cursors, %d positions, %d in order", s.bytes, len(s.of), len(s.at), s.order.Len())
	}
}
