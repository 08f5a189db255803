package admission

import (
	"context"
	"sync/atomic"
)

// MaxTries bounds how often a request is tried again, all loops together: those of the client, of the coordinator of transactions and
// of the router draw from one [Budget]. Its other bound is the deadline of its context.
const MaxTries = 1024

// Budget is how many tries a request has left. It travels in the request's context. It is safe for concurrent use.
type Budget struct{ left atomic.Int64 }

type budgetKey struct{}

// WithBudget returns a context in which the request has a budget: that of ctx if it has one, else a new one of [MaxTries].
func WithBudget(ctx context.Context) context.Context {
	if _, ok := ctx.Value(budgetKey{}).(*Budget); ok {
		return ctx
	}
	b := &Budget{}
	b.left.Store(MaxTries)
	return context.WithValue(ctx, budgetKey{}, b)
}

// Retry takes one try from the budget of ctx, and returns CodeUnavailable if none is left. A context without a budget bounds
// nothing.
func Retry(ctx context.Context) error {
	b, ok := ctx.Value(budgetKey{}).(*Budget)
	if !ok || b.left.Add(-1) >= 0 {
		return nil
	}
	return errTries
}

var errTries = refusal(loadRetryAfter, "the request was tried %d times, the limit", MaxTries)
