package door

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// LocalPage returns CodeDenied unless the request is one of a program, or of a page that the node itself has sent to the browser. It is for
// what a browser must not do for pages of other origins, even if every client may do everything: each method, not only those that write,
// is refused to them. A page whose name resolves to the node (DNS rebinding) is of another origin too: in plain text the host has to be
// that of [Exchange.KnownHost] on loopback, and elsewhere one for which no page can come from the Internet.
func (x *Exchange) LocalPage() error {
	own := loopbackHost
	if _, socket := localAddr(x.R).(*net.UnixAddr); !localOnly(x.R) {
		own = func(host string) bool { return socket || privateHost(host) }
	}
	if x.R.TLS == nil && !x.knows(own) {
		return x.unknownHost()
	}
	site, origin := x.R.Header.Get("Sec-Fetch-Site"), x.R.Header.Get("Origin")
	u, err := url.Parse(origin)
	if site != "" && site != "same-origin" && site != "none" || origin != "" && (err != nil || u.Host != x.R.Host) {
		return api.Errorf(api.CodeDenied, "a page of another origin may not use this")
	}
	return nil
}

// KnownHost returns CodeDenied if the request came in plain text to an address of this machine alone, and is for a host that is
// neither this machine nor the one that the node advertises: a browser sends such a request for a page whose name was made to
// resolve to this machine, and takes the answer for one of the page's own origin. Elsewhere the certificate, or the network, says which
// host is meant.
func (x *Exchange) KnownHost() error {
	if x.R.TLS == nil && localOnly(x.R) && !x.knows(loopbackHost) {
		return x.unknownHost()
	}
	return nil
}

// knows reports whether the host that the request is for is the node's own, or the one that it advertises.
func (x *Exchange) knows(own func(host string) bool) bool {
	host := hostOf(x.R.Host)
	if own(host) {
		return true
	}
	u, err := url.Parse(x.door.URL)
	return err == nil && u.Host != "" && strings.EqualFold(host, u.Hostname())
}

func (x *Exchange) unknownHost() error {
	return api.Errorf(api.CodeDenied, "this node does not know the host %.100q: use the address that it was started with", hostOf(x.R.Host))
}

// localAddr returns the address at which the connection reached the node; nil if it is not known.
func localAddr(r *http.Request) net.Addr {
	a, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return a
}

// localOnly reports whether the connection reached the node at an address of loopback, or at one that is not known.
func localOnly(r *http.Request) bool {
	switch a := localAddr(r).(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return false // the mode of the socket's file guards it
	}
	return true
}

// hostOf is the host of a Host header, without its port.
func hostOf(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// loopbackHost reports whether the name or address is one of this machine, whatever a name server says.
func loopbackHost(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// privateHost reports whether no name server of the Internet can make a page's name this one: it is an address, a name without a dot, or
// one of a domain that is reserved for private networks.
func privateHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || loopbackHost(host) {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, domain := range []string{".local", ".internal", ".home.arpa"} {
		if strings.HasSuffix(host, domain) {
			return true
		}
	}
	return host != "" && !strings.Contains(host, ".")
}
