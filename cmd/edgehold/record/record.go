// Package record reads and writes records. A record is a key and a value as one JSON object. Import reads records and export writes
// them, one a line; the kv commands print them.
package record

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

// Record is the JSON form of an entry: key or key_base64, value or value_base64, the version if Edgehold writes it, and what the key
// has to live, as a duration, if it expires.
type Record struct {
	Key         *string `json:"key,omitempty"`
	KeyBase64   []byte  `json:"key_base64,omitempty"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
	Version     string  `json:"version,omitempty"`
	TTL         string  `json:"ttl,omitempty"`
}

// Of returns the record of an entry, without the value if keyOnly is set.
func Of(e api.Entry, keyOnly bool) Record {
	r := Record{Version: e.Version.String()}
	r.Key, r.KeyBase64 = Render([]byte(e.Key))
	if !keyOnly {
		r.Value, r.ValueBase64 = Render(e.Value)
	}
	if e.TTL > 0 { // at least what an import accepts
		r.TTL = max(api.MinTTL, e.TTL.Round(time.Millisecond)).String()
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

// MaxLine is the maximum size of a record in bytes: a key and a value of the maximum sizes, each byte written as \u00XX, and some
// spaces.
const MaxLine = 6*(api.MaxKeyBytes+api.MaxValueBytes) + 4096

// ByteOrderMark is at the beginning of files of some editors. It is not JSON, but RFC 8259, section 8.1, lets parsers skip it.
const ByteOrderMark = "\ufeff"

// Parse reads one line strictly, and returns its key, value and TTL. The line must be an object of known fields, each at most once,
// within the limits of the store. Parse checks the form of the version and ignores it otherwise. The error has no code of package
// api; it says what is wrong.
func Parse(line []byte) (api.Entry, error) {
	e, err := parse(line)
	if err != nil {
		return api.Entry{}, err
	}
	for _, err := range []error{api.CheckKey(e.Key), api.CheckValue(e.Value)} {
		if err != nil {
			return api.Entry{}, errors.New(api.AsError(err).Hint)
		}
	}
	return e, nil
}

func parse(line []byte) (e api.Entry, err error) {
	line = bytes.TrimPrefix(line, []byte(ByteOrderMark))
	if !utf8.Valid(line) {
		return e, errors.New("not valid UTF-8; write binary keys and values as key_base64 and value_base64")
	}
	fields, err := parseFields(line)
	if err != nil {
		return e, err
	}
	k, err := oneOf(fields, "key")
	if err != nil {
		return e, err
	}
	e.Key = api.Key(k)
	if e.Value, err = oneOf(fields, "value"); err != nil {
		return e, err
	}
	if v, ok := fields["version"]; ok {
		if _, err := api.ParseVersion(v); err != nil {
			return e, errors.New(api.AsError(err).Hint)
		}
	}
	if text, ok := fields["ttl"]; ok {
		e.TTL, err = parseTTL(text)
	}
	return e, err
}

// parseTTL reads a time to live: a duration such as 30s, within the limits of the store.
func parseTTL(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("ttl %.40q is not a duration with a unit, such as 30s", text)
	}
	if err := api.CheckTTL(d); err != nil {
		return 0, errors.New(api.AsError(err).Hint)
	}
	return d, nil
}

// parseFields reads an object whose values are all strings.
func parseFields(line []byte) (map[string]string, error) {
	r := reader{line}
	if !r.take('{') {
		return nil, errors.New(`not a JSON object; want {"key":...,"value":...}`)
	}
	fields := make(map[string]string, 3)
	for more := !r.take('}'); more; more = !r.take('}') {
		if len(fields) > 0 && !r.take(',') {
			return nil, errors.New("bad JSON: want a comma or the end of the object after a value")
		}
		name, err := r.text()
		switch {
		case err != nil:
			return nil, fmt.Errorf("bad JSON: a name %w", err)
		case !isField(name):
			return nil, fmt.Errorf("unknown field %q", name)
		case !r.take(':'):
			return nil, fmt.Errorf("bad JSON: want a colon after %q", name)
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("%q is given twice", name)
		}
		if fields[name], err = r.text(); err != nil {
			return nil, fmt.Errorf("%q %w", name, err)
		}
	}
	if r.next(); len(r.rest) > 0 {
		return nil, errors.New("the line continues after the object; write one object a line")
	}
	return fields, nil
}

// isField reports whether name is a field of a record.
func isField(name string) bool {
	switch name {
	case "key", "key_base64", "value", "value_base64", "version", "ttl":
		return true
	}
	return false
}

// oneOf returns the field name, given either as text or in base64.
func oneOf(fields map[string]string, name string) ([]byte, error) {
	text, isText := fields[name]
	coded, isCoded := fields[name+"_base64"]
	switch {
	case isText && isCoded:
		return nil, fmt.Errorf("both %s and %s_base64 are given; want one of them", name, name)
	case isText:
		return []byte(text), nil
	case !isCoded:
		return nil, fmt.Errorf("%s or %s_base64 is missing", name, name)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(coded)
	if err != nil {
		return nil, fmt.Errorf("%s_base64: %w", name, err)
	}
	return b, nil
}
