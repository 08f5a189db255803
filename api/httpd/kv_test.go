package httpd_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

func TestGet(t *testing.T) {
	h, _ := memoryAPI()
	absent := request(h, "GET", "/v1/kv/a", "")
	p := wantProblem(t, absent, 404, api.CodeNotFound)
	if p["key"] != "a" || p["version"] != "0.0" || header(absent, "Edgehold-Version") != "0.0" || header(absent, "ETag") != "" {
		t.Errorf("404: %v, header %v", p, absent.Header)
	}
	v := put(t, h, "a", "hello")
	r := request(h, "GET", "/v1/kv/a", "")
	wantStatus(t, r, 200)
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "ETag": `"` + v + `"`, "Edgehold-Version": v,
		"Edgehold-Served-By": "owner", "Edgehold-Owner": "memory.1", "Edgehold-Age": "", "Age": "", "Server-Timing": "",
	} {
		if header(r, name) != want {
			t.Errorf("%s: %q, want %q", name, header(r, name), want)
		}
	}
	if got := bodyOf(t, r); got != "hello" {
		t.Errorf("value %q", got)
	}
	head := request(h, "HEAD", "/v1/kv/a", "")
	wantStatus(t, head, 200)
	if header(head, "Content-Length") != "5" || header(head, "ETag") != header(r, "ETag") || bodyOf(t, head) != "" {
		t.Errorf("HEAD: %v", head.Header)
	}
	put(t, h, "empty", "")
	if r := request(h, "GET", "/v1/kv/empty", ""); r.StatusCode != 200 || header(r, "Content-Length") != "0" {
		t.Errorf("an empty value: %d, %v", r.StatusCode, r.Header)
	}
}

// TestGetPassesOn: what the query asks reaches the Store, and what the Store returns reaches the header.
func TestGetPassesOn(t *testing.T) {
	var asked api.ReadRequest
	var deadline time.Duration
	h := newAPI(front.Config{Node: "n", Store: fake{read: func(ctx context.Context, r *api.ReadRequest) (*api.ReadResult, error) {
		asked = *r
		d, _ := ctx.Deadline()
		deadline = time.Until(d)
		return &api.ReadResult{
			Entries:  []api.Entry{{Key: "k", Value: []byte("old"), Version: api.Version{Epoch: 2, Index: 7}, Exists: true}},
			ServedBy: api.ServedByStale, Group: "us-east.1", Age: 2345678 * time.Microsecond,
			Timing: api.Timing{Route: 1500 * time.Microsecond, Commit: 2 * time.Millisecond},
		}, nil
	}}}, httpd.Config{})
	r := atOnce(t, func() *http.Response {
		return request(h, "GET", "/v1/kv/k?consistency=bounded&max_stale=5s&timeout=7", "", `If-None-Match: "2.3", W/"2.5"`)
	})
	wantStatus(t, r, 200)
	if asked.Consistency != api.Bounded || asked.MaxStale != 5*time.Second || len(asked.Known) != 1 || asked.Known[0].Index != 5 {
		t.Errorf("asked %+v", asked)
	}
	if deadline != 7*time.Second {
		t.Errorf("time left %v, want 7 s", deadline)
	}
	for name, want := range map[string]string{
		"Edgehold-Served-By": "stale", "Edgehold-Age": "2.346", "Age": "2", "Edgehold-Owner": "us-east.1",
		"Edgehold-Version": "2.7", "Server-Timing": "route;dur=1.500, commit;dur=2.000",
	} {
		if header(r, name) != want {
			t.Errorf("%s: %q, want %q", name, header(r, name), want)
		}
	}
}

func TestGetConditions(t *testing.T) {
	h, _ := memoryAPI()
	old := put(t, h, "a", "x")
	v := put(t, h, "a", "y")
	for _, c := range []struct {
		line   string
		status int
	}{
		{`If-None-Match: "` + v + `"`, 304}, {`If-None-Match: W/"` + v + `"`, 304}, {`If-None-Match: *`, 304},
		{`If-None-Match: "` + old + `", "` + v + `"`, 304}, {`If-None-Match: "other" , W/"x", ,"` + v + `"`, 304},
		{`If-None-Match: "` + old + `"`, 200}, {`If-None-Match: "zebra"`, 200}, {`If-None-Match: "0` + v + `"`, 200},
		{`If-Match: "` + v + `"`, 200}, {`If-Match: *`, 200}, {`If-Match: "` + old + `"`, 412}, {`If-Match: W/"` + v + `"`, 412},
		{`If-Match: ` + v, 400}, {`If-None-Match: `, 400}, {`If-None-Match: "a" "b"`, 400}, {`If-None-Match: "open`, 400}, {`If-Match: *, "a"`, 400},
	} {
		r := request(h, "GET", "/v1/kv/a", "", c.line)
		if r.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", c.line, r.StatusCode, c.status)
		}
		if c.status == 304 && (bodyOf(t, r) != "" || header(r, "ETag") != `"`+v+`"` || header(r, "Edgehold-Version") != v) {
			t.Errorf("%s: %v", c.line, r.Header)
		}
		if c.status == 412 {
			wantProblem(t, r, 412, api.CodePreconditionFailed, v)
		}
	}
	wantStatus(t, request(h, "GET", "/v1/kv/none", "", "If-None-Match: *"), 404)
	wantStatus(t, request(h, "GET", "/v1/kv/none", "", "If-Match: *"), 412)
}

func TestPutAndDelete(t *testing.T) {
	h, m := memoryAPI()
	r := request(h, "PUT", "/v1/kv/a", "one")
	wantStatus(t, r, 200)
	if header(r, "ETag") != `"1.1"` || header(r, "Edgehold-Version") != "1.1" || header(r, "Edgehold-Owner") != "memory.1" || header(r, "Edgehold-Served-By") != "owner" {
		t.Errorf("header %v", r.Header)
	}
	if got := bodyOf(t, r); got != `{"key":"a","version":"1.1"}`+"\n" {
		t.Errorf("body %s", got)
	}
	if got := bodyOf(t, request(h, "PUT", "/v1/kv/%ff", "one")); got != `{"key_base64":"/w==","version":"1.2"}`+"\n" {
		t.Errorf("body %s", got)
	}
	r = request(h, "DELETE", "/v1/kv/a", "")
	wantStatus(t, r, 200)
	if header(r, "ETag") != "" || header(r, "Edgehold-Version") != "1.3" {
		t.Errorf("header %v", r.Header)
	}
	wantStatus(t, request(h, "DELETE", "/v1/kv/a", ""), 200)
	if r := request(h, "GET", "/v1/kv/a", ""); r.StatusCode != 404 || header(r, "Edgehold-Version") != "1.3" {
		t.Errorf("after the delete: %d, %v", r.StatusCode, r.Header)
	}
	wantProblem(t, request(h, "PUT", "/v1/kv/a", "x", "Content-Range: bytes 0-0/5"), 400, api.CodeInvalid)
	res, err := storetest.Read(t.Context(), m, &api.ReadRequest{Keys: []api.Key{"a"}})
	if err != nil || res.Entries[0].Exists {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestWriteConditions(t *testing.T) {
	for _, c := range []struct {
		lines           string // "OLD", "NOW" and "GONE" stand for versions
		present, absent int
	}{
		{`If-Match: "NOW"`, 200, 412},
		{`If-Match: "OLD"`, 412, 412},
		{`If-Match: "GONE"`, 412, 200},
		{`If-Match: *`, 200, 412},
		{`If-None-Match: *`, 412, 200},
		{`If-Match: W/"NOW"`, 412, 412},
		{`If-Match: "zebra"`, 412, 412},
		{`If-Match: "zebra", "OLD","NOW"`, 200, 412},
		{"If-Match: \"OLD\"\nIf-Match: \"NOW\"", 200, 412},
		{`If-Match: "OLD", "0.7"`, 412, 412},
		{"If-Match: \"NOW\"\nIf-None-Match: *", 412, 412},
		{"If-Match: \"GONE\"\nIf-None-Match: *", 412, 200},
		{`If-Match: NOW`, 400, 400},
		{`If-None-Match: "NOW"`, 412, 200},
		{`If-None-Match: W/"NOW"`, 412, 200},
		{`If-None-Match: "OLD"`, 200, 200},
		{`If-None-Match: "OLD", "zebra" ,,W/"NOW"`, 412, 200},
		{"If-None-Match: \"NOW\"\nIf-None-Match: \"OLD\"", 412, 200},
		{`If-None-Match: "zebra", W/"x"`, 200, 200},
		{`If-None-Match: "GONE"`, 400, 200}, // the one key has not come so far, the other has it no more
		{`If-None-Match: "OLD", "9.9"`, 400, 400},
		{"If-Match: \"NOW\"\nIf-None-Match: \"OLD\"", 200, 412},
		{"If-Match: \"NOW\"\nIf-None-Match: \"NOW\"", 412, 412},
		{"If-Match: *\nIf-None-Match: \"OLD\"", 200, 412},
		{`If-None-Match: *, "NOW"`, 400, 400},
		{`If-None-Match: NOW`, 400, 400},
		{`If-None-Match: ,`, 400, 400},
		{`If-None-Match: "NOW" "OLD"`, 400, 400},
		{`If-None-Match: w/"NOW"`, 400, 400},
		{`If-Unmodified-Since: Mon, 30 Nov 1999 00:00:00 GMT`, 200, 200}, // there is no date of change
		{`If-Modified-Since: Mon, 30 Nov 2099 00:00:00 GMT`, 200, 200},
		{`If-Match: ` + strings.Repeat(`"NOW",`, 30), 200, 412},
		{`If-Match: ` + manyVersions(17), 400, 400},
	} {
		for _, method := range []string{"PUT", "DELETE"} {
			h, _ := memoryAPI()
			old := put(t, h, "present", "x")
			now := put(t, h, "present", "x")
			put(t, h, "absent", "x")
			gone := header(request(h, "DELETE", "/v1/kv/absent", ""), "Edgehold-Version")
			lines := strings.Split(strings.NewReplacer("OLD", old, "NOW", now, "GONE", gone).Replace(c.lines), "\n")
			for key, want := range map[string]int{"present": c.present, "absent": c.absent} {
				r := request(h, method, "/v1/kv/"+key, "", lines...)
				if r.StatusCode != want {
					t.Errorf("%s %s with %s: status %d, want %d: %s", method, key, c.lines, r.StatusCode, want, bodyOf(t, r))
				}
				if want != 412 {
					continue
				}
				current := map[string]string{"present": now, "absent": gone}[key]
				p := wantProblem(t, r, 412, api.CodePreconditionFailed, current)
				if header(r, "Edgehold-Version") != current || p["version"] != current || (header(r, "ETag") != "") != (key == "present") {
					t.Errorf("%s %s with %s: 412 does not have version %s: %v", method, key, c.lines, current, r.Header)
				}
			}
		}
	}
}

// TestConditionOnAKeyThatNeverWas: its version says nothing to people, so the detail does.
func TestConditionOnAKeyThatNeverWas(t *testing.T) {
	h, _ := memoryAPI()
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		wantProblem(t, request(h, method, "/v1/kv/a", "", "If-Match: *"), 412, api.CodePreconditionFailed, "never written")
	}
}

func manyVersions(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"1.%d",`, i+100)
	}
	return b.String()
}

func TestServerTimingNamesWhoDelayed(t *testing.T) {
	h := newAPI(front.Config{Store: fake{do: func(context.Context, *api.Txn) (*api.TxnResult, error) {
		return &api.TxnResult{Committed: true, Entries: []api.Entry{{Exists: true, Version: api.Version{Epoch: 1, Index: 2}}}, Timing: api.Timing{
			Route: time.Millisecond, Revoke: 4080 * time.Millisecond, Commit: 2500 * time.Microsecond,
			Delayed: []api.Delay{{Node: "eu-edge-1", Wait: 4080 * time.Millisecond}, {Node: "a\"b\\\r\n", Wait: time.Millisecond}},
		}}, nil
	}}}, httpd.Config{})
	r := request(h, "PUT", "/v1/kv/a", "x")
	const want = `route;dur=1.000, revoke;dur=4080.000;desc="eu-edge-1 4080.000ms, ab 1.000ms", commit;dur=2.500`
	if got := header(r, "Server-Timing"); got != want {
		t.Errorf("Server-Timing: %s\nwant:          %s", got, want)
	}
}

func TestIdempotencyKey(t *testing.T) {
	h, _ := memoryAPI()
	const client = "00112233445566778899aabbccddeeff"
	for _, key := range []string{"order-17", `"quoted"`, "eh1-" + client + "-5-2", strings.Repeat("k", 255)} {
		line := "Idempotency-Key: " + key
		first := request(h, "PUT", "/v1/kv/a", "x", line)
		wantStatus(t, first, 200)
		put(t, h, "a", "of another")
		again := request(h, "PUT", "/v1/kv/a", "x", line)
		wantStatus(t, again, 200)
		if header(again, "Edgehold-Version") != header(first, "Edgehold-Version") || header(again, "Edgehold-Replayed") != "true" || header(first, "Edgehold-Replayed") != "" {
			t.Errorf("%s: %v, then %v", key, first.Header, again.Header)
		}
		if got := bodyOf(t, request(h, "GET", "/v1/kv/a", "")); got != "of another" {
			t.Errorf("%s: took effect twice: %q", key, got)
		}
		wantProblem(t, request(h, "PUT", "/v1/kv/a", "other body", line), 409, api.CodeConflict)
		wantProblem(t, request(h, "DELETE", "/v1/kv/a", "", line), 409, api.CodeConflict)
	}
	wantProblem(t, request(h, "PUT", "/v1/kv/a", "x", "Idempotency-Key: "), 400, api.CodeInvalid)
	wantProblem(t, request(h, "PUT", "/v1/kv/a", "x", "Idempotency-Key: a", "Idempotency-Key: b"), 400, api.CodeInvalid)
	wantProblem(t, request(h, "PUT", "/v1/kv/a", "x", "Idempotency-Key: "+strings.Repeat("k", 256)), 413, api.CodeTooLarge, "255", "256")
}

// TestIdempotencyKeyForms: the SDK's form is taken apart, every other text is opaque.
func TestIdempotencyKeyForms(t *testing.T) {
	var got api.RequestID
	h := newAPI(front.Config{Store: fake{do: func(_ context.Context, t *api.Txn) (*api.TxnResult, error) {
		got = t.ID
		return &api.TxnResult{Committed: true, Entries: []api.Entry{{}}}, nil
	}}}, httpd.Config{})
	const client = "00112233445566778899aabbccddeeff"
	for key, numbered := range map[string]bool{
		"eh1-" + client + "-5-2":                    true,
		"eh1-" + client + "-5-5":                    true,
		"eh1-" + client + "-18446744073709551615-0": true,
		"eh1-" + client + "-0-0":                    false, // numbers begin at 1
		"eh1-" + client + "-05-2":                   false,
		"eh1-" + client + "-5":                      false,
		"eh1-" + client + "-5-2-1":                  false,
		"eh1-" + strings.ToUpper(client) + "-5-2":   false,
		"eh1-" + client[1:] + "-5-2":                false,
		"eh1-" + strings.Repeat("0", 32) + "-5-2":   false,
		"eh2-" + client + "-5-2":                    false,
		"anything else":                             false,
	} {
		wantStatus(t, request(h, "DELETE", "/v1/kv/a", "", "Idempotency-Key: "+key), 200)
		if (got.Seq > 0) != numbered || (got.Client.String() == client) != numbered || got.IsZero() {
			t.Errorf("%s: %+v, numbered should be %v", key, got, numbered)
		}
	}
	for _, key := range []string{
		"eh1-" + client + "-5-6",                                            // acknowledged before it was sent
		"eh1-" + client + "-5-4000000000",                                   //
		"eh1-" + api.ClientID([]byte("gateway:12345678")).String() + "-5-2", // a node's own
		api.RequestID{Client: api.ClientID([]byte("gateway:12345678")), Seq: 4e9, AckedBelow: 4e9}.IdempotencyKey(), //
	} {
		wantProblem(t, request(h, "DELETE", "/v1/kv/a", "", "Idempotency-Key: "+key), 400, api.CodeInvalid)
	}
	wantStatus(t, request(h, "DELETE", "/v1/kv/a", ""), 200)
	if !got.IsZero() {
		t.Errorf("no Idempotency-Key gave %+v", got)
	}
}

// TestAlternativesTakeEffectOnce: also a write with several versions in If-Match is done once under its id.
func TestAlternativesTakeEffectOnce(t *testing.T) {
	h, _ := memoryAPI()
	old := put(t, h, "a", "1")
	now := put(t, h, "a", "2")
	lines := []string{`If-Match: "` + old + `", "` + now + `"`, "Idempotency-Key: once"}
	first := request(h, "PUT", "/v1/kv/a", "3", lines...)
	wantStatus(t, first, 200)
	again := request(h, "PUT", "/v1/kv/a", "3", lines...)
	wantStatus(t, again, 200)
	if header(again, "Edgehold-Version") != header(first, "Edgehold-Version") {
		t.Errorf("took effect at %s and at %s", header(first, "Edgehold-Version"), header(again, "Edgehold-Version"))
	}
}

// TestNoneOfThemTakesEffectOnce: a write that must not replace some versions is done once under its id, also if it is repeated when the key
// has its own version.
func TestNoneOfThemTakesEffectOnce(t *testing.T) {
	h, _ := memoryAPI()
	old := put(t, h, "a", "1")
	now := put(t, h, "a", "2")
	refused := []string{`If-None-Match: "` + old + `", "` + now + `"`, "Idempotency-Key: first"}
	wantProblem(t, request(h, "PUT", "/v1/kv/a", "3", refused...), 412, api.CodePreconditionFailed, now)
	lines := []string{`If-None-Match: "` + old + `", W/"0.1"`, "Idempotency-Key: second"}
	first := request(h, "PUT", "/v1/kv/a", "3", lines...)
	wantStatus(t, first, 200)
	again := request(h, "PUT", "/v1/kv/a", "3", lines...)
	wantStatus(t, again, 200)
	if header(again, "Edgehold-Version") != header(first, "Edgehold-Version") || header(again, "Edgehold-Replayed") != "true" {
		t.Errorf("took effect at %s and at %s", header(first, "Edgehold-Version"), header(again, "Edgehold-Version"))
	}
}

// TestRefusedForGood: if a copy of a request is refused since the key has a version that it must not have, or has not reached one, no other
// copy writes, though the key has gone on when that one comes.
func TestRefusedForGood(t *testing.T) {
	h, _ := memoryAPI()
	now := put(t, h, "a", "1")
	has := []string{`If-None-Match: "` + now + `"`, "Idempotency-Key: has"}
	early := []string{`If-None-Match: "` + nextVersion(t, now) + `"`, "Idempotency-Key: early"}
	judge := func() {
		t.Helper()
		wantProblem(t, request(h, "PUT", "/v1/kv/a", "x", has...), 412, api.CodePreconditionFailed, now)
		wantProblem(t, request(h, "PUT", "/v1/kv/a", "x", early...), 400, api.CodeInvalid, now)
	}
	judge()
	for range 3 {
		put(t, h, "a", "2")
	}
	judge()
	wantProblem(t, request(h, "PUT", "/v1/kv/a", "x", early[0], has[1]), 409, api.CodeConflict, "another request")
	if got := bodyOf(t, request(h, "GET", "/v1/kv/a", "")); got != "2" {
		t.Errorf("the key has %q", got)
	}
}

func nextVersion(t *testing.T, text string) string {
	t.Helper()
	v, err := api.ParseVersion(text)
	if err != nil {
		t.Fatal(err)
	}
	v.Index++
	return v.String()
}
