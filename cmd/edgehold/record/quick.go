package record

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

// quickFields reads an object of known fields without spaces and escapes, as most lines are, at an eighth of the cost. It
// says nothing about others, however valid: then ok is false. The line is valid UTF-8.
func quickFields(line []byte) (fields map[string]string, ok bool) {
	rest := string(line)
	fields = make(map[string]string, 3)
	for open := byte('{'); ; open = ',' {
		name, after, ok := quickString(rest, open)
		if !ok || !isField(name) {
			return nil, false
		}
		value, after, ok := quickString(after, ':')
		if !ok || after == "" {
			return nil, false
		}
		if _, twice := fields[name]; twice {
			return nil, false
		}
		fields[name] = value
		if after == "}" {
			return fields, true
		}
		rest = after
	}
}

// quickString reads the byte and a string of which every byte stands for itself.
func quickString(s string, open byte) (text, rest string, ok bool) {
	if len(s) < 3 || s[0] != open || s[1] != '"' {
		return "", "", false
	}
	end := strings.IndexByte(s[2:], '"')
	if end < 0 {
		return "", "", false
	}
	text = s[2 : 2+end]
	for i := range len(text) {
		if text[i] < ' ' || text[i] == '\\' {
			return "", "", false
		}
	}
	return text, s[3+end:], true
}

// isField tells whether a record may have a field of the name.
func isField(name string) bool {
	switch name {
	case "key", "key_base64", "value", "value_base64", "version":
		return true
	}
	return false
}

// Append appends the line of an entry: what encoding/json makes of its record without escaping HTML, byte for byte.
func Append(b []byte, e api.Entry) []byte {
	b = appendBytes(append(b, '{'), "key", []byte(e.Key))
	b = appendBytes(append(b, ','), "value", e.Value)
	b = append(b, `,"version":"`...)
	b = append(b, e.Version.String()...)
	return append(b, "\"}\n"...)
}

// appendBytes appends a field: as text what is valid UTF-8, the rest in base64.
func appendBytes(b []byte, name string, value []byte) []byte {
	b = append(append(b, '"'), name...)
	switch {
	case isPlain(value):
		b = append(append(b, `":"`...), value...)
		return append(b, '"')
	case !utf8.Valid(value):
		b = base64.StdEncoding.AppendEncode(append(b, `_base64":"`...), value)
		return append(b, '"')
	}
	var text bytes.Buffer
	j := json.NewEncoder(&text)
	j.SetEscapeHTML(false)
	_ = j.Encode(string(value)) // a string always has a form
	return append(append(b, `":`...), bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}

// isPlain tells whether each byte stands for itself in a JSON string.
func isPlain(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
