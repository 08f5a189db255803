package httpd

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// debugger writes parts, and ends with an error or without one.
type debugger struct {
	mu    sync.Mutex // a handler may still run when its answer has come
	parts []string
	err   error
}

func (d *debugger) set(parts []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parts, d.err = parts, err
}

func (d *debugger) WriteDebug(_ context.Context, w io.Writer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.parts {
		if _, err := io.WriteString(w, p); err != nil {
			return err
		}
	}
	return d.err
}

// TestDebug answers with what the node writes, also while it refuses all requests for load. An error before the first byte is a problem,
// and a later one cuts the answer off.
func TestDebug(t *testing.T) {
	d := &debugger{parts: []string{"one ", "two"}}
	b := front.New(front.Config{Store: storetest.NewMemory(), Debugger: d, Room: admission.New(admission.Config{Busy: func() bool { return true }})})
	s := httptest.NewServer(New(b, Config{}))
	defer s.Close()
	ask := func(method string) (res *http.Response, body string, err error) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/v1/debug", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if res, err = http.DefaultClient.Do(req); err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		return res, string(text), err
	}
	if res, body, err := ask("GET"); err != nil || res.StatusCode != 200 || body != "one two" || res.Header.Get("Content-Type") != "application/gzip" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v: %+v %q", err, res, body)
	}
	if res, body, err := ask("HEAD"); err != nil || res.StatusCode != 200 || body != "" {
		t.Errorf("%v: %+v %q", err, res, body)
	}
	d.set(d.parts, errors.New("it broke"))
	if _, body, err := ask("GET"); err == nil || body != "one two" {
		t.Errorf("a part looks like the whole: %q", body)
	}
	d.set(nil, api.Errorf(api.CodeUnavailable, "another one is made"))
	if res, body, err := ask("GET"); err != nil || res.StatusCode != 503 || !strings.Contains(body, "another one is made") {
		t.Errorf("%v: %+v %q", err, res, body)
	}
	w := httptest.NewRecorder()
	New(front.New(front.Config{Store: storetest.NewMemory()}), Config{}).ServeHTTP(w, httptest.NewRequest("GET", "/v1/debug", nil))
	if w.Code != 404 {
		t.Errorf("a node without a debug bundle: %d", w.Code)
	}
}
