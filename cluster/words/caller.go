package words

import (
	"context"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// Caller is the node that a request came from, as its connection shows it. Nothing that a message says about its sender
// changes it. A Caller is shared and must not be modified.
type Caller struct {
	Node api.NodeID // "" if the connection does not say
	// Role is the node's role in the placement map, or "" if the map that this node knows does not name it. Such a node
	// may join, and nothing else.
	Role api.Role
	// Num is the node's number in the placement map, which its attempts to commit carry. It is 0 if the map has none.
	Num uint32
	// Scope holds the prefixes of the keys that the node serves. nil means all keys.
	Scope []api.Key
	// Plain reports whether the connection proves nothing: Node is then the name that the other end gave itself.
	Plain bool
}

// Serves reports whether the key is in the node's scope.
func (c *Caller) Serves(k api.Key) bool {
	if len(c.Scope) == 0 {
		return true
	}
	for _, p := range c.Scope {
		if strings.HasPrefix(string(k), string(p)) {
			return true
		}
	}
	return false
}

// Identity is the other end of a connection.
type Identity interface {
	// Caller returns what is known of it now. It does not block and returns a Caller, never nil.
	Caller() *Caller
}

// Caller makes a Caller the Identity of a node that does not change.
func (c *Caller) Caller() *Caller { return c }

type callerKey struct{}

// WithCaller returns a context for a request of that node.
func WithCaller(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, callerKey{}, id)
}

// CallerFrom returns the node that the request came from. It is a Caller without a name if the context has none, and
// never nil.
func CallerFrom(ctx context.Context) *Caller {
	if id, ok := ctx.Value(callerKey{}).(Identity); ok {
		return id.Caller()
	}
	return &unnamed
}

var unnamed Caller
