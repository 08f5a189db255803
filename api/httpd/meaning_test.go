package httpd_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestBodyIsNotAsItStands: a body whose header says that it is coded, or a part, is refused instead of stored without that.
func TestBodyIsNotAsItStands(t *testing.T) {
	h, _ := memoryAPI(func(c *front.Config) { c.Admin = &fakeAdmin{} })
	put(t, h, "a", "before")
	for _, to := range []struct{ method, path, body string }{
		{"PUT", "/v1/kv/a", "x"}, {"PUT", "/v1/kv/a", ""},
		{"POST", "/v1/txn", `{"then":[{"put":{"key":"a","value":"x"}}]}`}, {"POST", "/v1/cluster/placement", `{"prefix":"a","region":"r"}`},
	} {
		for _, coding := range []string{"gzip", "deflate", "br", "GZIP", "gzip, identity", "identity,gzip", "x-nonsense", "identity\nContent-Encoding: br"} {
			r := request(h, to.method, to.path, to.body, strings.Split("Content-Encoding: "+coding, "\n")...)
			wantProblem(t, r, 415, api.CodeInvalid, "without it")
			if got := header(r, "Accept-Encoding"); got != "identity" {
				t.Errorf("%s %s: Accept-Encoding %q", to.path, coding, got)
			}
		}
		wantProblem(t, request(h, to.method, to.path, to.body, "Content-Range: bytes 0-0/5"), 400, api.CodeInvalid, "Content-Range")
	}
	if got := bodyOf(t, request(h, "GET", "/v1/kv/a", "")); got != "before" {
		t.Errorf("the value is %q", got)
	}
	for _, coding := range []string{"identity", "IDENTITY", "", " identity , identity"} {
		wantStatus(t, request(h, "PUT", "/v1/kv/a", "after", "Content-Encoding: "+coding), 200)
	}
}

// TestConditionsOfNoKey: a condition in the header of a request for no single key is refused, not ignored.
func TestConditionsOfNoKey(t *testing.T) {
	h, _ := memoryAPI(func(c *front.Config) { c.Admin = &fakeAdmin{} })
	for _, line := range []string{`If-Match: "1.1"`, "If-Match: *", "If-None-Match: *"} {
		name, _, _ := strings.Cut(line, ":")
		wantProblem(t, request(h, "POST", "/v1/txn", `{"then":[{"put":{"key":"a","value":"x"}}]}`, line), 400, api.CodeInvalid, name, `{"if":[`)
		wantProblem(t, request(h, "POST", "/v1/cluster/placement", `{"prefix":"a","region":"r"}`, line), 400, api.CodeInvalid, name)
	}
	wantStatus(t, request(h, "GET", "/v1/kv/a", ""), 404)
}

// TestWeakTags: a weak tag in If-Match never matches, and the answer says that this is why.
func TestWeakTags(t *testing.T) {
	h, _ := memoryAPI()
	old := put(t, h, "a", "x")
	v := put(t, h, "a", "y")
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		for _, tags := range []string{`W/"` + v + `"`, `"` + old + `", W/"` + v + `"`, `W/"zebra"`} {
			p := wantProblem(t, request(h, method, "/v1/kv/a", "", "If-Match: "+tags), 412, api.CodePreconditionFailed, "weak tags never match", "version "+v)
			if p["version"] != v {
				t.Errorf("%s: version %v", tags, p["version"])
			}
		}
		p := wantProblem(t, request(h, method, "/v1/kv/a", "", `If-Match: "`+old+`"`), 412, api.CodePreconditionFailed)
		if strings.Contains(p["detail"].(string), "weak") {
			t.Errorf("%s: %v", method, p["detail"])
		}
	}
	wantStatus(t, request(h, "PUT", "/v1/kv/a", "z", `If-Match: W/"`+old+`", "`+v+`"`), 200)
}

// TestByteOrderMark: the mark that some editors put before JSON is skipped, there only.
func TestByteOrderMark(t *testing.T) {
	admin := &fakeAdmin{}
	h, _ := memoryAPI(func(c *front.Config) { c.Admin = admin })
	const mark = "\ufeff"
	wantStatus(t, request(h, "POST", "/v1/txn", mark+`{"then":[{"put":{"key":"a","value":"`+mark+`x"}}]}`), 200)
	wantStatus(t, request(h, "POST", "/v1/cluster/placement", mark+`{"prefix":"a","region":"r"}`), 200)
	if got := bodyOf(t, request(h, "GET", "/v1/kv/a", "")); got != mark+"x" {
		t.Errorf("the value is %q", got)
	}
	wantProblem(t, request(h, "POST", "/v1/txn", mark+mark+`{"then":[{"get":{"key":"a"}}]}`), 400, api.CodeInvalid, "byte 3")
	wantProblem(t, request(h, "POST", "/v1/txn", mark), 400, api.CodeInvalid, "an object")
}

// TestRequestsByHand: what clients send that are no library gets an answer in words.
func TestRequestsByHand(t *testing.T) {
	for name, serve := range map[string]func(http.Handler) http.Handler{
		"the handler alone": func(h http.Handler) http.Handler { return h },
		"another around it": func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, m := memoryAPI()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := httpd.Serve(l, httpd.ServerConfig{Handler: serve(h)})
			defer func() { _ = s.Close(time.Second) }()
			for _, c := range []struct {
				says   string
				parts  []string // sent one after the other, the last before the client's end
				status []int    // of the answers
				detail string   // in the last one
			}{
				{"an empty line within a header is its end", []string{"GET /livez HTTP/1.1\r\nHost: e", "\r\n\r\n"}, []int{200}, ""},
				{"small letters", []string{"get /livez HTTP/1.1\r\nHost: e\r\n\r\n"}, []int{405}, "capital letters: GET"},
				{"small letters, to write", []string{"put /v1/kv/cut HTTP/1.1\r\nHost: e\r\nContent-Length: 1\r\n\r\nx"}, []int{405}, "capital letters: PUT"},
				{"no method at all", []string{"patch /v1/kv/cut HTTP/1.1\r\nHost: e\r\n\r\n"}, []int{405}, "GET, HEAD, PUT, DELETE"},
				{"another protocol", []string{"*1\r\n$4\r\nPING\r\n"}, []int{400}, ""},
				{"a body cut short", []string{"PUT /v1/kv/cut HTTP/1.1\r\nHost: e\r\nContent-Length: 10\r\n\r\nabc"}, []int{400}, "ended early or is malformed: 3 bytes"},
				{"chunks cut short", []string{"PUT /v1/kv/cut HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"}, []int{400}, "ended early"},
				{"an unknown transfer coding", []string{"PUT /v1/kv/cut HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"}, []int{501}, "transfer encoding"},
				{"an unknown expectation", []string{"PUT /v1/kv/cut HTTP/1.1\r\nHost: e\r\nExpect: the-best\r\nContent-Length: 1\r\n\r\nx"}, []int{417}, ""},
			} {
				got, detail := askByHand(t, l.Addr().String(), c.parts)
				if len(got) != len(c.status) || got[0] != c.status[0] || got[len(got)-1] != c.status[len(got)-1] || !strings.Contains(detail, c.detail) {
					t.Errorf("%s: %v, %q; want %v, %q", c.says, got, detail, c.status, c.detail)
				}
			}
			if r, err := storetest.Read(t.Context(), m, &api.ReadRequest{Keys: []api.Key{"cut"}}); err != nil || r.Entries[0].Exists {
				t.Errorf("it was written: %v, %v", r, err)
			}
		})
	}
}

// askByHand sends the parts and returns the statuses of all answers and what the last one says.
func askByHand(t *testing.T, addr string, parts []string) (status []int, last string) {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if _, err := io.WriteString(conn, p); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond) // so that it is read by itself
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewReader(conn); ; {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			return append(status, make([]int, max(0, 1-len(status)))...), last
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		status, last = append(status, r.StatusCode), string(body)
	}
}
