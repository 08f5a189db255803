package httpd

import "github.com/edgehold/edgehold/api/front"

// identify determines the principal of the request. Probes that are open to everyone ignore a credential that is not valid.
func (x *exchange) identify() error {
	if x.route.right == front.Administer {
		if err := x.Elsewhere(); err != nil { // before the token is looked at: it need not be valid here
			return err
		}
	}
	x.Pattern, x.Untraced = x.route.path, x.route.kind != request
	err := x.Identify()
	if x.route.kind == probe && x.route.right == front.None {
		return nil
	}
	return err
}

// allowed checks what can be checked before a body is read: that the principal may ask anything at all, the right on the key in
// the path, or the right on the cluster.
func (x *exchange) allowed() error {
	if x.route.right == front.None {
		return nil
	}
	if err := x.Check(x.Base); err != nil {
		return err
	}
	switch r := x.route.right; {
	case r >= front.Observe:
		return x.MayAny(x.Base, x.route.name, r)
	case r == front.Write && x.route.path == keyPrefix+"{key}":
		return x.MayKey(x.Base, x.route.name, r, x.key)
	}
	return nil
}
