package door

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// LocalPage returns CodeDenied unless the request is one of a program of this machine, or of a page that the node itself has sent to the
// browser. It is for what a browser must not do for pages of other origins, even if every client may do everything: each method,
// not only those that write, is refused to them. A page whose name resolves to this machine (DNS rebinding) is of another origin too: see
// [Exchange.KnownHost].
func (x *Exchange) LocalPage() error {
	if err := x.KnownHost(); err != nil {
		return err
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
	if x.R.TLS != nil || !localOnly(x.R) {
		return nil
	}
	host := hostOf(x.R.Host)
	if loopbackHost(host) {
		return nil
	}
	if u, err := url.Parse(x.door.URL); err == nil && u.Host != "" && strings.EqualFold(host, u.Hostname()) {
		return nil
	}
	return api.Errorf(api.CodeDenied, "this node does not know the host %.100q: use the address that it was started with", host)
}

// localOnly reports whether the connection reached the node at an address of loopback, or at one that is not known.
func localOnly(r *http.Request) bool {
	switch a := r.Context().Value(http.LocalAddrContextKey).(type) {
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
