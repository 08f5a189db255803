package client

import (
	"time"

	"github.com/edgehold/edgehold/api"
)

// ReadOption changes a [Client.Get].
type ReadOption func(*readOptions)

type readOptions struct {
	consistency api.Consistency
	maxStale    time.Duration
	known       *api.Version
}

// WithConsistency asks for a level; use [MaxStale] for [api.Bounded].
func WithConsistency(level api.Consistency) ReadOption {
	return func(o *readOptions) { o.consistency = level }
}

// Quorum asks the key's owner, whoever holds a lease.
func Quorum() ReadOption { return WithConsistency(api.Quorum) }

// Stale takes whatever the node has, however old; it answers also when the node is cut off. [Value.Age] tells.
func Stale() ReadOption { return WithConsistency(api.Stale) }

// MaxStale takes what the node has if it is at most d old.
func MaxStale(d time.Duration) ReadOption {
	return func(o *readOptions) { o.consistency, o.maxStale = api.Bounded, d }
}

// IfChanged leaves the value out where the key is still at version v ([Value.Unchanged]).
func IfChanged(v api.Version) ReadOption {
	return func(o *readOptions) { o.known = &v }
}

// WriteOption changes a [Client.Put] or [Client.Delete]. Where conditions are given and one does not hold, nothing is
// written and the error is [api.CodePreconditionFailed] with the present version.
type WriteOption func(*writeOptions)

type writeOptions struct {
	version        *api.Version
	absent, exists bool
	key            *string
}

// IfVersion writes only if the key is at exactly this version. The version of an absent key (from the error of a Get)
// stands for its being absent since then.
func IfVersion(v api.Version) WriteOption {
	return func(o *writeOptions) { o.version = &v }
}

// IfAbsent writes only if the key does not exist.
func IfAbsent() WriteOption { return func(o *writeOptions) { o.absent = true } }

// IfExists writes only if the key exists.
func IfExists() WriteOption { return func(o *writeOptions) { o.exists = true } }

// IdempotencyKey is an id of your own for the write, 1 to 255 bytes: repeated within a day with the same key and value, also by
// another process, it takes effect once and gives the first result. Without it the SDK makes an id for each call.
func IdempotencyKey(key string) WriteOption {
	return func(o *writeOptions) { o.key = &key }
}

// ListOption changes a [Client.List] or [Client.ListPage].
type ListOption func(*listOptions)

type listOptions struct {
	bounds   api.Range
	reverse  bool
	keysOnly bool
	limit    int
	page     string
	stale    bool
}

// Between lists only keys from start (included) to end (excluded); an empty end is no bound.
func Between(start, end api.Key) ListOption {
	return func(o *listOptions) { o.bounds = api.Range{Start: start, End: end} }
}

// Reverse lists from the last key to the first.
func Reverse() ListOption { return func(o *listOptions) { o.reverse = true } }

// KeysOnly leaves the values out.
func KeysOnly() ListOption { return func(o *listOptions) { o.keysOnly = true } }

// Limit ends a List after n entries; of a ListPage it is the size of the page, at most [api.MaxListLimit]. 0 is no limit,
// for a ListPage [api.DefaultListLimit].
func Limit(n int) ListOption { return func(o *listOptions) { o.limit = n } }

// StalePages takes whatever the node, or a replica that it reaches, has, however old; it answers also when a group has lost its
// majority. [Page.Age] tells.
func StalePages() ListOption { return func(o *listOptions) { o.stale = true } }

// FromPage goes on where a page ended: at its [Page.Next]. The other options must be those of that page, but for Limit.
func FromPage(next string) ListOption { return func(o *listOptions) { o.page = next } }

// collect applies the options.
func collect[O any, F ~func(*O)](opts []F) *O {
	var o O
	for _, f := range opts {
		f(&o)
	}
	return &o
}
