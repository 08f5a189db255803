package httpd_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/observe"
)

// TestPanics: a request that meets a fault in the program is answered, and whether a write was applied is unknown then.
func TestPanics(t *testing.T) {
	reported := 0
	h := newAPI(front.Config{
		Faults: fault.NewCatcher(observe.NoMetrics{}, func(string, ...any) { reported++ }),
		Store: fake{
			read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) { panic("a fault") },
			do:   func(context.Context, *api.Txn) (*api.TxnResult, error) { panic("a fault") },
		},
		Room: admission.New(admission.Config{SlowAfter: time.Hour, Shares: admission.Shares{admission.Request: 1}}), // a request that were not over would be seen
	}, httpd.Config{})
	for range 2 {
		wantProblem(t, request(h, "PUT", "/v1/kv/a", "v"), 500, api.CodeInternal) // which says that it is unknown whether that was applied
		wantProblem(t, request(h, "GET", "/v1/kv/a", ""), 500, api.CodeInternal)
		wantProblem(t, request(h, "POST", "/v1/txn", `{"then":[{"put":{"key":"a","value":"v"}}]}`), 500, api.CodeInternal)
	}
	if reported != 6 {
		t.Errorf("%d panics were reported, of 6", reported)
	}
	c, _ := upgrade(t, h)
	if _, err := c.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "a"}}}); api.CodeOf(err) != api.CodeInternal {
		t.Errorf("a call of a stream: %v", err)
	}
}

// TestInstance: a problem names its occurrence if the log has it, and else does not; TestTraces has those that are traced.
func TestInstance(t *testing.T) {
	var lines []string
	broken := fake{read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) { return nil, errors.New("broken") }}
	h := newAPI(front.Config{Store: broken, Log: func(msg string, args ...any) { lines = append(lines, msg+fmt.Sprint(args...)) }}, httpd.Config{})
	var seen []string
	for range 2 {
		id, _ := wantProblem(t, request(h, "GET", "/v1/kv/a", ""), 500, api.CodeInternal)["instance"].(string)
		if !strings.HasPrefix(id, "urn:edgehold:fault:") || len(id) < 40 || slices.Contains(seen, id) || !strings.Contains(lines[len(lines)-1], id) {
			t.Errorf("instance %q, logged %q", id, lines)
		}
		seen = append(seen, id)
	}
	fine, _ := memoryAPI()
	for _, p := range []map[string]any{
		wantProblem(t, request(fine, "GET", "/v1/kv/a", ""), 404, api.CodeNotFound),
		wantProblem(t, request(fine, "GET", "/v1/kv/a?x=1", "", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), 400, api.CodeInvalid), // no traces are collected
	} {
		if p["instance"] != nil {
			t.Errorf("a problem that nothing remembers has the instance %v", p["instance"])
		}
	}
}
