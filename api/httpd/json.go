package httpd

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

// jsonReader reads JSON (RFC 8259) of known shape from memory, strictly: a member that is unknown or stands twice, text that is
// not UTF-8 and half a surrogate pair are faults. The first fault stays, and names the place; what is read after it is zero.
type jsonReader struct {
	b     []byte
	at    int
	place string // what is being read, as then[2].put; "" is the whole
	err   error
}

// byteOrderMark begins the files of some editors. It is not JSON, but RFC 8259, section 8.1, lets parsers skip it.
const byteOrderMark = "\ufeff"

// skipMark skips the mark at the beginning.
func (r *jsonReader) skipMark() {
	if bytes.HasPrefix(r.b, []byte(byteOrderMark)) {
		r.at = len(byteOrderMark)
	}
}

// fail notes what is wrong at the place.
func (r *jsonReader) fail(format string, args ...any) {
	r.refuse(api.Errorf(api.CodeInvalid, format, args...))
}

// refuse notes an error, as one of the place. nil is none.
func (r *jsonReader) refuse(err error) {
	if err == nil || r.err != nil {
		return
	}
	e := *api.AsError(err)
	if r.place != "" {
		e.Hint = r.place + ": " + e.Hint
	}
	r.err = &e
}

// malformed notes that something else should stand here.
func (r *jsonReader) malformed(want string) {
	r.fail("the body is not the JSON that belongs here: %s should stand at byte %d", want, r.at)
}

// peek is the next byte that is not white space; 0 at the end and after a fault.
func (r *jsonReader) peek() byte {
	for r.err == nil && r.at < len(r.b) {
		switch c := r.b[r.at]; c {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return c
		}
	}
	return 0
}

// take reads the byte c.
func (r *jsonReader) take(c byte, want string) bool {
	if r.peek() != c {
		r.malformed(want)
		return false
	}
	r.at++
	return true
}

// object reads an object; member reads the value of each of its members.
func (r *jsonReader) object(member func(name string)) {
	if !r.take('{', "an object") || r.closed('}') {
		return
	}
	var seen []string
	for r.err == nil {
		name := string(r.text())
		if slices.Contains(seen, name) {
			r.fail("%q stands twice", name)
		}
		if r.take(':', "a colon"); r.err == nil {
			seen = append(seen, name)
			member(name)
		}
		if !r.more('}') {
			return
		}
	}
}

// unknown notes a member that does not belong here.
func (r *jsonReader) unknown(name string) { r.fail("%.40q is no member that belongs here", name) }

// array reads an array; element reads each of its elements.
func (r *jsonReader) array(element func(i int)) {
	if !r.take('[', "an array") || r.closed(']') {
		return
	}
	for i := 0; r.err == nil; i++ {
		element(i)
		if !r.more(']') {
			return
		}
	}
}

// closed reads the end of what has nothing in it.
func (r *jsonReader) closed(end byte) bool {
	if r.peek() == end {
		r.at++
		return true
	}
	return false
}

// more reads what follows an element or a member; false if nothing does.
func (r *jsonReader) more(end byte) bool {
	switch r.peek() {
	case ',':
		r.at++
		return true
	case end:
		r.at++
		return false
	}
	r.malformed("a comma or " + string(end))
	return false
}

// end wants nothing but white space to be left.
func (r *jsonReader) end() {
	if r.peek(); r.err == nil && r.at < len(r.b) {
		r.fail("the body goes on after its JSON, at byte %d", r.at)
	}
}

// boolean reads true or false.
func (r *jsonReader) boolean() bool {
	r.peek()
	for _, word := range [2]string{"true", "false"} {
		if r.err == nil && len(r.b)-r.at >= len(word) && string(r.b[r.at:r.at+len(word)]) == word {
			r.at += len(word)
			return word == "true"
		}
	}
	r.malformed("true or false")
	return false
}

// integer reads a decimal integer, as a number or as text: many a program keeps no number beyond 53 bits.
func (r *jsonReader) integer() string {
	if r.peek() == '"' {
		return string(r.text())
	}
	start := r.at
	for r.at < len(r.b) && (r.b[r.at] == '-' || '0' <= r.b[r.at] && r.b[r.at] <= '9') {
		r.at++
	}
	if r.err != nil || r.at == start {
		r.malformed("an integer, as a number or as text")
		return ""
	}
	if text := string(r.b[start:r.at]); isJSONInteger(text) {
		return text
	}
	r.at = start
	r.malformed("an integer")
	return ""
}

// isJSONInteger reports whether the text is a number as JSON writes it: without leading zeros.
func isJSONInteger(text string) bool {
	if text[0] == '-' {
		text = text[1:]
	}
	for i := range len(text) {
		if text[i] == '-' {
			return false
		}
	}
	return text == "0" || text != "" && text[0] != '0'
}

// base64 reads text that stands for bytes.
func (r *jsonReader) base64() []byte {
	text := r.text()
	if r.err != nil {
		return nil
	}
	n, err := base64.StdEncoding.Strict().Decode(text, text)
	if err != nil {
		r.fail("what is named _base64 is not base64 with padding, as in AQI=")
		return nil
	}
	return text[:n:n]
}

// text reads a string, into memory of its own.
func (r *jsonReader) text() []byte {
	if !r.take('"', "a string") {
		return nil
	}
	start := r.at
	for r.at < len(r.b) && r.b[r.at] != '"' && r.b[r.at] != '\\' && r.b[r.at] >= ' ' {
		r.at++
	}
	out := append([]byte{}, r.b[start:r.at]...)
	for r.err == nil {
		switch {
		case r.at == len(r.b):
			r.malformed("the end of a string")
		case r.b[r.at] == '"':
			r.at++
			if !utf8.Valid(out) {
				r.fail("a string is not UTF-8; bytes go into key_base64 or value_base64")
			}
			return out
		case r.b[r.at] == '\\':
			out = r.escape(out)
		case r.b[r.at] < ' ':
			r.malformed("an escape such as \\n")
		default:
			out = append(out, r.b[r.at])
			r.at++
		}
	}
	return nil
}

// escape appends what the escape at hand stands for.
func (r *jsonReader) escape(out []byte) []byte {
	if r.at+1 < len(r.b) {
		if plain := unescaped(r.b[r.at+1]); plain != 0 {
			r.at += 2
			return append(out, plain)
		}
	}
	c, ok := r.unit()
	if !ok {
		r.malformed("an escape such as \\n or \\u00e9")
	}
	if utf16.IsSurrogate(c) {
		low, _ := r.unit()
		if c = utf16.DecodeRune(c, low); c == utf8.RuneError {
			r.fail("half a surrogate pair (\\uD800 to \\uDFFF) stands for no character; bytes go into key_base64 or value_base64")
		}
	}
	return utf8.AppendRune(out, c)
}

// unescaped is what a backslash and c stand for; 0 if that is no escape of two bytes.
func unescaped(c byte) byte {
	switch c {
	case '"', '\\', '/':
		return c
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return 0
}

// unit reads \uXXXX, if that is at hand.
func (r *jsonReader) unit() (rune, bool) {
	if len(r.b)-r.at < 6 || r.b[r.at] != '\\' || r.b[r.at+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(r.b[r.at+2:r.at+6]), 16, 16)
	if err != nil {
		return 0, false
	}
	r.at += 6
	return rune(n), true
}
