package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

func TestParse(t *testing.T) {
	long := strings.Repeat("k", api.MaxKeyBytes+1)
	for _, c := range []struct {
		line, key, value string
		says             string // of the error, where there is one
	}{
		{`{"key":"a","value":"b"}`, "a", "b", ""},
		{`  { "value" : "" , "key" : "a" }  `, "a", "", ""},
		{`{"key_base64":"/wA=","value_base64":"AAH/"}`, "\xff\x00", "\x00\x01\xff", ""},
		{`{"key":"a","value":"b","version":"1.42"}`, "a", "b", ""},
		{`{"ttl":"1000ms","key":"a","value":"b","version":"1.42"}`, "a", "b", ""},
		{`{"key":"\u00e9\ud83d\ude00","value":"\\ud800"}`, "é😀", `\ud800`, ""},
		{"\ufeff" + `{"key":"a","value":"` + "\ufeff" + `b"}`, "a", "\ufeffb", ""},
		{"\ufeff \ufeff" + `{"key":"a","value":"b"}`, "", "", "not a JSON object"},
		{`{"key":"a","value":"\ufffd"}`, "a", "\uFFFD", ""},

		{``, "", "", "not a JSON object"},
		{`[1]`, "", "", "not a JSON object"},
		{`{"key":"a"`, "", "", "bad JSON"},
		{`{"key":"a","value":"b"} x`, "", "", "continues after the object"},
		{`{"key":"a","value":"b"}{}`, "", "", "continues after the object"},
		{`{"key":"a","value":"b","ttl":1}`, "", "", `"ttl" must be a string`},
		{`{"key":"a","value":"b","ttl":"1"}`, "", "", `ttl "1" is not a duration with a unit`},
		{`{"key":"a","value":"b","ttl":"-1s"}`, "", "", "ttl -1s is not from 100ms to 10 years"},
		{`{"key":"a","value":"b","ttl":""}`, "", "", `ttl "" is not a duration`},
		{`{"Key":"a","value":"b"}`, "", "", `unknown field "Key"`},
		{`{"key":"a","key":"a","value":"b"}`, "", "", "given twice"},
		{`{"key":1,"value":"b"}`, "", "", `"key" must be a string`},
		{`{"key":"a","value":null}`, "", "", `"value" must be a string`},
		{`{"key":"a","value":{"x":1}}`, "", "", `"value" must be a string`},
		{`{"key":"a"}`, "", "", "value or value_base64 is missing"},
		{`{"value":"a"}`, "", "", "key or key_base64 is missing"},
		{`{"key":"a","key_base64":"YQ==","value":"b"}`, "", "", "both key and key_base64"},
		{`{"key":"a","value_base64":"YQ"}`, "", "", "value_base64: illegal base64"},
		{`{"key":"a","value":"b","version":"new"}`, "", "", "EPOCH.INDEX"},
		{`{"key":"","value":"b"}`, "", "", "the key is empty"},
		{`{"key":"` + long + `","value":"b"}`, "", "", "limit of 4096 bytes"},
		{"{\"key\":\"a\xff\",\"value\":\"b\"}", "", "", "not valid UTF-8"},
		{`{"key":"a","value":"\ud83dx"}`, "", "", "unpaired surrogate"},
		{`{"key":"a","value":"\ude00"}`, "", "", "unpaired surrogate"},
		{`{"key":"a","value":"\ud83d\ud83d"}`, "", "", "unpaired surrogate"},
	} {
		r, err := Parse([]byte(c.line))
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%.60s: got error %v, want %q in it", c.line, err, c.says)
			}
		} else if err != nil || string(r.Key) != c.key || string(r.Value) != c.value || (r.TTL == time.Second) != strings.Contains(c.line, "ttl") {
			t.Errorf("%.60s: got %q, %q, ttl %v, %v", c.line, r.Key, r.Value, r.TTL, err)
		}
	}
}

// FuzzRecord checks that Parse reads what Of makes, and that no line makes it panic.
func FuzzRecord(f *testing.F) {
	f.Add("key", []byte("value"), []byte(`{"key":"a","value":"b"}`))
	f.Add("\xff", []byte("\x00\ud7ff "), []byte(`{"key":"\ud83d\ude00","value":"\\"}`))
	f.Fuzz(func(t *testing.T, key string, value, line []byte) {
		_, _ = Parse(line)
		if key == "" || len(key) > api.MaxKeyBytes || len(value) > api.MaxValueBytes {
			return
		}
		text := encoded(t, Of(api.Entry{Key: api.Key(key), Value: value}, false))
		got, err := Parse([]byte(text))
		if err != nil || string(got.Key) != key || !bytes.Equal(got.Value, value) {
			t.Errorf("%s came back as %q, %q, %v", text, got.Key, got.Value, err)
		}
	})
}

// FuzzParseFields compares parseFields with slowFields.
func FuzzParseFields(f *testing.F) {
	for _, line := range []string{
		`{"key":"a","value":"b"}`, `{"key":"a","value":"b","version":"1.2"}`, `{"key_base64":"YQ==","value":""}`, `{"key":"a","key":"b"}`, `{}`, ` { } `,
		`{"key":"a",}`, `{,"key":"a"}`, `{"key":"a"`, `{"key":"a"}x`, "{\"key\":\"a\"}\x00", `{"key":"a\"b"}`, `{"key":"\u0041"}`, "{\"key\":\"a\tb\"}", `{"key":1}`, `{"key":"a":"value":"b"}`,
		`{"other":"a"}`, "{\"key\":\"\x7f\u2028\"}", `{"key":"\x"}`, `{"key":"\`, `{"k\u0065y":"a"}`, `{"key":"a" "value":"b"}`, `{"key" "a"}`, `{"key":"\uD83D\uDE00"}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if !utf8.Valid(line) || loneSurrogate(line) {
			return
		}
		got, err := parseFields(line)
		want, wantErr := slowFields(line)
		if (err == nil) != (wantErr == nil) || err == nil && !maps.Equal(got, want) {
			t.Errorf("%q: %v, %v, and encoding/json says %v, %v", line, got, err, want, wantErr)
		}
	})
}

// slowFields does what parseFields does, with encoding/json alone.
func slowFields(line []byte) (map[string]string, error) {
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

// encoded returns the record as the commands print it.
func encoded(t *testing.T, r Record) string {
	t.Helper()
	var text bytes.Buffer
	j := json.NewEncoder(&text)
	j.SetEscapeHTML(false)
	if err := j.Encode(r); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestTTL: a record has what is left of a time to live, and at least what an import accepts.
func TestTTL(t *testing.T) {
	for left, want := range map[time.Duration]time.Duration{
		0: 0, 1: api.MinTTL, 28512345678: 28512 * time.Millisecond, api.MaxTTL: api.MaxTTL,
	} {
		r, err := Parse([]byte(encoded(t, Of(api.Entry{Key: "k", Value: []byte("v"), TTL: left}, false))))
		if err != nil || r.TTL != want {
			t.Errorf("%v left came back as %v, %v, want %v", left, r.TTL, err, want)
		}
	}
}
