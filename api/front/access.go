package front

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Access authenticates principals and checks their rights. Its methods must not block and are safe for concurrent use. Errors are an
// [*api.Error]: CodeUnauthenticated if a credential is needed or is not valid (any more), CodeDenied if the principal lacks the
// right, CodeLimited if it is over its rate, CodeUnavailable if the node cannot decide at present. Nothing was done then.
//
// verb is the request as the audit log names it. It comes from a small fixed set.
type Access interface {
	// Authenticate returns the principal of a credential; "" is none, and the principal is then the anonymous one. from is the
	// principal's From.
	Authenticate(credential, from string) (*Principal, error)
	// Check reports whether the principal may ask anything at present: its credential is still known, and the anonymous
	// principal has some right.
	Check(p *Principal) error
	// Enter is asked once for each request, before AllowKey and its like, and checks what Check does. bytes is the size of what the request
	// brings; what a read has returned is charged afterwards.
	Enter(p *Principal, bytes int64) error
	// Charge counts bytes that a request has returned. It never refuses.
	Charge(p *Principal, bytes int64)
	// AllowKey checks a right on one key.
	AllowKey(p *Principal, verb string, r Right, k api.Key) error
	// Holds reports whether the principal has a right, on a key if it is one on keys. Nothing is noted.
	Holds(p *Principal, r Right, k api.Key) bool
	// AllowRange checks a right on every key of a range.
	AllowRange(p *Principal, verb string, r Right, keys api.Range) error
	// AllowCluster checks a right on the cluster: Observe, Operate or Administer. target is what it is about, such as the name
	// of a node.
	AllowCluster(p *Principal, verb string, r Right, target string) error
	// Changes returns a number that rises whenever the rights of principals may have changed. It costs nothing to ask.
	Changes() uint64
	// Describe returns the principal's name and what it may do.
	Describe(p *Principal) (*api.Self, error)
}

// Pacer is an [Access] that bounds how fast streams return bytes. Its methods are as those of Access.
type Pacer interface {
	// Pace returns how long it takes until the principal is within its rate, with what was charged to it so far; 0 if it is.
	Pace(p *Principal) time.Duration
}

// Authenticate returns the principal of a credential; "" is none. from is where it comes from. The error is that of [Access].
func (b *Backend) Authenticate(credential, from string) (*Principal, error) {
	if b.access == nil {
		return anonymous, nil
	}
	return b.access.Authenticate(credential, from)
}

// Check reports whether the principal of ctx may ask anything at present: nil, or the error of [Access].
func (b *Backend) Check(ctx context.Context) error {
	if b.access == nil {
		return nil
	}
	return b.access.Check(PrincipalFrom(ctx))
}

// May checks that the principal of ctx may use a right on the cluster, and notes in the audit log what is to be carried out. A
// front calls it once for each request about the cluster, before anything is done. target is what the request is about.
func (b *Backend) May(ctx context.Context, verb string, r Right, target string) error {
	return b.For(ctx).May(verb, r, target)
}

// MayKey checks a right on a key, so that a request without it is refused before its body is read. The [Caller] checks again.
func (b *Backend) MayKey(ctx context.Context, verb string, r Right, k api.Key) error {
	return b.For(ctx).allowKey(verb, r, k)
}

// MayAny checks, for a request about the cluster whose target is still to be read, that the principal of ctx has the right.
func (b *Backend) MayAny(ctx context.Context, verb string, r Right) error {
	p := PrincipalFrom(ctx)
	if b.access == nil || b.access.Holds(p, r, "") {
		return nil
	}
	return b.access.AllowCluster(p, verb, r, "")
}

// Observes reports whether the principal of ctx may observe the cluster.
func (b *Backend) Observes(ctx context.Context) bool {
	return b.access == nil || b.access.Holds(PrincipalFrom(ctx), Observe, "")
}

// Elsewhere returns the refusal of administration at a node that does not take it, which names those that do; nil if it does.
func (b *Backend) Elsewhere() error {
	if b.elsewhere == nil {
		return nil
	}
	return b.elsewhere()
}
