package httpd

import (
	"encoding/json"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// FuzzTxnBody: whatever comes is read or refused, and what is read is JSON within the limits.
func FuzzTxnBody(f *testing.F) {
	for _, body := range []string{
		`{"if":[{"key":"a","version":"1.2"},{"key_base64":"/w==","exists":false},{"key":"b","value":"\u00e9\ud83d\ude00"}],"age":7}`,
		`{"then":[{"put":{"key":"a","value_base64":"AP4="}},{"add":{"key":"n","delta":"-1"}},{"add":{"key":"n","delta":0}}],"else":[{"get":{"key":"\n"}}]}`,
		`{"then":[{"append":{"key":"a","value":"<1>","ttl":"1h"}},{"sum64":{"key":"n","value_base64":"AAAAAAAAAAE=","keep_ttl":true}}]} `,
		`{"then":[{"put":{"key":"a","value":"x","keep_ttl":false}},{"min64":{"key":"a","value":"12345678"}},{"max64":{"key":"a","value":""}}]}`,
		`{"then":[{"append_if_absent":{"key":"a","value":"<1>"}},{"delete":{"key":"a"}}]} `,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		txn, err := parseTxn(body)
		switch {
		case err != nil:
			return
		case !json.Valid(body):
			t.Errorf("%q is no JSON, and was read as %+v", body, txn)
		case len(txn.If)+len(txn.Then)+len(txn.Else) > api.MaxTxnOps || txn.Size() > api.MaxTxnBytes:
			t.Errorf("%q is over the limits", body)
		}
	})
}
