package httpd

import (
	"context"
	"net/http"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// readyTimeout bounds how long /readyz may think.
const readyTimeout = 5 * time.Second

// getLivez says that the process answers.
func getLivez(x *exchange) error {
	x.replyOK()
	return nil
}

// getReadyz reports whether the node routes, serves and has caught up; if not, it names what is missing to clients that may observe.
func getReadyz(x *exchange) error {
	ctx, cancel := context.WithTimeout(x.R.Context(), readyTimeout)
	defer cancel()
	if err := x.Ready(ctx); err != nil {
		e := *api.AsError(err)
		if e.Hint == "" && e.Err != nil {
			e.Hint = e.Err.Error()
		}
		e.Code, e.RetryAfter = api.CodeUnavailable, time.Second
		if !x.Observes(x.Base) {
			e = api.Error{Code: api.CodeUnavailable, Hint: "not ready", RetryAfter: time.Second}
		}
		return &e
	}
	x.replyOK()
	return nil
}

func getMetrics(x *exchange) error {
	if err := x.May(x.Base, "metrics", front.Observe, ""); err != nil {
		return err
	}
	x.Headers()
	x.Metrics.ServeHTTP(x.W, x.R)
	return nil
}

func (x *exchange) replyOK() {
	x.replyBody(http.StatusOK, plainText, []byte("ok\n"))
}
