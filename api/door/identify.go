package door

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// maxRefusedInARow is how many requests in a row of one connection may be answered 401 before the connection is closed: a client
// that guesses has to connect again.
const maxRefusedInARow = 10

// connState is what is remembered of a connection between its requests.
type connState struct {
	refused atomic.Int32 // requests in a row that were answered 401
	known   atomic.Pointer[known]
	// stream takes the connection out of the count of those open, until the function that it returns is called.
	stream func() func()
}

// streams takes the connection of a stream out of the count of the open ones, since streams have a limit of their own, until the
// returned function is called. A connection of HTTP/2 carries other requests too, and stays counted.
func (c *connState) streams(r *http.Request) (over func()) {
	if c == nil || r.ProtoMajor >= 2 {
		return func() {}
	}
	return c.stream()
}

// known is a credential that has been judged, and whose it is. Rights are judged again at each request.
type known struct {
	credential string
	principal  *front.Principal
}

type connStateKey struct{}

// WithConn returns a context for the requests of one connection, which has a place for what is remembered of it. stream takes the
// connection out of the count of those open, until the function that it returns is called; it must not block.
func WithConn(ctx context.Context, stream func() (over func())) context.Context {
	return context.WithValue(ctx, connStateKey{}, &connState{stream: stream})
}

// remembered returns what is remembered of the request's connection; nil behind a server that remembers nothing.
func (x *Exchange) remembered() *connState {
	c, _ := x.R.Context().Value(connStateKey{}).(*connState)
	return c
}

// Identify determines the principal of the request, before anything of the request is read or done, and sets Base and Store. After
// an error they are those of a client without a credential.
func (x *Exchange) Identify() error {
	x.Base, x.conn = x.R.Context(), x.remembered()
	if x.door.Tracer != nil && !x.Untraced {
		x.Base, x.span = x.door.Tracer.Serve(x.Base, "HTTP", x.R.Header)
	}
	err := x.authenticate()
	x.Store = x.door.For(x.Base).Noting(&x.note)
	return err
}

// authenticate puts the principal into the request's context, unless a handler around the front has.
func (x *Exchange) authenticate() error {
	if front.Named(x.Base) {
		return nil
	}
	credential, err := bearer(x.R)
	if err != nil {
		return err
	}
	if x.conn != nil {
		if k := x.conn.known.Load(); k != nil && equal(k.credential, credential) {
			x.Base = front.WithPrincipal(x.Base, k.principal)
			return nil
		}
	}
	p, err := x.door.Authenticate(credential, x.R.RemoteAddr)
	if err != nil {
		return err
	}
	x.Base = front.WithPrincipal(x.Base, p)
	if x.conn != nil {
		x.conn.known.Store(&known{credential, p})
	}
	return nil
}

// notAToken stands for an Authorization that holds no token, and is as unknown as a wrong one.
const notAToken = "-"

// bearer returns the token of a request; "" if it has none. CodeInvalid if there are two, or one in the URL,
// where logs would keep it.
func bearer(r *http.Request) (string, error) {
	if r.URL.RawQuery != "" {
		query, _ := url.ParseQuery(r.URL.RawQuery) // a malformed query is refused later
		if query.Has("token") || query.Has("access_token") {
			return "", api.Errorf(api.CodeInvalid, "a token never stands in a URL: send it as Authorization: Bearer TOKEN")
		}
	}
	switch lines := r.Header["Authorization"]; len(lines) {
	case 0:
		return "", nil
	case 1:
		scheme, token, _ := strings.Cut(lines[0], " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			return notAToken, nil
		}
		return token, nil
	}
	return "", api.Errorf(api.CodeInvalid, "Authorization is given more than once")
}

// equal compares in a time that depends on the lengths alone.
func equal(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	var different byte
	for i := range len(a) {
		different |= a[i] ^ b[i]
	}
	return different == 0
}

// Unauthenticated prepares an answer 401. Too many in a row of one connection end the connection.
func (x *Exchange) Unauthenticated() {
	x.unauthenticated = true
	x.W.Header()["Www-Authenticate"] = bearerScheme
	if x.conn != nil && x.conn.refused.Add(1) >= maxRefusedInARow {
		x.W.Header().Set("Connection", "close")
	}
}

// settle ends a row of answers 401.
func (x *Exchange) settle() {
	if x.conn != nil && !x.unauthenticated && x.conn.refused.Load() > 0 {
		x.conn.refused.Store(0)
	}
}

var bearerScheme = []string{`Bearer realm="edgehold"`}
