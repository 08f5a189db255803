package kvconnect

import (
	"testing"

	"github.com/edgehold/edgehold/api"
)

// FuzzRequest: whatever comes as the body of a request is answered or refused for good, is never a fault, and touches no key beside the
// database.
func FuzzRequest(f *testing.F) {
	f.Add(byte(0), []byte(`{"supportedVersions":[1,2,3]}`))
	f.Add(byte(1), readMessage(rng{start: k("a")}, rng{"\x00", "\xff", 5, true}))
	f.Add(byte(2), writeMessage([]chk{{k("a"), ""}, {k("b"), "0123456789"}}, put(k("a"), "x"), putInt(k("b"), 1), sum(k("b"), 2), del(k("c"))))
	f.Add(byte(2), writeMessage(nil, change{kind: kindSet, key: k("a"), value: "x", encoding: encodingBytes, expireAt: 1 << 60}))
	f.Fuzz(func(t *testing.T, route byte, body []byte) {
		c := newClient(t)
		c.do(putInt(k("b"), 1), put(k("v"), "x"))
		var status int
		var answer []byte
		switch route % 3 {
		case 0:
			status = c.post("/kvconnect/app", body).StatusCode
		case 1:
			status, answer = c.call(routeRead, body)
		default:
			status, answer = c.call(routeWrite, body)
		}
		if status != 200 && (status < 400 || status >= 500) || status == 409 {
			t.Errorf("it is answered %d: %s", status, answer)
		}
		outside, err := c.m.List(t.Context(), &api.ListRequest{Range: api.Range{End: "deno/app/"}})
		above, err2 := c.m.List(t.Context(), &api.ListRequest{Range: api.Range{Start: "deno/app0"}})
		if err != nil || err2 != nil || len(outside.Entries)+len(above.Entries) > 0 {
			t.Errorf("it has written %v and %v beside the database: %v, %v", outside.Entries, above.Entries, err, err2)
		}
	})
}

// FuzzWatch: whatever comes as the body of a watch is parsed or refused.
func FuzzWatch(f *testing.F) {
	f.Add(appendMessage(nil, 1, func(b []byte) []byte { return appendBytes(b, 1, []byte(k("a"))) }))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parseWatch(body)
		if err == nil && len(keys) > maxWatched || err != nil && api.CodeOf(err) != api.CodeInvalid && api.CodeOf(err) != api.CodeTooLarge {
			t.Errorf("%d keys, %v", len(keys), err)
		}
	})
}
