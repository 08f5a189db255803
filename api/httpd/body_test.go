package httpd_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
)

// endless fails the test if it is read, or else never ends.
type endless struct {
	t    *testing.T
	read int
	max  int
}

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	if e.read > e.max {
		e.t.Errorf("%d bytes were read, at most %d were expected", e.read, e.max)
		return 0, io.EOF
	}
	return len(p), nil
}

func TestValueLimit(t *testing.T) {
	h, _ := memoryAPI()
	largest := strings.Repeat("v", api.MaxValueBytes)
	wantStatus(t, request(h, "PUT", "/v1/kv/a", largest), 200)
	wantProblem(t, request(h, "PUT", "/v1/kv/a", largest+"v"), 413, api.CodeTooLarge, "1048576", "1048577")
	if got := bodyOf(t, request(h, "GET", "/v1/kv/a", "")); got != largest {
		t.Errorf("the value has %d bytes", len(got))
	}
	t.Run("declared", func(t *testing.T) {
		r := httptest.NewRequest("PUT", "/v1/kv/a", &endless{t: t})
		r.ContentLength = 10 << 30
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		wantProblem(t, w.Result(), 413, api.CodeTooLarge, "1048576", "10737418240")
	})
	t.Run("undeclared", func(t *testing.T) {
		r := httptest.NewRequest("PUT", "/v1/kv/a", &endless{t: t, max: 4 << 20})
		r.ContentLength = -1
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		wantProblem(t, w.Result(), 413, api.CodeTooLarge, "1048576", "1048577")
	})
	t.Run("undeclared and small", func(t *testing.T) {
		r := httptest.NewRequest("PUT", "/v1/kv/b", strings.NewReader("chunks"))
		r.ContentLength = -1
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		wantStatus(t, w.Result(), 200)
		if got := bodyOf(t, request(h, "GET", "/v1/kv/b", "")); got != "chunks" {
			t.Errorf("value %q", got)
		}
	})
	t.Run("cut short", func(t *testing.T) {
		r := httptest.NewRequest("PUT", "/v1/kv/c", strings.NewReader("short"))
		r.ContentLength = 10
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		wantProblem(t, w.Result(), 400, api.CodeInvalid, "5 bytes")
		wantStatus(t, request(h, "GET", "/v1/kv/c", ""), 404)
	})
}

// TestBusy: while the processors cannot keep up, what is beyond a calm number is refused at once, and nothing else.
func TestBusy(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var busy atomic.Bool
	h := newAPI(front.Config{Store: fake{read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
		entered <- struct{}{}
		<-leave
		return nil, errors.New("done")
	}}, Room: admission.New(admission.Config{Calm: 1, Busy: busy.Load})}, httpd.Config{})
	var asking sync.WaitGroup
	begin := func() {
		asking.Go(func() { request(h, "GET", "/v1/kv/a", "") })
		<-entered
	}
	begin()
	begin() // it is not busy
	busy.Store(true)
	r := request(h, "GET", "/v1/kv/a", "")
	wantProblem(t, r, 503, api.CodeUnavailable, "cannot keep up")
	if header(r, "Retry-After") != "1" {
		t.Errorf("Retry-After %q", header(r, "Retry-After"))
	}
	wantStatus(t, request(h, "GET", "/livez", ""), 200)
	close(leave)
	asking.Wait()
	begin() // few enough, busy or not
	asking.Wait()
}

// TestOverload: beyond its bounds the API refuses at once, and still answers probes.
func TestOverload(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	h := newAPI(front.Config{Store: fake{read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
		entered <- struct{}{}
		<-leave
		return nil, errors.New("done")
	}}, Room: admission.New(admission.Config{SlowAfter: time.Hour, Shares: admission.Shares{admission.Request: 2}})}, httpd.Config{})
	done := make(chan struct{})
	for range 2 {
		go func() {
			request(h, "GET", "/v1/kv/a", "")
			done <- struct{}{}
		}()
		<-entered
	}
	for range 3 {
		r := request(h, "GET", "/v1/kv/a", "")
		wantProblem(t, r, 503, api.CodeUnavailable, "2 requests")
		if header(r, "Retry-After") != "1" {
			t.Errorf("Retry-After %q", header(r, "Retry-After"))
		}
	}
	wantStatus(t, request(h, "GET", "/livez", ""), 200)
	close(leave)
	<-done
	<-done
	go func() { <-entered }()
	wantProblem(t, request(h, "GET", "/v1/kv/a", ""), 500, api.CodeInternal)
}

func TestBodiesHaveBoundedMemory(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	h := newAPI(front.Config{Store: fake{do: func(context.Context, *api.Txn) (*api.TxnResult, error) {
		entered <- struct{}{}
		<-leave
		return nil, api.CodeConflict
	}}, Room: admission.New(admission.Config{Bytes: 1000})}, httpd.Config{})
	done := make(chan struct{})
	go func() {
		request(h, "PUT", "/v1/kv/a", strings.Repeat("x", 600))
		close(done)
	}()
	<-entered
	wantProblem(t, request(h, "PUT", "/v1/kv/b", strings.Repeat("x", 401)), 503, api.CodeUnavailable, "1000 bytes")
	close(leave)
	<-done
	go func() { <-entered }()
	wantProblem(t, request(h, "PUT", "/v1/kv/b", strings.Repeat("x", 1000)), 409, api.CodeConflict)
}
