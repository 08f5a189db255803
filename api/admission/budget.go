package admission

import (
	"context"
	"sync/atomic"
)

// MaxTries bounds how often a request is tried again, all loops together: those of the client, of the coordinator of transactions, of
// the router and of the group draw from one [Budget]. Its other bound is the deadline of its context.
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

// Tries returns what a request takes along to another node: one more than the tries that it has left, or 0 if they are not counted.
func Tries(ctx context.Context) uint64 {
	b, ok := ctx.Value(budgetKey{}).(*Budget)
	if !ok {
		return 0
	}
	return uint64(max(b.left.Load(), 0)) + 1
}

// WithTries returns a context for a request that has come with tries from another node; 0: ctx itself.
func WithTries(ctx context.Context, tries uint64) context.Context {
	if tries == 0 {
		return ctx
	}
	b := &Budget{}
	b.left.Store(int64(min(tries-1, MaxTries)))
	return context.WithValue(ctx, budgetKey{}, b)
}

// Used returns how many of the tries that a request came with have been drawn from the budget of ctx.
func Used(ctx context.Context, tries uint64) uint64 {
	if left := Tries(ctx); left < tries {
		return tries - left
	}
	return 0
}

// Spend takes the tries that another node has used from the budget of ctx, if it has one.
func Spend(ctx context.Context, used uint64) {
	if b, ok := ctx.Value(budgetKey{}).(*Budget); ok {
		b.left.Add(-int64(min(used, MaxTries)))
	}
}

var errTries = refusal(loadRetryAfter, "the request was tried %d times, the limit", MaxTries)
