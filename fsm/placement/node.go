package placement

import (
	"bytes"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Limits of what the map says of one node.
const (
	// MaxNameBytes bounds the names of nodes and regions of old clusters. They stand in the names of folders and of lanes between
	// nodes.
	MaxNameBytes = 100
	// MaxNewNameBytes bounds the names of new ones.
	MaxNewNameBytes = 63
	// MaxNodeNames bounds the names under which a node serves clients, and the patterns of names that an edge may take.
	MaxNodeNames = 16
	// MaxScopePrefixes and MaxScopeBytes bound the prefixes that an edge serves.
	MaxScopePrefixes = 64
	MaxScopeBytes    = 4096

	maxPins         = 2
	maxAddressBytes = 512
	maxHostBytes    = 253 // the longest name of DNS
	pinBytes        = 32  // SHA-256
)

// Node is a process of the cluster.
type Node struct {
	ID      api.NodeID   `cbor:"1,keyasint"`
	Region  api.RegionID `cbor:"2,keyasint"`
	Role    api.Role     `cbor:"3,keyasint"`
	Address string       `cbor:"4,keyasint,omitempty"` // HOST:PORT of its one port
	URL     string       `cbor:"5,keyasint,omitempty"` // of its HTTP API

	// Num is the node's number, never given again; 0 before LevelIdentity.
	Num uint32 `cbor:"6,keyasint,omitempty"`
	// Pins are SHA-256 of the public keys (SPKI) that are accepted as the node's, newest first: at most two.
	Pins [][]byte `cbor:"7,keyasint,omitempty"`
	// Names are the host names and IP addresses, beside those of every node, for which the node's certificate serves clients.
	Names []string `cbor:"8,keyasint,omitempty"`
	State State    `cbor:"9,keyasint,omitempty"`
	// Nonce is of the node's process; it changes at each start.
	Nonce ident.Nonce `cbor:"10,keyasint,omitzero"`
	// Scope has the prefixes of keys that an edge serves; none is every key.
	Scope []api.Key `cbor:"11,keyasint,omitempty"`
	// Host names the machine or failure domain of the node; voters of a group are put on distinct ones if possible.
	Host string `cbor:"12,keyasint,omitempty"`
	// Ephemeral edges are removed when no server has heard them for an hour.
	Ephemeral bool `cbor:"13,keyasint,omitempty"`
	// NamePatterns are what Names of an edge must match, as path.Match does, from the join token; a server may take any name.
	NamePatterns []string `cbor:"14,keyasint,omitempty"`
	// Until is when a drain ends, in Unix seconds by the clock of the leader that proposed it; 0 is never.
	Until int64 `cbor:"15,keyasint,omitempty"`
}

// State is what an operator has ordered of a node.
type State string

// The states.
const (
	Active   State = ""         // it may lead, vote and hold leases
	Draining State = "draining" // it votes, leads nothing and takes no clients
	Leaving  State = "leaving"  // likewise, and its places go to other nodes
)

// Equal reports whether the two descriptions are the same.
func (n Node) Equal(o Node) bool {
	return n.ID == o.ID && n.Region == o.Region && n.Role == o.Role && n.Address == o.Address && n.URL == o.URL && n.Num == o.Num &&
		slices.EqualFunc(n.Pins, o.Pins, bytes.Equal) && slices.Equal(n.Names, o.Names) && n.State == o.State && n.Nonce == o.Nonce &&
		slices.Equal(n.Scope, o.Scope) && n.Host == o.Host && n.Ephemeral == o.Ephemeral &&
		slices.Equal(n.NamePatterns, o.NamePatterns) && n.Until == o.Until
}

// plain reports whether the node has only what a map before LevelIdentity can say.
func (n Node) plain() bool {
	return n.Equal(Node{ID: n.ID, Region: n.Region, Role: n.Role, Address: n.Address, URL: n.URL})
}

// HasPin reports whether the SHA-256 of a public key is one of the node's.
func (n Node) HasPin(pin []byte) bool {
	return slices.ContainsFunc(n.Pins, func(p []byte) bool { return bytes.Equal(p, pin) })
}

// Check returns what is wrong with the node's description in a map; nil if nothing is. Names of old nodes may be any bytes without
// slashes: see CheckNew.
func (n Node) Check() error {
	switch {
	case !isName(string(n.ID)):
		return bad("a node needs an id of 1 to %d bytes without slashes", MaxNameBytes)
	case !isName(string(n.Region)):
		return bad("node %q needs a region of 1 to %d bytes without slashes", n.ID, MaxNameBytes)
	case n.Role != api.RoleServer && n.Role != api.RoleEdge:
		return bad("node %q is a server or an edge, not %q", n.ID, n.Role)
	case len(n.Address) > maxAddressBytes || len(n.URL) > maxAddressBytes:
		return bad("the address of node %q is over the limit of %d bytes", n.ID, maxAddressBytes)
	case len(n.Pins) > maxPins || slices.ContainsFunc(n.Pins, func(p []byte) bool { return len(p) != pinBytes }):
		return bad("node %q has at most %d pins of %d bytes", n.ID, maxPins, pinBytes)
	case n.State != Active && n.State != Draining && n.State != Leaving:
		return bad("node %q is draining or leaving, or has no state, not %q", n.ID, n.State)
	case n.Until < 0 || n.Until != 0 && n.State != Draining:
		return bad("only a drain of node %q can end at a time", n.ID)
	case len(n.Host) > maxHostBytes || !printable(n.Host):
		return bad("the host of node %q is over the limit of %d printable bytes", n.ID, maxHostBytes)
	case n.Role == api.RoleServer && (len(n.Scope) > 0 || n.Ephemeral || len(n.NamePatterns) > 0):
		return bad("server %q has a scope, patterns of names or a short life, which only edges have", n.ID)
	}
	if err := n.checkScope(); err != nil {
		return err
	}
	return n.checkNames()
}

func (n Node) checkScope() error {
	size := 0
	for _, p := range n.Scope {
		size += len(p)
	}
	if len(n.Scope) > MaxScopePrefixes || size > MaxScopeBytes {
		return bad("the scope of node %q is over the limit of %d prefixes of %d bytes together", n.ID, MaxScopePrefixes, MaxScopeBytes)
	}
	return nil
}

func (n Node) checkNames() error {
	if len(n.Names) > MaxNodeNames || len(n.NamePatterns) > MaxNodeNames {
		return bad("node %q has more than %d names", n.ID, MaxNodeNames)
	}
	for i, name := range n.Names {
		if !IsHost(name) || slices.Contains(n.Names[:i], name) {
			return bad("%q is no host name in lower case and no IP address, or node %q has it twice", name, n.ID)
		}
	}
	return CheckNamePatterns(n.NamePatterns)
}

// CheckNew is like Check and also demands what a new node needs: names by the patterns of the commands, and addresses that can be
// written into a header or a log.
func (n Node) CheckNew() error {
	switch {
	case !IsNodeName(string(n.ID)):
		return bad("node id %q: use 1 to %d letters, digits, dots, dashes and underscores, with a letter or digit at both ends", n.ID, MaxNewNameBytes)
	case !IsRegionName(string(n.Region)):
		return bad("region %q: use 1 to %d lower-case letters, digits and dashes, with a letter or digit at both ends", n.Region, MaxNewNameBytes)
	}
	if err := n.CheckAddresses(); err != nil {
		return err
	}
	return n.Check()
}

// CheckAddresses returns what is wrong with the addresses of the node as others show them; nil if nothing is.
func (n Node) CheckAddresses() error {
	if !printable(n.Address) {
		return bad("the address of node %q has bytes that are not printable", n.ID)
	}
	if n.URL != "" && (!printable(n.URL) || !strings.HasPrefix(n.URL, "http://") && !strings.HasPrefix(n.URL, "https://")) {
		return bad("the URL of node %q must begin with http:// or https://", n.ID)
	}
	return nil
}

// CheckNamePatterns returns what is wrong with patterns of host names, which are those of path.Match; nil if nothing is.
func CheckNamePatterns(patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil || p == "" || len(p) > maxHostBytes || !printable(p) {
			return bad("%q is no pattern of host names, such as *.example.com", p)
		}
	}
	return nil
}

// MayBeNamed reports whether the node may serve clients under the name: a server under any, an edge under IP addresses and names
// that a pattern of its join token matches.
func (n Node) MayBeNamed(name string) bool {
	if n.Role == api.RoleServer || isAddress(name) {
		return true
	}
	return slices.ContainsFunc(n.NamePatterns, func(p string) bool {
		ok, _ := path.Match(p, name) // a bad pattern matches nothing
		return ok
	})
}

// IsNodeName reports whether s can be the id of a new node.
func IsNodeName(s string) bool {
	return between(s, func(c byte) bool { return isLower(c) || 'A' <= c && c <= 'Z' }, "._-")
}

// IsRegionName reports whether s can be the name of a new region.
func IsRegionName(s string) bool { return between(s, isLower, "-") }

// isAddress reports whether a name is an IP address, which several nodes may have: behind one, or each on its own loopback.
func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// IsHost reports whether s is a host name in lower case or an IP address.
func IsHost(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String() == s && a.Zone() == ""
	}
	if len(s) > maxHostBytes {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !between(label, isLower, "_-") {
			return false
		}
	}
	return true
}

// between reports whether s has 1 to MaxNewNameBytes bytes, each an end or one of others, with an end as first and last.
func between(s string, end func(byte) bool, others string) bool {
	if s == "" || len(s) > MaxNewNameBytes || !end(s[0]) || !end(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !end(s[i]) && strings.IndexByte(others, s[i]) < 0 {
			return false
		}
	}
	return true
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func isName(s string) bool {
	return s != "" && len(s) <= MaxNameBytes && !strings.ContainsAny(s, "/\\\x00")
}

// printable reports whether s has only graphic ASCII, so that it cannot break a header or a line of a log.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
