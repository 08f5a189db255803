package record

import (
	"bytes"
	"strings"
	"testing"

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
		{`{"key":"\u00e9\ud83d\ude00","value":"\\ud800"}`, "é😀", `\ud800`, ""},
		{"\ufeff" + `{"key":"a","value":"` + "\ufeff" + `b"}`, "a", "\ufeffb", ""},
		{"\ufeff \ufeff" + `{"key":"a","value":"b"}`, "", "", "not a JSON object"},
		{`{"key":"a","value":"\ufffd"}`, "a", "\uFFFD", ""},

		{``, "", "", "not a JSON object"},
		{`[1]`, "", "", "not a JSON object"},
		{`{"key":"a"`, "", "", "bad JSON"},
		{`{"key":"a","value":"b"} x`, "", "", "something follows"},
		{`{"key":"a","value":"b"}{}`, "", "", "something follows"},
		{`{"key":"a","value":"b","ttl":"1s"}`, "", "", `unknown field "ttl"`},
		{`{"Key":"a","value":"b"}`, "", "", `unknown field "Key"`},
		{`{"key":"a","key":"a","value":"b"}`, "", "", "stands twice"},
		{`{"key":1,"value":"b"}`, "", "", `"key" must be a string`},
		{`{"key":"a","value":null}`, "", "", `"value" must be a string`},
		{`{"key":"a","value":{"x":1}}`, "", "", `"value" must be a string`},
		{`{"key":"a"}`, "", "", "neither value nor value_base64"},
		{`{"value":"a"}`, "", "", "neither key nor key_base64"},
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
		key, value, err := Parse([]byte(c.line))
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%.60s: got error %v, want %q in it", c.line, err, c.says)
			}
		} else if err != nil || string(key) != c.key || string(value) != c.value {
			t.Errorf("%.60s: got %q, %q, %v", c.line, key, value, err)
		}
	}
}

// FuzzRecord holds that what is written is read back, and that no line makes the parser fall over.
func FuzzRecord(f *testing.F) {
	f.Add("key", []byte("value"), []byte(`{"key":"a","value":"b"}`))
	f.Add("\xff", []byte("\x00\ud7ff "), []byte(`{"key":"\ud83d\ude00","value":"\\"}`))
	f.Fuzz(func(t *testing.T, key string, value, line []byte) {
		_, _, _ = Parse(line)
		if key == "" || len(key) > api.MaxKeyBytes || len(value) > api.MaxValueBytes {
			return
		}
		text := encoded(t, Of(api.Entry{Key: api.Key(key), Value: value}, false))
		gotKey, gotValue, err := Parse([]byte(text))
		if err != nil || string(gotKey) != key || !bytes.Equal(gotValue, value) {
			t.Errorf("%s came back as %q, %q, %v", text, gotKey, gotValue, err)
		}
	})
}
