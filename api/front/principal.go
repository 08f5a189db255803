package front

import "context"

// Principal is the client or node that a request acts for. The zero value is the anonymous one.
type Principal struct {
	// Name is unique in the cluster; "" if anonymous.
	Name string
	// ID names the space of the principal's request ids: the ids that it sends mean other requests than those of any other
	// principal. "" leaves request ids as they come.
	ID string
	// From is where the requests come from, for the audit log: an address, or at the admin socket "uid 1000". "" if it is not
	// known.
	From string
	// Grant is what the node's [Access] keeps of the principal, so that a check needs no lookup. Fronts pass it on unread.
	Grant any
}

// Socket is the name of the principal of a node's admin socket. It may administer a server, and operate an edge. No token has
// this name.
const Socket = "socket"

// Anonymous reports whether the principal is known by no name.
func (p *Principal) Anonymous() bool { return p.Name == "" }

type principalKey struct{}

// WithPrincipal returns a context whose requests are those of p, which must not change any more.
func WithPrincipal(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns the principal of the requests of ctx; the anonymous one if ctx names none. It must not be changed.
func PrincipalFrom(ctx context.Context) *Principal {
	if p, ok := ctx.Value(principalKey{}).(*Principal); ok {
		return p
	}
	return anonymous
}

var anonymous = new(Principal)

// Named reports whether ctx names a principal, so that a front asks for no credential.
func Named(ctx context.Context) bool {
	_, ok := ctx.Value(principalKey{}).(*Principal)
	return ok
}

// Right is what a principal may do.
type Right uint8

// The rights. None is needed for what is open to everyone; Read, List and Write are rights on keys; Observe, Operate and
// Administer are rights on the cluster.
const (
	None Right = iota
	Read
	List
	Write
	Observe
	Operate
	Administer
)

func (r Right) String() string {
	return [...]string{"none", "read", "list", "write", "observe", "operate", "administer"}[r]
}
