package txn

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestAppliedOfARequest sends a request that is carried out and whose answer is lost. It sends the request again under
// its opaque key through a gateway that cannot reach the groups. That gateway does not know whether the request was
// applied, and must report that and nothing else. A call without a key is judged by itself.
func TestAppliedOfARequest(t *testing.T) {
	for _, other := range []string{"us/b", "eu/b"} { // in one group, in two
		inWorld(t, 1, func(t *testing.T, w *world) {
			first, second := w.gateway("us"), w.gateway("us")
			first.line.point = func(p point) error {
				if p.after && (p.kind == "do" || p.kind == "commit last") {
					return errLost
				}
				return nil
			}
			w.cut(second.line.from, "us.1", true)
			w.cut(second.line.from, "eu.1", true)
			post := func(g *gateway, key string) (status int, body string) {
				r := httptest.NewRequest("POST", "/v1/txn?timeout=2s", strings.NewReader(`{"then":[{"add":{"key":"us/a","delta":1}},{"add":{"key":"`+other+`","delta":1}}]}`))
				if key != "" {
					r.Header.Set("Idempotency-Key", key)
				}
				rec := httptest.NewRecorder()
				httpd.New(front.New(front.Config{Store: words.Plain{Store: g}, Node: "us"}), httpd.Config{}).ServeHTTP(rec, r)
				return rec.Code, rec.Body.String()
			}
			if status, body := post(first, "order-77"); !strings.Contains(body, `"applied":"unknown"`) {
				t.Errorf("the first is answered with %d: %s", status, body)
			}
			if status, body := post(second, "order-77"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"applied":"unknown"`) {
				t.Errorf("the repetition is answered with %d: %s", status, body)
			}
			if status, body := post(second, ""); status != http.StatusServiceUnavailable || !strings.Contains(body, `"applied":"no"`) {
				t.Errorf("one without a key is answered with %d: %s", status, body)
			}
			id, err := api.ParseIdempotencyKey("order-77")
			if err != nil {
				t.Fatal(err)
			}
			_, err = second.Do(within(t, 2*time.Second), &words.Txn{Txn: api.Txn{ID: id, Then: []api.Op{addOp("us/a", 1), addOp(api.Key(other), 1)}}})
			if e := api.AsError(err); e == nil || e.Code != api.CodeUnavailable || e.Applied() != "unknown" {
				t.Errorf("of the Store, the repetition gets %v", err)
			}
			time.Sleep(5 * time.Second)
			if v := w.value("us/a"); v != "1" {
				t.Errorf("us/a is %q", v)
			}
		})
	}
}

// TestLateCopy checks that a copy of a request is refused at once if its client has already acknowledged the answer.
// That holds in one group and in several, whichever group decides. The refusal says nothing about what the request has
// done.
func TestLateCopy(t *testing.T) {
	for name, tx := range map[string]*words.Txn{
		"m1": {Txn: api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("us/b", 1)}}},
		"m2": leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}}, "eu/far"),
		"m3": {Txn: api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}},
	} {
		inWorld(t, 1, func(t *testing.T, w *world) {
			g := w.gateway("us")
			send := func(seq, below uint64) error {
				again := *tx
				again.ID = api.RequestID{Client: api.ClientID{1}, Seq: seq, AckedBelow: below}
				_, err := g.Do(within(t, 10*time.Second), &again)
				return err
			}
			for seq := uint64(1); seq <= 2; seq++ {
				if err := send(seq, seq); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			err := send(1, 1)
			if e := api.AsError(err); e == nil || e.Code != api.CodeConflict || e.Applied() != "unknown" || !strings.Contains(e.Hint, "expired") {
				t.Errorf("%s: a late copy: %v", name, err)
			}
			if took := time.Since(began); took > 3*q {
				t.Errorf("%s: that took %v", name, took)
			}
			w.settled(10 * time.Second)
			if v := w.value("us/a"); v != "2" {
				t.Errorf("%s: us/a is %q", name, v)
			}
		})
	}
}
