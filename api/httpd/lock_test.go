package httpd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/lock"
)

type tenure struct {
	ID, Version, TTL, Owner string
	Fence                   uint64
}

func (h tenure) body() string { return fmt.Sprintf(`{"id":%q,"fence":%d}`, h.ID, h.Fence) }

func tenureIn(t *testing.T, r *http.Response) (h tenure) {
	t.Helper()
	wantStatus(t, r, 200)
	if err := json.Unmarshal([]byte(bodyOf(t, r)), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

// closesLocks has the locks of an API close with the test.
func closesLocks(t *testing.T) func(*front.Config) {
	return func(c *front.Config) { t.Cleanup(func() { _ = c.Locks.Close() }) }
}

// TestLockOverHTTP: a lock is taken, shown, renewed, refused to others, given back and taken again; no other request may write its keys.
func TestLockOverHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := memoryAPI(closesLocks(t))
		first := tenureIn(t, request(h, "POST", "/v1/locks/jobs/nightly", `{"ttl":"30s","owner":"alice"}`))
		if first.Fence != 1<<40+1 || first.Version != "1.1" || first.TTL != "30s" || len(first.ID) != 32 {
			t.Errorf("got %+v", first)
		}
		p := wantProblem(t, request(h, "POST", "/v1/locks/jobs%2Fnightly", `{"ttl":"30s","wait":"2s","owner":"bob"}`), 409, api.CodeConflict, "held by alice")
		if p["applied"] != "no" || p["key"] != "jobs/nightly" {
			t.Errorf("%v", p)
		}
		if again := tenureIn(t, request(h, "PUT", "/v1/locks/jobs/nightly", first.body())); again != first {
			t.Errorf("renewed %+v, want %+v", again, first)
		}
		if longer := tenureIn(t, request(h, "PUT", "/v1/locks/jobs/nightly", strings.Replace(first.body(), "}", `,"ttl":"1m"}`, 1))); longer.TTL != "1m0s" {
			t.Errorf("renewed %+v for a minute", longer)
		}
		show := fmt.Sprintf(`{"holder":{"id":%q,"fence":%d,"version":"1.1","ttl":"1m0s","owner":"alice"},"queue":[]}`, first.ID, first.Fence)
		if got := bodyOf(t, request(h, "GET", "/v1/locks/jobs/nightly", "")); got != show+"\n" {
			t.Errorf("shown %s", got)
		}
		entry := lock.Key("jobs/nightly", first.ID)
		wantProblem(t, request(h, "DELETE", "/v1/kv/"+string(entry), ""), 400, api.CodeInvalid, "/v1/locks")
		wantProblem(t, request(h, "PUT", "/v1/kv/"+string(entry)+"?ttl=1h", "x"), 400, api.CodeInvalid, "/v1/locks")
		wantProblem(t, request(h, "POST", "/v1/txn", `{"then":[{"touch":{"key":"a/.lock/b","ttl":"1s"}}]}`), 400, api.CodeInvalid, "/v1/locks")
		guarded := `{"if":[{"key":"` + string(entry) + `","version":"` + first.Version + `"}],"then":[{"put":{"key":"done","value":"x"}}]}`
		if got := bodyOf(t, request(h, "POST", "/v1/txn", guarded)); !strings.Contains(got, `"committed":true`) {
			t.Errorf("a condition on the entry: %s", got)
		}
		for _, want := range []string{"true", "false"} {
			if got := bodyOf(t, request(h, "DELETE", "/v1/locks/jobs/nightly", first.body())); got != `{"released":`+want+"}\n" {
				t.Errorf("released %s, want %s", got, want)
			}
		}
		wantProblem(t, request(h, "PUT", "/v1/locks/jobs/nightly", first.body()), 412, api.CodePreconditionFailed, "not held under this id and fence")
		if got := bodyOf(t, request(h, "POST", "/v1/txn", guarded)); !strings.Contains(got, `"committed":false`) {
			t.Errorf("a condition on the entry of a tenure that is over: %s", got)
		}
		if got := bodyOf(t, request(h, "GET", "/v1/locks/jobs/nightly", "")); got != `{"holder":null,"queue":[]}`+"\n" {
			t.Errorf("shown %s", got)
		}
		one := request(h, "POST", "/v1/locks/jobs/nightly", `{"ttl":"30s"}`, "Idempotency-Key: k")
		second := tenureIn(t, one)
		if again := tenureIn(t, request(h, "POST", "/v1/locks/jobs/nightly", `{"ttl":"30s"}`, "Idempotency-Key: k")); again != second || second.Fence <= first.Fence {
			t.Errorf("%+v, and again %+v, after %+v", second, again, first)
		}
	})
}

// TestLockIsRefused: what makes no sense is refused, with what is wrong.
func TestLockIsRefused(t *testing.T) {
	h, m := memoryAPI()
	id := lock.IDOf("", "")
	for _, c := range []struct{ method, name, body, naming string }{
		{"POST", "a", `{}`, "ttl is missing"}, {"POST", "a", `{"ttl":30}`, "a string"}, {"POST", "a", `{"ttl":"30"}`, "with a unit"},
		{"POST", "a", `{"ttl":"1ms"}`, "from 100ms"}, {"POST", "a", `{"ttl":"1s","wait":"2h"}`, "wait \"2h\""}, {"POST", "a", `{"ttl":"1s","slots":2}`, `"slots"`},
		{"POST", "a", `{"ttl":"1s","wait":"-1s"}`, "wait"}, {"POST", "", `{"ttl":"1s"}`, "name of the lock is empty"}, {"POST", "a/", `{"ttl":"1s"}`, "slash"},
		{"POST", "a/.lock/b", `{"ttl":"1s"}`, "no segment .lock"}, {"PUT", "a", `{"id":"x"}`, "fence is missing"}, {"PUT", "a", `{"id":"x","fence":1}`, `id "x"`},
		{"PUT", "a", `{"id":"` + id + `","fence":-1}`, "fence"}, {"DELETE", "a", `{"id":"` + id + `","fence":1,"ttl":"1s"}`, `"ttl"`}, {"DELETE", "a", `{"fence":1}`, "id is missing"},
		{"GET", "a/", "", "slash"},
	} {
		wantProblem(t, request(h, c.method, "/v1/locks/"+c.name, c.body), 400, api.CodeInvalid, c.naming)
	}
	wantProblem(t, request(h, "POST", "/v1/locks/"+strings.Repeat("n", 1025), `{"ttl":"1s"}`), 413, api.CodeTooLarge, "1024")
	wantProblem(t, request(newAPI(front.Config{Store: m}, httpd.Config{}), "GET", "/v1/locks/a", ""), 404, api.CodeNotFound)
}

// TestLockWaits: a request that waits holds no place of others, gets the lock when it is given back, and leaves when its client goes.
func TestLockWaits(t *testing.T) {
	room := admission.New(admission.Config{Shares: admission.Shares{admission.Request: 2}})
	h, m := memoryAPI(func(c *front.Config) { c.Room = room })
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	first := tenureIn(t, request(h, "POST", "/v1/locks/l", `{"ttl":"1h"}`))
	post := func(ctx context.Context) chan *http.Response {
		done := make(chan *http.Response, 1)
		req, err := http.NewRequestWithContext(ctx, "POST", s.URL+"/v1/locks/l", strings.NewReader(`{"ttl":"1h","wait":"1m"}`))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			r, err := http.DefaultClient.Do(req)
			if err != nil {
				r = nil
			}
			done <- r
		}()
		return done
	}
	queued := func(n int) {
		t.Helper()
		for range 1000 {
			s, err := lock.Show(t.Context(), m, "l")
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Queue) == n {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatalf("the queue does not become %d long", n)
	}
	gone, leave := context.WithCancel(t.Context())
	left := post(gone)
	queued(1)
	next := post(t.Context())
	queued(2)
	leave()
	if <-left != nil {
		t.Error("a request without a client is answered")
	}
	queued(1)
	wantStatus(t, request(h, "PUT", "/v1/kv/a", "x"), 200) // there is room for two requests
	if got := bodyOf(t, request(h, "DELETE", "/v1/locks/l", first.body())); !strings.Contains(got, "true") {
		t.Fatal(got)
	}
	r := <-next
	if r == nil {
		t.Fatal("no answer")
	}
	defer func() { _ = r.Body.Close() }()
	raw, err := io.ReadAll(r.Body)
	var now tenure
	if err := json.Unmarshal(raw, &now); err != nil || r.StatusCode != 200 || now.Fence <= first.Fence {
		t.Errorf("%d %s, %v", r.StatusCode, raw, err)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestLockEndsWithTheNode: a request that waits is answered when its node closes.
func TestLockEndsWithTheNode(t *testing.T) {
	h, m := memoryAPI()
	tenureIn(t, request(h, "POST", "/v1/locks/l", `{"ttl":"1h"}`))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, url := httpd.Serve(l, httpd.ServerConfig{Handler: h}), "http://"+l.Addr().String()
	answered := make(chan int, 1)
	go func() {
		r, err := http.Post(url+"/v1/locks/l", "application/json", strings.NewReader(`{"ttl":"1h","wait":"1m"}`))
		if err != nil {
			answered <- 0
			return
		}
		_ = r.Body.Close()
		answered <- r.StatusCode
	}()
	for {
		if s, err := lock.Show(t.Context(), m, "l"); err != nil || len(s.Queue) == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	begun := time.Now()
	if err := s.Close(10 * time.Second); err != nil {
		t.Error(err)
	}
	if status := <-answered; status != 503 || time.Since(begun) > 5*time.Second {
		t.Errorf("status %d after %v", status, time.Since(begun))
	}
}
