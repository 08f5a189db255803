package client

import (
	"time"

	"github.com/edgehold/edgehold/api"
)

// ReadOption is an option of [Client.Get].
type ReadOption func(*readOptions)

type readOptions struct {
	consistency api.Consistency
	maxStale    time.Duration
	known       *api.Version
}

// WithConsistency reads at the given level. For [api.Bounded] use [MaxStale].
func WithConsistency(level api.Consistency) ReadOption {
	return func(o *readOptions) { o.consistency = level }
}

// Quorum reads from the key's owner, even if a node holds a lease.
func Quorum() ReadOption { return WithConsistency(api.Quorum) }

// Stale reads what the node has, however old it is. The node answers even if it is disconnected. [Value.Age] says how old the
// value may be.
func Stale() ReadOption { return WithConsistency(api.Stale) }

// MaxStale reads what the node has if it is at most d old.
func MaxStale(d time.Duration) ReadOption {
	return func(o *readOptions) { o.consistency, o.maxStale = api.Bounded, d }
}

// IfChanged leaves the value out if the key is still at version v. [Value.Unchanged] is set then.
func IfChanged(v api.Version) ReadOption {
	return func(o *readOptions) { o.known = &v }
}

// WriteOption is an option of [Client.Put] and [Client.Delete]. If a condition does not hold, nothing is written, and the error
// is [api.CodePreconditionFailed] with the current version.
type WriteOption func(*writeOptions)

type writeOptions struct {
	version        *api.Version
	absent, exists bool
	key            *string
	ttl            *time.Duration
	keepTTL        bool
}

// IfVersion writes only if the key is at exactly this version. The version of an absent key, from the error of a Get, means that
// the key has been absent since then.
func IfVersion(v api.Version) WriteOption {
	return func(o *writeOptions) { o.version = &v }
}

// IfAbsent writes only if the key does not exist.
func IfAbsent() WriteOption { return func(o *writeOptions) { o.absent = true } }

// IfExists writes only if the key exists.
func IfExists() WriteOption { return func(o *writeOptions) { o.exists = true } }

// IdempotencyKey sets the id of the write, 1 to 255 bytes. If the write is repeated within a day with the same id and value, by
// this or another process, it takes effect once and the repetition returns the first result. Since such a write may have been
// sent before, an attempt that fails without finding out returns [api.CodeAmbiguous]. Without this option the SDK makes an id for
// each call.
func IdempotencyKey(key string) WriteOption {
	return func(o *writeOptions) { o.key = &key }
}

// ListOption is an option of [Client.List] and [Client.ListPage].
type ListOption func(*listOptions)

type listOptions struct {
	bounds   api.Range
	reverse  bool
	keysOnly bool
	limit    int
	page     string
	stale    bool
	cursor   *api.Cursor
}

// Between lists only keys from start (included) to end (excluded). An empty end means no upper bound.
func Between(start, end api.Key) ListOption {
	return func(o *listOptions) { o.bounds = api.Range{Start: start, End: end} }
}

// Reverse lists from the last key to the first.
func Reverse() ListOption { return func(o *listOptions) { o.reverse = true } }

// KeysOnly leaves the values out.
func KeysOnly() ListOption { return func(o *listOptions) { o.keysOnly = true } }

// Limit ends a List after n entries. For a ListPage it is the size of the page, at most [api.MaxListLimit]. A limit of 0 means no
// limit, or [api.DefaultListLimit] for a ListPage.
func Limit(n int) ListOption { return func(o *listOptions) { o.limit = n } }

// StalePages lists what the node, or a replica that it reaches, has, however old it is. It works even if a group has lost its
// majority. [Page.Age] says how old the page may be.
func StalePages() ListOption { return func(o *listOptions) { o.stale = true } }

// CursorInto stores the cursor of a [Client.List] at the address once the list is complete: a [Client.Watch] from it yields what
// changed since the list began. It is not stored if the loop is left early, or ends at a [Limit] or with an error.
func CursorInto(cursor *api.Cursor) ListOption { return func(o *listOptions) { o.cursor = cursor } }

// FromPage continues a list at the [Page.Next] of an earlier page. All other options except Limit must be those of that page.
func FromPage(next string) ListOption { return func(o *listOptions) { o.page = next } }

// collect applies the options.
func collect[O any, F ~func(*O)](opts []F) *O {
	var o O
	for _, f := range opts {
		f(&o)
	}
	return &o
}
