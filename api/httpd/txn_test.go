package httpd_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
)

// TestTxn: what a transaction answers, one after the other on one store, byte for byte.
func TestTxn(t *testing.T) {
	h, _ := memoryAPI()
	put(t, h, "a", "hello") // 1.1
	for _, c := range []struct{ body, want string }{
		{`{"then":[{"put":{"key":"b","value":"x"}},{"delete":{"key":"none"}}]}`,
			`{"committed":true,"results":[{"key":"b","version":"1.2"},{"key":"none","version":"1.2"}],"version":"1.2"}`},
		{`{"if":[{"key":"b","version":"1.2"},{"key":"a","value":"hello"},{"key":"c","exists":false},{"key":"a","exists":true},{"key":"c","version":"0.0"}],
		   "then":[{"get":{"key":"a"}},{"add":{"key":"n","delta":41}},{"add":{"key":"n","delta":"1"}},{"append_if_absent":{"key":"s","value":"<1>"}},{"get":{"key":"zz"}}],
		   "else":[{"delete":{"key":"a"}}]}`,
			`{"committed":true,"results":[{"key":"a","value":"hello","version":"1.1"},{"key":"n","value":"41","version":"1.3"},` +
				`{"key":"n","value":"42","version":"1.3"},{"key":"s","version":"1.3"},{"key":"zz","exists":false,"version":"0.0"}],"version":"1.3"}`},
		{`{"if":[{"key":"a","value":"other"}],"then":[{"put":{"key":"a","value":"no"}}]}`, `{"committed":false,"results":[],"version":"1.4"}`},
		{`{"if":[{"key":"none","version":"0.0"}],"then":[{"put":{"key":"a","value":"no"}}],"else":[{"get":{"key":"none"}},{"put":{"key":"e","value":""}}]}`,
			`{"committed":false,"results":[{"key":"none","exists":false,"version":"1.2"},{"key":"e","version":"1.5"}],"version":"1.5"}`},
		{`{"if":[{"key":"e","value":""}]}`, `{"committed":true,"results":[],"version":"1.6"}`},
		{`{"then":[{"get":{"key":"e"}},{"get":{"key":"b"}},{"get":{"key":"e"}},{"get":{"key":"q"}}]}`,
			`{"committed":true,"results":[{"key":"e","value":"","version":"1.5"},{"key":"b","value":"x","version":"1.2"},` +
				`{"key":"e","value":"","version":"1.5"},{"key":"q","exists":false,"version":"0.0"}]}`},
		{`{"then":[{"put":{"key_base64":"/w==","value_base64":"AP4="}},{"get":{"key_base64":"/w=="}},{"put":{"key":"\u00e9\ud83d\ude00\n","value":"\"\/"}}]}`,
			`{"committed":true,"results":[{"key_base64":"/w==","version":"1.7"},{"key_base64":"/w==","value_base64":"AP4=","version":"1.7"},` +
				`{"key":"é😀\n","version":"1.7"}],"version":"1.7"}`},
		{" {\t\"age\" : 12,\r\n\"else\":[],\"then\" : [ { \"append_if_absent\" : {\"value\":\"<1>\" , \"key\":\"s\"} } ] } ",
			`{"committed":true,"results":[{"key":"s","version":"1.3"}],"version":"1.8"}`},
	} {
		r := request(h, "POST", "/v1/txn", c.body)
		wantStatus(t, r, 200)
		got := bodyOf(t, r)
		if got != c.want+"\n" || !json.Valid([]byte(got)) {
			t.Errorf("%s\ngot  %swant %s", c.body, got, c.want)
		}
		if header(r, "Content-Type") != "application/json" || header(r, "ETag") != "" || header(r, "Edgehold-Owner") != "memory.1" ||
			header(r, "Content-Length") != fmt.Sprint(len(got)) {
			t.Errorf("header %v", r.Header)
		}
	}
	if got := bodyOf(t, request(h, "GET", "/v1/kv/%C3%A9%F0%9F%98%80%0A", "")); got != `"/` {
		t.Errorf("got %q", got)
	}
}

// TestTxnBodyIsRefused: the refusal names the place of what makes no sense, and nothing is carried out.
func TestTxnBodyIsRefused(t *testing.T) {
	h := newAPI(front.Config{Store: fake{}}, httpd.Config{}) // it must not be asked
	then := func(op string) string { return `{"then":[{"get":{"key":"a"}},` + op + `]}` }
	for body, naming := range map[string]string{
		``: "an object should stand at byte 0", `[]`: "an object", `null`: "an object", `{}`: "the transaction is empty", `{"then":[]}`: "empty",
		`{"then":[{"get":{"key":"a"}}]} x`: "goes on after its JSON", `{"then":[{"get":{"key":"a"}}]`: "a comma or }",
		`{"then":[{"get":{"key":"a"}}],}`: "a string", `{"Then":[]}`: `"Then" is no member`, `{"then":[],"then":[]}`: `"then" stands twice`,
		`{"then":null}`: "then: the body is not the JSON that belongs here: an array", `{"then":[{"get":{"key":"a"}},]}`: "then[1]: ", `{then:[]}`: "a string",
		`{"if":[{"key":"a"}],"then":[]}`: "if[0]: a condition tests one of", `{"if":[{"key":"a","exists":true,"version":"1.1"}]}`: "if[0]: a condition tests one of",
		`{"if":[{"key":"a","exists":1}]}`: "if[0]: the body is not the JSON that belongs here: true or false", `{"if":[{"exists":true}]}`: "if[0]: key or key_base64 is missing",
		`{"if":[{"key":"a","version":"1"}]}`: "if[0]: version \"1\"", `{"if":[{"key":"a","version":"01.1"}]}`: "EPOCH.INDEX", `{"if":[{"key":"a","version":1.1}]}`: "a string",
		`{"if":[{"key":"a","delta":1}]}`: `if[0]: "delta" is no member`, `{"age":"x"}`: "age: ", `{"age":-1}`: "age: ", `{"age":01}`: "an integer",
		then(`{}`): "then[1]: an operation is an object such as", then(`"get"`): "then[1]: the body", then(`{"cas":{}}`): `then[1]: "cas" is none of put`,
		then(`{"get":{"key":"a"},"put":{}}`):                      `then[1]: an operation has one name; write "put" as the next one`,
		then(`{"get":{}}`):                                        "then[1].get: key or key_base64 is missing",
		then(`{"get":{"key":""}}`):                                "then[1].get: the key is empty",
		then(`{"get":{"key":"a","key_base64":"YQ=="}}`):           "then[1].get: key_base64 stands beside its other form",
		then(`{"put":{"value":"1","key":"a","value_base64":""}}`): "then[1].put: value_base64 stands beside",
		then(`{"get":{"key":"a","value":"x"}}`):                   `then[1].get: "value" is no member`,
		then(`{"put":{"key":"a"}}`):                               "then[1].put: value or value_base64 is missing",
		then(`{"put":{"key":"a","value":1}}`):                     "then[1].put: the body is not the JSON that belongs here: a string",
		then(`{"put":{"key":"a","value":"x","ttl":"30"}}`):        `then[1].put: ttl "30" is not a duration with a unit`,
		then(`{"put":{"key":"a","value":"x","ttl":30}}`):          "then[1].put: the body is not the JSON that belongs here: a string",
		then(`{"put":{"key":"a","value":"x","ttl":"1ms"}}`):       "then[1].put: ttl 1ms is not from 100ms to 10 years",
		then(`{"put":{"key":"a","value":"x","ttl":"0s"}}`):        "then[1].put: ttl 0s is not from 100ms to 10 years",
		then(`{"delete":{"key":"a","ttl":"1h"}}`):                 `then[1].delete: "ttl" is no member`,
		then(`{"touch":{"key":"a"}}`):                             "then[1].touch: ttl is missing",
		then(`{"touch":{"key":"a","ttl":"87601h"}}`):              "then[1].touch: ttl 87601h0m0s is not from",
		then(`{"list":{"key":"a"}}`):                              `then[1].list: "key" is no member`,
		then(`{"list":{}}`):                                       "then[1].list: prefix or prefix_base64 is missing",
		then(`{"list":{"prefix":""}}`):                            "then[1].list: the key is empty",
		then(`{"list":{"prefix":"a","limit":0}}`):                 "then[1].list: limit is not a number from 1 to 1000",
		then(`{"list":{"prefix":"a","limit":1001}}`):              "then[1].list: limit is not a number from 1 to 1000",
		then(`{"put":{"key_base64":"YQ","value":"x"}}`):           "then[1].put: what is named _base64 is not base64",
		then(`{"put":{"key_base64":"YR==","value":"x"}}`):         "not base64",
		then(`{"put":{"key":"a","value":"x` + "\xff" + `"}}`):     "then[1].put: a string is not UTF-8",
		then(`{"put":{"key":"a","value":"x` + "\n" + `"}}`):       "an escape such as",
		then(`{"put":{"key":"a","value":"\x"}}`):                  "an escape such as",
		then(`{"put":{"key":"a","value":"\u12"}}`):                "an escape such as",
		then(`{"put":{"key":"a","value":"\ud800"}}`):              "half a surrogate pair",
		then(`{"put":{"key":"a","value":"\ud800\u0041"}}`):        "half a surrogate pair",
		then(`{"put":{"key":"a","value":"\udc00\ud800"}}`):        "half a surrogate pair",
		then(`{"put":{"key":"a","value":"x`):                      "the end of a string",
		then(`{"add":{"key":"a"}}`):                               "then[1].add: delta is missing",
		then(`{"add":{"key":"a","delta":1.5}}`):                   "then[1].add: ",
		then(`{"add":{"key":"a","delta":"1.5"}}`):                 "then[1].add: delta is not a decimal integer",
		then(`{"add":{"key":"a","delta":9223372036854775808}}`):   "then[1].add: delta is not a decimal integer",
		then(`{"add":{"key":"a","delta":--1}}`):                   "an integer",
		`{"else":[{"delete":{"key":"a","key":"b"}}]}`:             `else[0].delete: "key" stands twice`,
	} {
		r := request(h, "POST", "/v1/txn", body)
		if r.StatusCode != 400 {
			t.Errorf("%s: status %d", body, r.StatusCode)
			continue
		}
		if body == "" {
			body = "nothing"
		}
		t.Run(body, func(t *testing.T) { wantProblem(t, r, 400, api.CodeInvalid, naming) })
	}
}

// TestTxnLimits: one over a limit is refused, with the limit and the size; what is at the limit goes on to the Store.
func TestTxnLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("megabytes, for limits")
	}
	var got *api.Txn
	h := newAPI(front.Config{Store: fake{do: func(_ context.Context, t *api.Txn) (*api.TxnResult, error) {
		got = t
		return &api.TxnResult{Committed: true, Entries: make([]api.Entry, len(t.Then))}, nil
	}}}, httpd.Config{})
	steps := func(n int, value string) string {
		one := `{"put":{"key":"k","value":"` + value + `"}},`
		return `{"then":[` + strings.TrimSuffix(strings.Repeat(one, n), ",") + `]}`
	}
	mib := strings.Repeat("v", api.MaxValueBytes)
	escaped := `{"then":[` + strings.Repeat(`{"put":{"key":"k","value":"`+strings.Repeat(`\u0001`, api.MaxValueBytes)+`"}},`, 7) + `{"get":{"key":"a"}}]}`
	for name, body := range map[string]string{
		"operations": steps(api.MaxTxnOps, "x"), "value": steps(1, mib), "bytes": steps(7, mib), "escapes": escaped,
		"base64": `{"then":[{"put":{"key":"k","value_base64":"` + base64.StdEncoding.EncodeToString([]byte(mib)) + `"}}]}`,
		"key":    `{"then":[{"delete":{"key":"` + strings.Repeat("k", api.MaxKeyBytes) + `"}}]}`,
	} {
		got = nil
		if r := request(h, "POST", "/v1/txn", body); r.StatusCode != 200 || got == nil || len(got.Then) == 0 {
			t.Errorf("%s at the limit: status %d, %.200s", name, r.StatusCode, bodyOf(t, r))
		}
	}
	got = nil
	for _, c := range []struct {
		body   string
		naming []string
	}{
		{steps(api.MaxTxnOps+1, "x"), []string{"2501 operations", "2500 operations"}},
		{steps(3*api.MaxTxnOps, "x"), []string{"7500 operations", "2500 operations"}},
		{steps(1, mib+"v"), []string{"then[0].put: ", "1048577", "1048576"}},
		{steps(8, mib), []string{fmt.Sprint(8*(api.MaxValueBytes+1)) + " bytes", fmt.Sprint(api.MaxTxnBytes) + " bytes"}},
		{`{"if":[{"key":"` + strings.Repeat("k", api.MaxKeyBytes+1) + `","exists":true}]}`, []string{"if[0]: ", "4097", "4096"}},
		{strings.Repeat(" ", api.MaxTxnBodyBytes+1), []string{fmt.Sprint(api.MaxTxnBodyBytes), fmt.Sprint(api.MaxTxnBodyBytes + 1)}},
	} {
		wantProblem(t, request(h, "POST", "/v1/txn", c.body), 413, api.CodeTooLarge, c.naming...)
	}
	if got != nil {
		t.Error("what is over a limit reached the Store")
	}
	small := newAPI(front.Config{Store: fake{}, Room: admission.New(admission.Config{Bytes: 1 << 20})}, httpd.Config{})
	wantProblem(t, request(small, "POST", "/v1/txn", steps(1, mib)), 503, api.CodeUnavailable, "fill the 1048576 bytes")
}

// TestTxnPassesOn: what a request says reaches the Store, and what the Store returns reaches the header.
func TestTxnPassesOn(t *testing.T) {
	var got *api.Txn
	var left time.Duration
	h := newAPI(front.Config{Node: "n", Store: fake{do: func(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
		got = t
		d, _ := ctx.Deadline()
		left = time.Until(d)
		return &api.TxnResult{
			Committed: true, Replayed: true, Entries: []api.Entry{{Key: "k", Version: api.Version{Epoch: 1, Index: 2}}},
			Timing: api.Timing{Route: time.Millisecond, Commit: 2 * time.Millisecond, Mode: "m2"},
		}, nil
	}}}, httpd.Config{})
	id := api.RequestID{Client: api.ClientID{0xab}, Seq: 7, AckedBelow: 3}
	body := `{"age":"1234567890123456789","if":[{"key":"k","exists":false}],"then":[{"put":{"key":"k","value":"v"}}],"else":[{"add":{"key_base64":"/w==","delta":-9223372036854775808}}]}`
	r := atOnce(t, func() *http.Response {
		return request(h, "POST", "/v1/txn?timeout=7", body, "Idempotency-Key: "+id.IdempotencyKey())
	})
	wantStatus(t, r, 200)
	want := &api.Txn{
		ID: id, Age: 1234567890123456789, If: []api.Cond{{Kind: api.CondAbsent, Key: "k"}},
		Then: []api.Op{{Kind: api.OpPut, Key: "k", Value: []byte("v")}}, Else: []api.Op{{Kind: api.OpAdd, Key: "\xff", Delta: -1 << 63}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if left != 7*time.Second {
		t.Errorf("time left %v, want 7 s", left)
	}
	for name, want := range map[string]string{
		"Server-Timing": `route;dur=1.000, commit;dur=2.000, mode;desc="m2"`, "Edgehold-Replayed": "true", "Edgehold-Owner": "", "Edgehold-Version": "",
		"Edgehold-Node": "n", "Edgehold-Served-By": "owner",
	} {
		if header(r, name) != want {
			t.Errorf("%s: %q, want %q", name, header(r, name), want)
		}
	}
	if got := bodyOf(t, r); got != `{"committed":true,"results":[{"key":"k","version":"1.2"}],"replayed":true}`+"\n" {
		t.Errorf("body %s", got)
	}
	wantProblem(t, request(h, "POST", "/v1/txn", body, "Idempotency-Key: a", "Idempotency-Key: b"), 400, api.CodeInvalid, "more than once")
}

// TestReadOnlyTxn: only gets are one snapshot, which a lease may answer, and nothing that a Store would have to remember.
func TestReadOnlyTxn(t *testing.T) {
	var got *api.ReadRequest
	res := &api.ReadResult{
		ServedBy: api.ServedByLease, Group: "us-east.1", Snapshot: true, Timing: api.Timing{Mode: "m0"},
		Entries: []api.Entry{{Key: "a", Value: []byte("x"), Exists: true, Version: api.Version{Epoch: 1, Index: 2}}, {Key: "b"}},
	}
	h := newAPI(front.Config{Store: fake{read: func(_ context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
		got = q
		return res, nil
	}}}, httpd.Config{})
	const body = `{"then":[{"get":{"key":"a"}},{"get":{"key":"b"}}]}`
	r := request(h, "POST", "/v1/txn", body, "Idempotency-Key: x")
	wantStatus(t, r, 200)
	if want := (&api.ReadRequest{Keys: []api.Key{"a", "b"}, Snapshot: true}); !reflect.DeepEqual(got, want) {
		t.Errorf("asked %+v", got)
	}
	if header(r, "Edgehold-Served-By") != "lease" || header(r, "Edgehold-Owner") != "us-east.1" || header(r, "Server-Timing") != `mode;desc="m0"` {
		t.Errorf("header %v", r.Header)
	}
	if got := bodyOf(t, r); got != `{"committed":true,"results":[{"key":"a","value":"x","version":"1.2"},{"key":"b","exists":false,"version":"0.0"}]}`+"\n" {
		t.Errorf("body %s", got)
	}
	res.Snapshot = false
	wantProblem(t, request(h, "POST", "/v1/txn", body), 503, api.CodeUnavailable, "one instant")
}

// TestTxnOnce: a repetition is answered by the first, and the same key for something else is a conflict.
func TestTxnOnce(t *testing.T) {
	h, _ := memoryAPI()
	const add = `{"then":[{"add":{"key":"n","delta":7}}]}`
	first := bodyOf(t, request(h, "POST", "/v1/txn", add, "Idempotency-Key: x"))
	again := request(h, "POST", "/v1/txn", ` {"then" : [ {"add":{"delta":"7","key_base64":"bg=="}} ]}`, "Idempotency-Key: x")
	if header(again, "Edgehold-Replayed") != "true" || bodyOf(t, again) != strings.TrimSuffix(first, "}\n")+`,"replayed":true}`+"\n" {
		t.Errorf("first %s, again %v", first, again.Header)
	}
	wantProblem(t, request(h, "POST", "/v1/txn", `{"then":[{"add":{"key":"n","delta":8}}]}`, "Idempotency-Key: x"), 409, api.CodeConflict)
	if got := bodyOf(t, request(h, "GET", "/v1/kv/n", "")); got != "7" {
		t.Errorf("n is %s", got)
	}
}

// TestTxnErrors: an error that does not say what became of a transaction leaves that unknown, but reading changes nothing.
func TestTxnErrors(t *testing.T) {
	h, _ := memoryAPI()
	put(t, h, "word", "x")
	p := wantProblem(t, request(h, "POST", "/v1/txn", `{"then":[{"put":{"key":"other","value":""}},{"add":{"key":"word","delta":1}}]}`), 412, api.CodePreconditionFailed, "integer")
	if p["key"] != "word" || p["version"] != nil {
		t.Errorf("%v", p)
	}
	wantStatus(t, request(h, "GET", "/v1/kv/other", ""), 404)
	lost := errors.New("lost")
	h = newAPI(front.Config{Store: fake{
		read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) { return nil, context.DeadlineExceeded },
		do:   func(context.Context, *api.Txn) (*api.TxnResult, error) { return nil, lost },
	}}, httpd.Config{})
	wantProblem(t, request(h, "POST", "/v1/txn", `{"then":[{"delete":{"key":"a"}}]}`), 504, api.CodeAmbiguous)
	wantProblem(t, request(h, "POST", "/v1/txn", `{"then":[{"get":{"key":"a"}}]}`), 503, api.CodeUnavailable)
	for _, m := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		wantStatus(t, request(h, m, "/v1/txn", ""), 405)
	}
	wantProblem(t, request(h, "POST", "/v1/txn?consistency=stale", `{}`), 400, api.CodeInvalid, "consistency")
}

// TestTxnLongAnswer: it comes whole, though it is sent as it is made.
func TestTxnLongAnswer(t *testing.T) {
	h, _ := memoryAPI()
	value := strings.Repeat("v", api.MaxValueBytes)
	put(t, h, "k", value)
	r := request(h, "POST", "/v1/txn", `{"then":[`+strings.Repeat(`{"get":{"key":"k"}},`, 9)+`{"add":{"key":"n","delta":1}}]}`)
	wantStatus(t, r, 200)
	var got struct {
		Committed bool
		Results   []struct{ Key, Value string }
		Version   string
	}
	if err := json.Unmarshal([]byte(bodyOf(t, r)), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Committed || len(got.Results) != 10 || got.Results[8].Value != value || got.Results[9].Value != "1" || got.Version != "1.2" {
		t.Errorf("%d results, version %s", len(got.Results), got.Version)
	}
}
