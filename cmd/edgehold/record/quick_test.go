package record

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

func TestQuickFieldsTakesWhatExportWrites(t *testing.T) {
	for _, e := range []api.Entry{{Key: "a/b c", Value: []byte("{}é, 😀")}, {Key: "\xff", Value: []byte{0xff}}, {Key: "k", Value: nil}} {
		line := bytes.TrimSuffix(Append(nil, e), []byte("\n"))
		if _, ok := quickFields(line); !ok {
			t.Errorf("%s is not read at once", line)
		}
	}
}

// FuzzQuickFields holds that the quick reader says what the thorough one says, or nothing.
func FuzzQuickFields(f *testing.F) {
	for _, line := range []string{
		`{"key":"a","value":"b"}`, `{"key":"a","value":"b","version":"1.2"}`, `{"key_base64":"YQ==","value":""}`, `{"key":"a","key":"b"}`, `{}`,
		`{"key":"a",}`, `{"key":"a"`, `{"key":"a"}x`, `{"key":"a\"b"}`, `{"key":"\u0041"}`, "{\"key\":\"a\tb\"}", `{"key":1}`, `{"key":"a":"value":"b"}`, `{"other":"a"}`,
		"{\"key\":\"\x7f\u2028\"}",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if !utf8.Valid(line) {
			return
		}
		quick, ok := quickFields(line)
		if !ok {
			return
		}
		if thorough, err := parseFields(line); err != nil || !maps.Equal(quick, thorough) {
			t.Errorf("%q: %v, and thoroughly %v, %v", line, quick, thorough, err)
		}
	})
}

// FuzzAppendRecord holds that the line is what encoding/json makes of it.
func FuzzAppendRecord(f *testing.F) {
	f.Add("a", "b")
	f.Add("\xff", "\x00\x1f\x7f")
	f.Add("<&>\"\\\n", "\u2028\u2029\ufffd😀")
	f.Fuzz(func(t *testing.T, key, value string) {
		e := api.Entry{Key: api.Key(key), Value: []byte(value), Version: api.Version{Epoch: 1, Index: 42}}
		want := "before\n" + encoded(t, Of(e, false))
		if got := Append([]byte("before\n"), e); string(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// encoded is the record as the commands print it.
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
