package httpd_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestTTL: a key that is put with a ttl says what is left of it, and ends.
func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := memoryAPI()
		wantTTL := func(what string, r *http.Response, status int, want string) {
			t.Helper()
			if r.StatusCode != status || header(r, "Edgehold-TTL") != want {
				t.Errorf("%s: status %d, Edgehold-TTL %q, want %d and %q", what, r.StatusCode, header(r, "Edgehold-TTL"), status, want)
			}
		}
		r := request(h, "PUT", "/v1/kv/a?ttl=30s", "x")
		wantTTL("PUT", r, 200, "30.000")
		tag := header(r, "ETag")
		time.Sleep(1500 * time.Millisecond)
		wantTTL("GET", request(h, "GET", "/v1/kv/a", ""), 200, "28.500")
		wantTTL("HEAD", request(h, "HEAD", "/v1/kv/a", ""), 200, "28.500")
		wantTTL("unchanged", request(h, "GET", "/v1/kv/a", "", "If-None-Match: "+tag), 304, "28.500")
		wantTTL("412", request(h, "PUT", "/v1/kv/a", "y", "If-None-Match: *"), 412, "28.500")
		if got := bodyOf(t, request(h, "GET", "/v1/kv?prefix=a&keys_only", "")); !strings.HasPrefix(got, `{"entries":[{"key":"a","version":"1.1","ttl":"28.5s"}],"cursor":"`) {
			t.Errorf("listed %s", got)
		}
		time.Sleep(28500*time.Millisecond - time.Nanosecond)
		wantTTL("the last nanosecond", request(h, "GET", "/v1/kv/a", ""), 200, "0.001")
		time.Sleep(time.Nanosecond)
		wantTTL("expired", request(h, "GET", "/v1/kv/a", ""), 404, "")
		wantTTL("PUT for ever", request(h, "PUT", "/v1/kv/a", "x"), 200, "")
		wantTTL("GET for ever", request(h, "GET", "/v1/kv/a", ""), 200, "")
	})
}

// TestTTLOnce: the repetition of a put with a ttl does not say what is left, which is not known.
func TestTTLOnce(t *testing.T) {
	h, _ := memoryAPI()
	for i, want := range []string{"3600.000", ""} {
		r := request(h, "PUT", "/v1/kv/a?ttl=1h", "x", "Idempotency-Key: one")
		wantStatus(t, r, 200)
		if got := header(r, "Edgehold-TTL"); got != want {
			t.Errorf("answer %d says %q, want %q", i, got, want)
		}
	}
	wantProblem(t, request(h, "PUT", "/v1/kv/a?ttl=2h", "x", "Idempotency-Key: one"), 409, api.CodeConflict)
}

// TestTTLIsRefused: what is no time to live is refused before anything is written.
func TestTTLIsRefused(t *testing.T) {
	h, _ := memoryAPI()
	for text, naming := range map[string]string{
		"30": "unit, such as 30s", "": "unit", "soon": `"soon"`, "-1s": "from 100ms to 10 years", "99ms": "ttl 99ms is not from 100ms",
		"0": "ttl 0s is not", "87600h1ns": "10 years", "1d": `"1d"`,
	} {
		wantProblem(t, request(h, "PUT", "/v1/kv/a?ttl="+text, "x"), 400, api.CodeInvalid, naming)
	}
	wantProblem(t, request(h, "PUT", "/v1/kv/a?ttl=1s&ttl=1s", "x"), 400, api.CodeInvalid, "more than once")
	for _, method := range []string{"GET", "DELETE"} {
		wantProblem(t, request(h, method, "/v1/kv/a?ttl=1s", ""), 400, api.CodeInvalid, `unknown query parameter "ttl"`)
	}
	wantStatus(t, request(h, "GET", "/v1/kv/a", ""), 404)
	wantStatus(t, request(h, "PUT", "/v1/kv/a?ttl=100ms", "x"), 200)
	wantStatus(t, request(h, "PUT", "/v1/kv/a?ttl=87600h", "x"), 200)
}

// TestFunctions: the functions of bytes, and puts that keep a deadline, byte for byte; and what is wrong with one is refused by name.
func TestFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := memoryAPI()
		wantStatus(t, request(h, "PUT", "/v1/kv/t?ttl=10s", "1"), 200) // 1.1
		for _, c := range []struct{ body, want string }{
			{`{"then":[{"append":{"key":"a","value":"<1>","ttl":"1m"}},{"append":{"key":"a","value_base64":"/w==","keep_ttl":true}},{"get":{"key":"a"}}]}`,
				`{"committed":true,"results":[{"key":"a","value":"3","version":"1.2","ttl":"1m0s"},{"key":"a","value":"4","version":"1.2","ttl":"1m0s"},` +
					`{"key":"a","value_base64":"PDE+/w==","version":"1.2","ttl":"1m0s"}],"version":"1.2"}`},
			{`{"then":[{"sum64":{"key":"n","value_base64":"AQAAAAAAAAA="}},{"sum64":{"key":"n","value":"00000000"}},{"get":{"key":"n"}}]}`,
				`{"committed":true,"results":[{"key":"n","version":"1.3"},{"key":"n","version":"1.3"},{"key":"n","value":"10000000","version":"1.3"}],"version":"1.3"}`},
			{`{"then":[{"min64":{"key":"n","value":"10000001"}},{"max64":{"key":"n","value":"10000001"}},{"get":{"key":"n"}},{"put":{"key":"t","value":"2","keep_ttl":true}}]}`,
				`{"committed":true,"results":[{"key":"n","version":"1.4"},{"key":"n","version":"1.4"},{"key":"n","value":"10000001","version":"1.4"},` +
					`{"key":"t","version":"1.4","ttl":"10s"}],"version":"1.4"}`},
		} {
			r := request(h, "POST", "/v1/txn", c.body)
			wantStatus(t, r, 200)
			if got := bodyOf(t, r); got != c.want+"\n" {
				t.Errorf("%s\ngot  %swant %s", c.body, got, c.want)
			}
		}
		for query, ttl := range map[string]string{"?keep_ttl=true": "10.000", "?keep_ttl=false": ""} {
			wantStatus(t, request(h, "PUT", "/v1/kv/t?ttl=10s", "1"), 200)
			r := request(h, "PUT", "/v1/kv/t"+query, "3")
			wantStatus(t, r, 200)
			if got := header(r, "Edgehold-TTL"); got != ttl {
				t.Errorf("put%s answers a ttl of %q, want %q", query, got, ttl)
			}
		}
		wantProblem(t, request(h, "PUT", "/v1/kv/t?keep_ttl=yes", "x"), 400, api.CodeInvalid, "neither true nor false")
		wantProblem(t, request(h, "PUT", "/v1/kv/t?keep_ttl=true&ttl=1s", "x"), 400, api.CodeInvalid, "not both")
		for body, naming := range map[string]string{
			`{"then":[{"append":{"key":"a"}}]}`:                                       "then[0].append",
			`{"then":[{"sum64":{"key":"n","value":"1234567"}}]}`:                      "7 bytes",
			`{"then":[{"append_if_absent":{"key":"a","value":"x","keep_ttl":true}}]}`: `"keep_ttl"`,
			`{"then":[{"put":{"key":"a","value":"x","keep_ttl":1}}]}`:                 "then[0].put",
			`{"then":[{"put":{"key":"a","value":"x","keep_ttl":true,"ttl":"1s"}}]}`:   "not both",
			`{"then":[{"touch":{"key":"a","ttl":"1s","keep_ttl":true}}]}`:             `"keep_ttl"`,
		} {
			wantProblem(t, request(h, "POST", "/v1/txn", body), 400, api.CodeInvalid, naming)
		}
	})
}

// TestTxnTTL: times to live, touches and lists in transactions, byte for byte.
func TestTxnTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := memoryAPI()
		put(t, h, "b", "x") // 1.1
		for _, c := range []struct{ body, want string }{
			{`{"then":[{"put":{"key":"d/a","value":"x","ttl":"10s"}},{"append_if_absent":{"key":"d/\u00e9","value":"<1>","ttl":"1m"}},{"add":{"key":"n","delta":1}}]}`,
				`{"committed":true,"results":[{"key":"d/a","version":"1.2","ttl":"10s"},{"key":"d/é","version":"1.2","ttl":"1m0s"},` +
					`{"key":"n","value":"1","version":"1.2"}],"version":"1.2"}`},
			{`{"then":[{"touch":{"key":"d/a","ttl":"20s"}},{"touch":{"key":"b","ttl":"1s"}},{"touch":{"ttl":"1s","key":"none"}},{"get":{"key":"d/a"}}]}`,
				`{"committed":true,"results":[{"key":"d/a","version":"1.2","ttl":"20s"},{"key":"b","version":"1.1"},` +
					`{"key":"none","exists":false,"version":"0.0"},{"key":"d/a","value":"x","version":"1.2","ttl":"20s"}],"version":"1.3"}`},
			{`{"then":[{"put":{"key_base64":"ZC//","value":""}},{"list":{"prefix":"d/"}},{"list":{"limit":1,"prefix":"d/"}},{"list":{"prefix_base64":"/w=="}}]}`,
				`{"committed":true,"results":[{"key_base64":"ZC//","version":"1.4"},` +
					`{"prefix":"d/","entries":[{"key":"d/a","version":"1.2"},{"key":"d/é","version":"1.2"},{"key_base64":"ZC//","version":"1.4"}]},` +
					`{"prefix":"d/","entries":[{"key":"d/a","version":"1.2"}]},{"prefix_base64":"/w==","entries":[]}],"version":"1.4"}`},
			{`{"then":[{"get":{"key":"d/a"}}]}`, `{"committed":true,"results":[{"key":"d/a","value":"x","version":"1.2","ttl":"20s"}]}`},
		} {
			r := request(h, "POST", "/v1/txn", c.body)
			wantStatus(t, r, 200)
			if got := bodyOf(t, r); got != c.want+"\n" {
				t.Errorf("%s\ngot  %swant %s", c.body, got, c.want)
			}
		}
		list := `{"then":[{"put":{"key":"z","value":""}},{"list":{"prefix":"d/"}}]}`
		request(h, "POST", "/v1/txn", list, "Idempotency-Key: list")
		r := request(h, "POST", "/v1/txn", list, "Idempotency-Key: list")
		want := `{"committed":true,"results":[{"key":"z","version":"1.5"},{"prefix":"d/","elided":true}],"version":"1.5","replayed":true}`
		if got := bodyOf(t, r); got != want+"\n" {
			t.Errorf("the repetition of a list\ngot  %swant %s", got, want)
		}
	})
}
