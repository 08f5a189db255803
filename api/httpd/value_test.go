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
)

// TestValueLengths: every answer with a value has its length, whether the front or net/http counts it, and is complete.
func TestValueLengths(t *testing.T) {
	for name, protocols := range map[string]func(*http.Protocols){"HTTP/1.1": http1, "HTTP/2.0": http2} {
		for _, size := range []int{0, 1, 256, 2047, 2048, 2049, 5000, 100_000} {
			h, _ := memoryAPI()
			value := strings.Repeat("v", size)
			put(t, h, "k", value)
			inBubble(t, h, func(t *testing.T, p *pipes, _ *httpd.Server) {
				c := p.over(protocols)
				defer c.CloseIdleConnections()
				for _, method := range []string{"GET", "HEAD", "GET"} {
					r := ask(t, c, method, "http://edge/v1/kv/k")
					if r.Proto != name || r.StatusCode != http.StatusOK || r.ContentLength != int64(size) || len(r.TransferEncoding) != 0 {
						t.Errorf("%s %s of %d bytes: status %d, length %d, encoding %v", name, method, size, r.StatusCode, r.ContentLength, r.TransferEncoding)
					}
					if got := bodyOf(t, r); method == "GET" && got != value || method == "HEAD" && got != "" {
						t.Errorf("%s %s of %d bytes: got %d", name, method, size, len(got))
					}
					_ = r.Body.Close()
				}
			})
		}
	}
}

func ask(t *testing.T, c *http.Client, method, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestReadInto: a Store that can read into memory of the caller's is asked so, with all that the request says; no request
// sees the answer to another, and an error reveals nothing of what was there before.
func TestReadInto(t *testing.T) {
	s := &intoStore{}
	h := newAPI(front.Config{Store: s}, httpd.Config{})
	for i, key := range []string{"a", "b", "absent", "broken", "c"} {
		r := request(h, "GET", "/v1/kv/"+key+"?timeout=3s", "", `If-None-Match: "1.9"`)
		switch key {
		case "absent":
			wantProblem(t, r, 404, api.CodeNotFound)
			continue
		case "broken":
			p := wantProblem(t, r, 503, api.CodeUnavailable)
			if p["version"] != nil || header(r, "Edgehold-Version") != "" || header(r, "Edgehold-Served-By") != "" {
				t.Errorf("an error with %v, header %v", p, r.Header)
			}
			continue
		}
		wantStatus(t, r, 200)
		if v := fmt.Sprintf("1.%d", i+1); bodyOf(t, r) != "value of "+key || header(r, "Edgehold-Version") != v || header(r, "ETag") != `"`+v+`"` {
			t.Errorf("%s: header %v", key, r.Header)
		}
		if header(r, "Edgehold-Served-By") != "lease" || header(r, "Edgehold-Owner") != "a.1" {
			t.Errorf("%s: header %v", key, r.Header)
		}
		if s.known != (api.Version{Epoch: 1, Index: 9}) || s.left <= 0 || s.left > 3*time.Second {
			t.Errorf("%s: known %v, time left %v", key, s.known, s.left)
		}
	}
}

// intoStore answers each read with the next version.
type intoStore struct {
	fake
	reads uint64
	known api.Version
	left  time.Duration
}

func (s *intoStore) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	s.reads++
	s.known = r.Known[0]
	d, _ := ctx.Deadline()
	s.left = time.Until(d)
	e := api.Entry{Key: r.Keys[0], Version: api.Version{Epoch: 1, Index: s.reads}, Exists: r.Keys[0] != "absent"}
	if e.Exists {
		e.Value = []byte("value of " + string(e.Key))
	}
	*out = api.ReadResult{Entries: append(out.Entries[:0], e), ServedBy: api.ServedByLease, Group: "a.1"}
	if e.Key == "broken" {
		return api.Errorf(api.CodeUnavailable, "broken")
	}
	return nil
}
