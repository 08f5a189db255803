package resp

// matches reports whether s matches a pattern of Redis: * is any bytes, ? one byte, [abc], [^abc] and [a-z] one of a set, and \ takes
// the meaning from the byte after it. The time that it takes is bounded by the product of both lengths.
func matches(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0 // the place behind the last *, and what it has swallowed
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			star, mark = p, i
			continue
		}
		if p < len(pattern) {
			if n, ok := matchOne(pattern[p:], s[i]); ok {
				p += n
				i++
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches one byte by the beginning of a pattern, which is not a *, and returns how long that beginning is.
func matchOne(pattern string, c byte) (n int, ok bool) {
	switch {
	case pattern[0] == '?':
		return 1, true
	case pattern[0] == '[':
		return matchSet(pattern, c)
	case pattern[0] == '\\' && len(pattern) > 1:
		return 2, pattern[1] == c
	}
	return 1, pattern[0] == c
}

// matchSet matches one byte by a set. One that does not end goes to the end of the pattern.
func matchSet(pattern string, c byte) (n int, ok bool) {
	i, not, found := 1, false, false
	if i < len(pattern) && pattern[i] == '^' {
		i, not = i+1, true
	}
	for ; i < len(pattern) && pattern[i] != ']'; i++ {
		switch {
		case pattern[i] == '\\' && i+1 < len(pattern):
			i++
			found = found || pattern[i] == c
		case i+2 < len(pattern) && pattern[i+1] == '-':
			from, to := min(pattern[i], pattern[i+2]), max(pattern[i], pattern[i+2])
			found = found || from <= c && c <= to
			i += 2
		default:
			found = found || pattern[i] == c
		}
	}
	return min(i+1, len(pattern)), found != not
}

// literal returns the beginning of all that matches the pattern, and whether that is the whole of it.
func literal(pattern string) (prefix string, whole bool) {
	var b []byte
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '*', '?', '[':
			return string(b), false
		case '\\':
			if i+1 < len(pattern) {
				i++
			}
		}
		b = append(b, pattern[i])
	}
	return string(b), true
}
