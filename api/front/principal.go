package front

import "context"

// Principal is who asks. The zero value is the anonymous one.
type Principal struct {
	// Name is unique in the cluster; "" if anonymous.
	Name string
	// From is where the request comes from, for the audit: an address, or at the admin socket "uid 1000". "" if it is not known.
	From string
}

// Socket is the name of the principal of a node's admin socket. It may administer a server, and operate an edge. No token has
// this name.
const Socket = "socket"

// Anonymous reports whether the principal is known by no name.
func (p Principal) Anonymous() bool { return p.Name == "" }

type principalKey struct{}

// WithPrincipal returns a context whose requests are those of p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns the principal of the requests of ctx; the anonymous one if ctx names none.
func PrincipalFrom(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// Right is what a principal may do.
type Right uint8

// The rights. None is needed for what is open to everyone; Read, List and Write are rights on keys; Observe and Administer
// are rights on the cluster.
const (
	None Right = iota
	Read
	List
	Write
	Observe
	Administer
)

func (r Right) String() string {
	return [...]string{"none", "read", "list", "write", "observe", "administer"}[r]
}
