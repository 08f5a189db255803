package httpd_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
)

// around stands around every API that a test makes.
var around = func(h http.Handler) http.Handler { return h }

func newAPI(c front.Config, own httpd.Config) http.Handler {
	return around(checked(httpd.New(front.New(c), own)))
}

// recorder is a ResponseWriter of its own around another one, as middleware makes it to see what was answered.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// middleware does what handlers around others do: it reads the body before and gives it on, replaces the ResponseWriter, sets
// headers, bounds the time, names a principal, and recovers.
func middleware(t *testing.T, answered *atomic.Int64) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("a panic: %v", p)
				}
			}()
			got, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("the body: %v", err)
			}
			ctx, cancel := context.WithTimeout(front.WithPrincipal(r.Context(), &front.Principal{Name: "alice"}), time.Minute)
			defer cancel()
			r = r.WithContext(ctx)
			r.Body = io.NopCloser(bytes.NewReader(got))
			w.Header().Set("X-Around", "yes")
			rec := &recorder{ResponseWriter: w}
			h.ServeHTTP(rec, r)
			if rec.status == 0 && r.Header.Get("Upgrade") == "" || w.Header().Get("X-Around") != "yes" {
				t.Errorf("%s %s: the status was %d, the headers are %v", r.Method, r.URL, rec.status, w.Header())
			}
			answered.Add(1)
		})
	}
}

// suite are the tests of what requests mean.
var suite = map[string]func(*testing.T){
	"NothingHere": TestNothingHere, "Methods": TestMethods, "EveryAnswerSaysWho": TestEveryAnswerSaysWho, "Query": TestQuery,
	"Errors": TestErrors, "UnknownOutcome": TestUnknownOutcomeSaysWhatToDo, "ProblemNamesAnyKey": TestProblemNamesAnyKey,
	"OtherOrigin": TestOtherOriginMayNotWrite, "Get": TestGet, "GetConditions": TestGetConditions, "PutAndDelete": TestPutAndDelete,
	"WriteConditions": TestWriteConditions, "ConditionOnAKeyThatNeverWas": TestConditionOnAKeyThatNeverWas,
	"ServerTiming": TestServerTimingNamesWhoDelayed, "IdempotencyKey": TestIdempotencyKey, "IdempotencyKeyForms": TestIdempotencyKeyForms,
	"Alternatives": TestAlternativesTakeEffectOnce, "List": TestList, "ListRefuses": TestListRefuses, "ListPages": TestListPages,
	"ListAnyBytes": TestListAnyBytes, "ListPageBytes": TestListPageBytes, "Bodies": TestBodyIsNotAsItStands,
	"ConditionsOfNoKey": TestConditionsOfNoKey, "WeakTags": TestWeakTags, "ByteOrderMark": TestByteOrderMark, "Txn": TestTxn,
	"TxnBodyIsRefused": TestTxnBodyIsRefused, "TxnLimits": TestTxnLimits, "ReadOnlyTxn": TestReadOnlyTxn, "TxnOnce": TestTxnOnce,
	"TxnErrors": TestTxnErrors, "TxnLongAnswer": TestTxnLongAnswer, "ValueLengths": TestValueLengths, "Cluster": TestCluster,
	"Placement": TestPlacement, "Probes": TestProbes, "FullOwner": TestFullOwner, "PathIsTheKey": TestPathIsTheKey,
	"AnswersOnOneConnection": TestAnswersOnOneConnection, "RequestsDoNotMix": TestRequestsDoNotMix, "Panics": TestPanics,
	"CallsNeedAnUpgrade": TestCallsNeedAnUpgrade, "CallsAreLimited": TestCallsAreLimited,
}

// TestBehindAnotherHandler: a handler around the API works as around any other, and the API means the same behind it.
func TestBehindAnotherHandler(t *testing.T) {
	if testing.Short() {
		t.Skip("the same tests again")
	}
	plain := around
	defer func() { around = plain }()
	for name, test := range suite {
		t.Run(name, func(t *testing.T) {
			var answered atomic.Int64
			around = middleware(t, &answered)
			test(t)
			if answered.Load() == 0 {
				t.Error("no request came by the handler around the API")
			}
		})
	}
}
