// Package record reads and writes records: a key and a value as one JSON object. Import reads them and export writes them, one
// a line, and the commands of kv print them.
package record

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

// Record is the JSON of an entry: key or key_base64, value or value_base64, and in what Edgehold writes also the version.
type Record struct {
	Key         *string `json:"key,omitempty"`
	KeyBase64   []byte  `json:"key_base64,omitempty"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
	Version     string  `json:"version,omitempty"`
}

// Of returns the record of an entry, without its value if keyOnly.
func Of(e api.Entry, keyOnly bool) Record {
	r := Record{Version: e.Version.String()}
	r.Key, r.KeyBase64 = Render([]byte(e.Key))
	if !keyOnly {
		r.Value, r.ValueBase64 = Render(e.Value)
	}
	return r
}

// Render returns b as text if it is valid UTF-8, else as bytes, which JSON encodes in base64. The other result is nil.
func Render(b []byte) (text *string, bin []byte) {
	if !utf8.Valid(b) {
		return nil, b
	}
	s := string(b)
	return &s, nil
}

// MaxLine bounds the bytes of a record: a key and a value at their limits, each byte written as \u00XX, and some spaces.
const MaxLine = 6*(api.MaxKeyBytes+api.MaxValueBytes) + 4096

// ByteOrderMark begins the files of some editors. It is not JSON, but RFC 8259, section 8.1, lets parsers skip it.
const ByteOrderMark = "\ufeff"

// Parse reads one line strictly: an object of known fields, each once, within the limits of the store. It checks the form
// of the version and otherwise ignores it. The error has no code of package api; it says what is wrong with the line.
func Parse(line []byte) (key api.Key, value []byte, err error) {
	line = bytes.TrimPrefix(line, []byte(ByteOrderMark))
	if !utf8.Valid(line) {
		return "", nil, errors.New("not valid UTF-8; write binary keys and values as key_base64 and value_base64")
	}
	if loneSurrogate(line) {
		return "", nil, errors.New("an unpaired surrogate (\\uD800 to \\uDFFF) stands for no character; use key_base64 or value_base64")
	}
	fields, ok := quickFields(line)
	if !ok {
		if fields, err = parseFields(line); err != nil {
			return "", nil, err
		}
	}
	k, err := oneOf(fields, "key")
	if err != nil {
		return "", nil, err
	}
	if value, err = oneOf(fields, "value"); err != nil {
		return "", nil, err
	}
	if v, ok := fields["version"]; ok {
		if _, err := api.ParseVersion(v); err != nil {
			return "", nil, errors.New(api.AsError(err).Hint)
		}
	}
	key = api.Key(k)
	for _, err := range []error{api.CheckKey(key), api.CheckValue(value)} {
		if err != nil {
			return "", nil, errors.New(api.AsError(err).Hint)
		}
	}
	return key, value, nil
}

// parseFields reads an object whose values are all strings.
func parseFields(line []byte) (map[string]string, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New(`not a JSON object; want {"key":...,"value":...}`)
	}
	fields := make(map[string]string, 3)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("bad JSON: %w", err)
		}
		name, _ := t.(string)
		if !isField(name) {
			return nil, fmt.Errorf("unknown field %q", name)
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("%q stands twice", name)
		}
		if t, err = d.Token(); err != nil {
			return nil, fmt.Errorf("bad JSON: %w", err)
		}
		text, ok := t.(string)
		if !ok {
			return nil, fmt.Errorf("%q must be a string", name)
		}
		fields[name] = text
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("bad JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object; write one object a line")
	}
	return fields, nil
}

// oneOf is the field or its base64 form, exactly one of which must be there.
func oneOf(fields map[string]string, name string) ([]byte, error) {
	text, isText := fields[name]
	coded, isCoded := fields[name+"_base64"]
	switch {
	case isText && isCoded:
		return nil, fmt.Errorf("both %s and %s_base64 are there; want one of them", name, name)
	case isText:
		return []byte(text), nil
	case !isCoded:
		return nil, fmt.Errorf("neither %s nor %s_base64 is there", name, name)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(coded)
	if err != nil {
		return nil, fmt.Errorf("%s_base64: %w", name, err)
	}
	return b, nil
}

// loneSurrogate tells whether an escape in the JSON text stands for half a surrogate pair: encoding/json would put
// U+FFFD in its place without a word.
func loneSurrogate(line []byte) bool {
	for i := bytes.IndexByte(line, '\\'); i >= 0 && i+1 < len(line); {
		switch u := escapedRune(line[i:]); {
		case u >= 0xDC00 && u <= 0xDFFF:
			return true
		case u >= 0xD800 && u < 0xDC00:
			if low := escapedRune(line[i+6:]); low < 0xDC00 || low > 0xDFFF {
				return true
			}
			i += 12
		default:
			i += 2
		}
		next := bytes.IndexByte(line[i:], '\\')
		if next < 0 {
			break
		}
		i += next
	}
	return false
}

// escapedRune is the number in the \uXXXX that b begins with, else -1.
func escapedRune(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}
