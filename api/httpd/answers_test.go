package httpd_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
)

// fixedStore answers reads of known keys from memory, under a lease.
func fixedStore(group api.GroupID) *storeOf {
	return &storeOf{group: group, values: map[api.Key]string{
		"small": "HTTP/1.1 200 OK\r\n\r\n", "other": strings.Repeat("o", 2048), "large": strings.Repeat("l", 5000), "empty": "",
	}}
}

// storeOf is a Store of values that never change.
type storeOf struct {
	fake
	group  api.GroupID
	values map[api.Key]string
}

func (s *storeOf) Read(_ context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	v, ok := s.values[r.Keys[0]]
	e := api.Entry{Key: r.Keys[0], Value: []byte(v), Version: api.Version{Epoch: 3, Index: 14}, Exists: ok}
	if r.Consistency == api.Stale { // so that the question is seen in the answer
		e.Version.Index = 13
	}
	*out = api.ReadResult{Entries: append(out.Entries[:0], e), ServedBy: api.ServedByLease, Group: s.group}
	return nil
}

// question is a request as it is sent.
type question struct{ method, path, version, line string }

func (q question) raw() string {
	return fmt.Sprintf("%s %s %s\r\nHost: edge\r\n%s\r\n", q.method, q.path, q.version, q.line)
}

// TestAnswersOnOneConnection: on one connection, whose requests are all sent at once, each answer has the status, headers and body
// that the handler gives to a recorder.
func TestAnswersOnOneConnection(t *testing.T) {
	for name, c := range map[string]front.Config{
		"all names":               {Node: "n-1", Store: fixedStore("a.1")},
		"no names":                {Store: fixedStore("")},
		"names that are no words": {Node: "n 1", Store: fixedStore("a\r\nb")},
		"an owner with spaces":    {Node: "n-1", Store: fixedStore("a 1")},
	} {
		t.Run(name, func(t *testing.T) {
			h := newAPI(c, httpd.Config{})
			sent := mixedRequests()
			inBubble(t, h, func(t *testing.T, p *pipes, _ *httpd.Server) {
				conn := p.dial()
				defer func() { _ = conn.Close() }()
				go func() {
					for _, q := range sent {
						_, _ = io.WriteString(conn, q.raw()) // what does not arrive has no answer
					}
				}()
				in := bufio.NewReader(conn)
				for _, q := range sent {
					req := httptest.NewRequest(q.method, q.path, nil)
					r, err := http.ReadResponse(in, req)
					if err != nil {
						t.Fatalf("%v: %v", q, err)
					}
					body := bodyOf(t, r)
					sameAsRecorded(t, h, q, r, body)
				}
			})
		})
	}
}

// mixedRequests follow each other in such a way that a part of one answer could get into another.
func mixedRequests() []question {
	return []question{
		{"GET", "/v1/kv/small", "HTTP/1.1", ""}, {"GET", "/v1/kv/absent", "HTTP/1.1", ""}, {"GET", "/v1/kv/small", "HTTP/1.1", ""},
		{"GET", "/v1/kv/large", "HTTP/1.1", ""}, {"GET", "/v1/kv/small", "HTTP/1.1", ""}, {"HEAD", "/v1/kv/small", "HTTP/1.1", ""},
		{"GET", "/v1/kv/other", "HTTP/1.1", ""}, {"GET", "/v1/kv/small", "HTTP/1.1", "If-None-Match: *\r\n"},
		{"GET", "/v1/kv/empty", "HTTP/1.1", ""}, {"GET", "/v1/kv/other", "HTTP/1.1", ""}, {"GET", "/livez", "HTTP/1.1", ""},
		{"GET", "/v1/kv/small?timeout=nonsense", "HTTP/1.1", ""}, {"GET", "/v1/kv/small", "HTTP/1.0", "Connection: keep-alive\r\n"},
		{"GET", "/v1/kv/small", "HTTP/1.1", "Connection: close\r\n"},
	}
}

// sameAsRecorded compares an answer with what a recorder got.
func sameAsRecorded(t *testing.T, h http.Handler, q question, r *http.Response, body string) {
	t.Helper()
	want := request(h, q.method, q.path, "", splitLine(q.line)...)
	if wantBody := bodyOf(t, want); r.StatusCode != want.StatusCode || body != wantBody {
		t.Fatalf("%v: status %d, %q, want %d, %q", q, r.StatusCode, body, want.StatusCode, wantBody)
	}
	got, wanted := canonical(r.Header), canonical(want.Header)
	for _, h := range []http.Header{got, wanted} {
		maps.DeleteFunc(h, func(name string, _ []string) bool {
			return name == "Date" || name == "Content-Length" || name == "Connection"
		})
	}
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("%v: header\n%v, want\n%v", q, got, wanted)
	}
}

func splitLine(line string) []string {
	if line == "" {
		return nil
	}
	return []string{strings.TrimSpace(line)}
}

// canonical has the names as a reader has them, and values as net/http writes them.
func canonical(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		for _, v := range values {
			out.Add(name, strings.NewReplacer("\r", " ", "\n", " ").Replace(v))
		}
	}
	return out
}

// TestRequestsDoNotMix: what one request leaves behind, whatever it was, no other sees.
func TestRequestsDoNotMix(t *testing.T) {
	s := &storeOf{group: "a.1", values: map[api.Key]string{}}
	for i := range 20 {
		s.values[api.Key(fmt.Sprint("k", i))] = strings.Repeat(fmt.Sprint(i, " "), 10*i+1)
	}
	h := newAPI(front.Config{Node: "n-1", Store: s}, httpd.Config{})
	inBubble(t, h, func(t *testing.T, p *pipes, _ *httpd.Server) {
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				conn := p.dial()
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				for range 20 {
					plain := question{"GET", fmt.Sprint("/v1/kv/k", i), "HTTP/1.1", ""}
					bad, stale, known := plain, plain, plain
					bad.path += "?timeout=nonsense"
					stale.path += "?timeout=3s&consistency=stale"
					known.line = "If-None-Match: \"3.14\"\r\n"
					expect(t, conn, in, stale, 200, `"3.13"`, s.values[api.Key(fmt.Sprint("k", i))])
					expect(t, conn, in, plain, 200, `"3.14"`, s.values[api.Key(fmt.Sprint("k", i))])
					expect(t, conn, in, bad, 400, "", "")
					expect(t, conn, in, known, 304, `"3.14"`, "")
				}
			})
		}
		all.Wait()
	})
}

// expect asks; the body matters only with 200.
func expect(t *testing.T, conn net.Conn, in *bufio.Reader, q question, status int, etag, body string) {
	t.Helper()
	if _, err := io.WriteString(conn, q.raw()); err != nil {
		t.Error(err)
		return
	}
	r, err := http.ReadResponse(in, httptest.NewRequest(q.method, q.path, nil))
	if err != nil {
		t.Errorf("%v: %v", q, err)
		return
	}
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != status || header(r, "ETag") != etag || status == 200 && string(b) != body {
		t.Errorf("%v: status %d, ETag %s, %d bytes, want %d, %s, %d (%v)", q, r.StatusCode, header(r, "ETag"), len(b), status, etag, len(body), err)
	}
}
