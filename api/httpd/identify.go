package httpd

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

// streams takes the connection of a watch out of the count of the open ones, since watches have a limit of their own, until the
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

// withConnState gives the requests of a connection a place for what is remembered of it.
func withConnState(ctx context.Context, stream func() func()) context.Context {
	return context.WithValue(ctx, connStateKey{}, &connState{stream: stream})
}

// remembered returns what is remembered of the request's connection; nil behind a server that remembers nothing.
func (x *exchange) remembered() *connState {
	c, _ := x.r.Context().Value(connStateKey{}).(*connState)
	return c
}

// identify determines the principal of the request, before anything of the request is read or done. Probes that are open to everyone ignore a
// credential that is not valid.
func (x *exchange) identify() error {
	if x.route.right == front.Administer {
		if err := x.Elsewhere(); err != nil { // before the token is looked at: it need not be valid here
			return err
		}
	}
	x.base, x.conn = x.r.Context(), x.remembered()
	err := x.authenticate()
	x.store = x.For(x.base)
	if x.route.kind == probe && x.route.right == front.None {
		return nil
	}
	return err
}

// authenticate puts the principal into the request's context, unless a handler around the API has.
func (x *exchange) authenticate() error {
	if front.Named(x.base) {
		return nil
	}
	credential, err := bearer(x.r)
	if err != nil {
		return err
	}
	if x.conn != nil {
		if k := x.conn.known.Load(); k != nil && equal(k.credential, credential) {
			x.base = front.WithPrincipal(x.base, k.principal)
			return nil
		}
	}
	p, err := x.Authenticate(credential, x.r.RemoteAddr)
	if err != nil {
		return err
	}
	x.base = front.WithPrincipal(x.base, p)
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

// allowed checks what can be checked before a body is read: that the principal may ask anything at all, the right on the key in
// the path, or the right on the cluster.
func (x *exchange) allowed() error {
	if x.route.right == front.None {
		return nil
	}
	if err := x.Check(x.base); err != nil {
		return err
	}
	switch r := x.route.right; {
	case r >= front.Observe:
		return x.MayAny(x.base, x.route.name, r)
	case r == front.Write && x.route.path == keyPrefix+"{key}":
		return x.MayKey(x.base, x.route.name, r, x.key)
	}
	return nil
}

// unauthenticated prepares an answer 401. Too many in a row end the connection.
func (x *exchange) unauthenticated() {
	x.w.Header()["Www-Authenticate"] = bearerScheme
	if x.conn != nil && x.conn.refused.Add(1) >= maxRefusedInARow {
		x.w.Header().Set("Connection", "close")
	}
}

// settle ends a row of answers 401.
func (x *exchange) settle() {
	if x.conn != nil && x.status != http.StatusUnauthorized && x.conn.refused.Load() > 0 {
		x.conn.refused.Store(0)
	}
}

var bearerScheme = []string{`Bearer realm="edgehold"`}
