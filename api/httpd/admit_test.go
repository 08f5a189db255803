package httpd_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

var full = &api.Error{Code: api.CodeUnavailable, Hint: "the owner is full", RetryAfter: 1500e6}

// fullAPI is the API of a node whose owner takes no writes and no reads by quorum. asked is what the owner is asked about last.
func fullAPI(t *testing.T) (h http.Handler, asked *string) {
	asked = new(string)
	return newAPI(front.Config{Store: fake{
		read: func(_ context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
			return &api.ReadResult{Entries: make([]api.Entry, len(q.Keys))}, nil
		},
		do: func(context.Context, *api.Txn) (*api.TxnResult, error) {
			t.Error("a write was let in")
			return nil, api.CodeInternal
		},
	}, Classify: func(k api.Key, writes bool, c api.Consistency, _ int) (admission.Class, *api.Error) {
		*asked = fmt.Sprint(k, " ", writes, " ", c)
		if writes || c == api.Quorum {
			return admission.Request, full
		}
		return admission.Leased, nil
	}}, httpd.Config{}), asked
}

// TestFullOwner: a request whose owner has too much to do waits for a second and is then refused, before anything is done for
// it; what is asked is what the request asks for.
func TestFullOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, asked := fullAPI(t)
		refusedRequests(t, h, asked)
		wantProblem(t, request(h, "PUT", "/v1/kv/k?nonsense=1", ""), 400, api.CodeInvalid)
		wantProblem(t, request(h, "GET", "/v1/kv/k", ""), 404, api.CodeNotFound) // it was asked
		wantProblem(t, request(h, "GET", "/v1/kv/k?consistency=stale", ""), 404, api.CodeNotFound)
		if *asked != "k false stale" {
			t.Errorf("asked about %s", *asked)
		}
		wantProblem(t, request(h, "GET", "/v1/kv/k", ""), 404, api.CodeNotFound)
		if *asked != "k false linearizable" {
			t.Errorf("asked about %s", *asked)
		}
	})
}

func refusedRequests(t *testing.T, h http.Handler, asked *string) {
	began := time.Now()
	r := request(h, "PUT", "/v1/kv/some/key", "v")
	wantProblem(t, r, 503, api.CodeUnavailable, "the owner is full")
	if header(r, "Retry-After") != "2" || header(r, "Cache-Control") != "no-store" || header(r, "Content-Type") != "application/problem+json" {
		t.Errorf("the headers are %v", r.Header)
	}
	if *asked != "some/key true linearizable" {
		t.Errorf("asked about %s", *asked)
	}
	if took := time.Since(began); took != admission.MaxWait {
		t.Errorf("refused after %v", took)
	}
	for key, applied := range map[string]string{
		"":         "no",
		"order-17": "unknown", // it may have been sent before
		"eh1-00112233445566778899aabbccddeeff-5-2": "no", // of a client that keeps account of what it sends
	} {
		var lines []string
		if key != "" {
			lines = []string{"Idempotency-Key: " + key}
		}
		r := request(h, "PUT", "/v1/kv/some/key", "v", lines...)
		if body := bodyOf(t, r); r.StatusCode != 503 || header(r, "Retry-After") != "2" || !strings.Contains(body, `"applied":"`+applied+`"`) {
			t.Errorf("under the key %q it is refused with %d: %s", key, r.StatusCode, body)
		}
	}
	wantProblem(t, request(h, "DELETE", "/v1/kv/k", ""), 503, api.CodeUnavailable, "the owner is full")
	wantProblem(t, request(h, "GET", "/v1/kv/k?consistency=quorum", ""), 503, api.CodeUnavailable, "the owner is full")
}

// TestFullOwnerOfStream: a call of a stream is refused at once, as the others of its connection do not wait for it.
func TestFullOwnerOfStream(t *testing.T) {
	h, asked := fullAPI(t)
	c, _ := upgrade(t, h)
	for range 20 {
		_, err := c.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "some/key"}}})
		if e := api.AsError(err); e == nil || e.Code != api.CodeUnavailable || e.Hint != full.Hint || e.RetryAfter != full.RetryAfter {
			t.Fatalf("a write on a stream: %v", err)
		}
		if *asked != "some/key true linearizable" {
			t.Errorf("asked about %s", *asked)
		}
	}
	if _, err := storetest.Read(t.Context(), c, &api.ReadRequest{Keys: []api.Key{"k"}}); err != nil {
		t.Errorf("a read on a stream: %v", err)
	}
}

// TestWaitToBeLetIn: a request that came when there was no room is served as soon as there is; one that waits when the server
// begins to close is refused at once.
func TestWaitToBeLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var room atomic.Bool
		h, _ := memoryAPI(func(c *front.Config) {
			c.Classify = func(api.Key, bool, api.Consistency, int) (admission.Class, *api.Error) {
				if room.Load() {
					return admission.Request, nil
				}
				return admission.Request, full
			}
		})
		p := newPipes()
		s := httpd.Serve(p, httpd.ServerConfig{Handler: h})
		began := time.Now()
		time.AfterFunc(300*time.Millisecond, func() { room.Store(true) })
		wantStatus(t, exchangeOn(t, p.dial(), getNone), 404)
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("served after %v", took)
		}
		room.Store(false)
		var took time.Duration
		var waiting sync.WaitGroup
		waiting.Go(func() {
			r := exchangeOn(t, p.dial(), getNone)
			took = time.Since(began)
			if wantStatus(t, r, 503); !r.Close {
				t.Errorf("refused with %v", r.Header)
			}
		})
		synctest.Wait()
		began = time.Now()
		if err := s.Close(5 * time.Second); err != nil {
			t.Error(err)
		}
		if waiting.Wait(); took != 0 {
			t.Errorf("refused after %v", took)
		}
	})
}
