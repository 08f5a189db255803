package workerskv

import (
	"strings"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

const (
	// keyspace is what the keys of all namespaces begin with.
	keyspace = "kv/"
	// metaName is the directory of a namespace that has the metadata of its keys.
	metaName = ".meta"
	// escaped is what a stored name begins with if the name of the key begins with metaName. So no key's stored name is in the
	// directory of metadata, and the order of names is that of the stored names.
	escaped = metaName + "."
)

// MaxNamespaceBytes bounds the name of a namespace.
const MaxNamespaceBytes = 64

// namespace is the name of a namespace.
type namespace string

// valid reports whether the name is 1 to [MaxNamespaceBytes] letters, digits, dots, hyphens and underscores of ASCII, and does not
// begin with a dot.
func (n namespace) valid() bool {
	for i := range len(n) {
		c := n[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
		default:
			return false
		}
	}
	return n != "" && len(n) <= MaxNamespaceBytes
}

// dir is what the namespace's stored keys begin with.
func (n namespace) dir() string { return keyspace + string(n) + "/" }

// value returns the key that has the value of the named key.
func (n namespace) value(name string) api.Key { return api.Key(n.dir() + stored(name)) }

// meta returns the key that has the metadata of the named key.
func (n namespace) meta(name string) api.Key { return api.Key(n.dir() + metaName + "/" + name) }

// stored returns the name under which a key is stored.
func stored(name string) string {
	if rest, ok := strings.CutPrefix(name, metaName); ok {
		return escaped + rest
	}
	return name
}

// named returns the name of the key that is stored as k. ok is false if the protocol has no name for it: it was written by other
// means.
func (n namespace) named(k api.Key) (name string, ok bool) {
	name, ok = strings.CutPrefix(string(k), n.dir())
	if !ok {
		return "", false
	}
	if strings.HasPrefix(name, metaName) {
		rest, ok := strings.CutPrefix(name, escaped)
		if !ok {
			return "", false
		}
		name = metaName + rest
	}
	return name, name != "" && name != "." && name != ".." && len(name) <= MaxKeyBytes && utf8.ValidString(name)
}

// ranges returns the stored keys whose names begin with prefix and which follow the stored name after, if there is one.
func (n namespace) ranges(prefix, after string) []api.Range {
	all := api.PrefixRange(api.Key(n.dir() + stored(prefix)))
	if after != "" {
		all.Start = max(all.Start, api.Key(n.dir()+after+"\x00"))
	}
	return n.outside(all)
}

// metas returns the range of the metadata of the keys in ranges(prefix, after).
func (n namespace) metas(prefix, after string) api.Range {
	r := api.PrefixRange(n.meta(prefix))
	switch rest, ok := strings.CutPrefix(after, escaped); {
	case after == "":
	case ok:
		r.Start = max(r.Start, n.meta(metaName+rest)+"\x00")
	case strings.HasPrefix(after, metaName) && after < escaped: // no key of the protocol: the names that begin with metaName follow
		r.Start = max(r.Start, n.meta(metaName))
	default:
		r.Start = max(r.Start, n.meta(after)+"\x00")
	}
	return r
}

// ofMeta returns the name of the key whose metadata is stored as k.
func (n namespace) ofMeta(k api.Key) string { return strings.TrimPrefix(string(k), string(n.meta(""))) }

// outside returns what is in the range but not in the directory of metadata, in order: at most two ranges.
func (n namespace) outside(all api.Range) (parts []api.Range) {
	metas := api.PrefixRange(n.meta(""))
	for _, r := range [2]api.Range{{Start: all.Start, End: min(all.End, metas.Start)}, {Start: max(all.Start, metas.End), End: all.End}} {
		if r.Start < r.End {
			parts = append(parts, r)
		}
	}
	return parts
}
