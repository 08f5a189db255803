package client

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"time"

	"github.com/edgehold/edgehold/api"
)

// problem is the part of an error's body (RFC 9457) that the SDK reads.
type problem struct {
	Detail     string   `json:"detail"`
	Code       api.Code `json:"code"`
	Applied    string   `json:"applied"`
	Version    string   `json:"version"`
	RetryAfter float64  `json:"retry_after"` // in seconds
}

// refusal returns the failure for an answer that is not a success.
func refusal(q *call, e *endpoint, a *answer) *failure {
	p, ok := readProblem(a)
	if !ok {
		return foreign(q, e, a)
	}
	err := &api.Error{Code: p.Code, Hint: p.Detail, RetryAfter: time.Duration(p.RetryAfter * float64(time.Second)),
		Unknown: p.Applied == "unknown" && p.Code.Applied() != "unknown"}
	if v := a.header.Get("Edgehold-Version"); v != "" {
		err.Version, _ = api.ParseVersion(v) // zero if it is not a version
	}
	f := judge(q, err)
	f.answer = a
	return f
}

// judge returns the failure for an error that the node returned.
func judge(q *call, err *api.Error) *failure {
	f := &failure{err: err, verdict: final}
	switch err.Code {
	case api.CodeUnavailable, api.CodeLimited:
		f.verdict = again
	case api.CodeInternal:
		if q.once || !q.writes {
			f.verdict = elsewhere
		}
	case api.CodeAmbiguous:
		if q.once || !q.writes {
			f.verdict = again
		}
	}
	switch {
	case err.Code == api.CodeAmbiguous && !q.writes:
		err.Code = api.CodeUnavailable
	case err.Code == api.CodeInternal && q.writes:
		f.err = &api.Error{Code: api.CodeAmbiguous, Hint: "the node failed while it carried this out", Err: err}
	}
	return f
}

// readProblem parses an error body of Edgehold. ok is false if the answer is not one of Edgehold's.
func readProblem(a *answer) (p problem, ok bool) {
	kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || kind != "application/problem+json" || json.Unmarshal(a.body, &p) != nil {
		return problem{}, false
	}
	switch p.Code {
	case api.CodeInvalid, api.CodeUnauthenticated, api.CodeDenied, api.CodeNotFound, api.CodeConflict,
		api.CodePreconditionFailed, api.CodeTooLarge, api.CodeLimited, api.CodeUnavailable, api.CodeAmbiguous, api.CodeInternal:
		return p, true
	}
	return problem{}, false
}

// foreign returns the failure for an answer that is not Edgehold's but that of a proxy or another server. If a gateway failed
// with a write, the outcome of the write is unknown.
func foreign(q *call, e *endpoint, a *answer) *failure {
	status := a.status
	f := &failure{err: api.Errorf(api.CodeInvalid, "%s answered %d %s, not as Edgehold does: is the endpoint right?",
		e.base.Host, status, http.StatusText(status))}
	switch {
	case status == http.StatusBadRequest && bytes.HasPrefix(a.body, []byte("use https://")):
		f.err.Hint = e.base.Host + " speaks TLS alone: write https://" + e.base.Host
	case status == http.StatusUnauthorized:
		f.err.Code = api.CodeUnauthenticated
	case status == http.StatusForbidden:
		f.err.Code = api.CodeDenied
	case status == http.StatusTooManyRequests:
		f.err.Code, f.verdict = api.CodeUnavailable, again
	case status >= 500 && q.writes:
		f.err.Code = api.CodeAmbiguous
		if q.once {
			f.verdict = again
		}
	case status >= 500:
		f.err.Code, f.verdict = api.CodeUnavailable, again
	}
	return f
}
