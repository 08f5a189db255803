package httpd_test

import (
	"context"
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
