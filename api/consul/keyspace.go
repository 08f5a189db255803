package consul

import (
	"strings"

	"github.com/edgehold/edgehold/api"
)

const (
	// Prefix is what all keys of the front begin with.
	Prefix = "consul/"
	// own is the directory of what is the front's own.
	own        = Prefix + ".meta/"
	sessions   = own + "session/"
	delays     = own + "delay/"
	deletedKey = api.Key(own + "deleted")
	madeKey    = api.Key(own + "made")

	// The siblings of a key are named by it and one of these.
	created = "\x00c"
	flags   = "\x00f"
	locked  = "\x00l"
	// expires marks the key of a session that has a time to live: the mark stays when the session has expired.
	expires = "\x00e"
)

// words are the names that have a dot put after them: wherever they begin a segment, or only where they begin a key.
var words = []struct {
	text     string
	anywhere bool
}{{".lock", true}, {".meta", false}}

// wordAt returns the word that begins at i of a name; "" if there is none.
func wordAt(name string, i int) string {
	for _, w := range words {
		if (i == 0 || w.anywhere && name[i-1] == '/') && strings.HasPrefix(name[i:], w.text) {
			return w.text
		}
	}
	return ""
}

// stored returns the name, or the beginning of a name, as it is stored.
func stored(name string) string {
	if !strings.Contains(name, ".lock") && !strings.HasPrefix(name, ".meta") {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		if w := wordAt(name, i); w != "" {
			b.WriteString(w + ".")
			i += len(w)
			continue
		}
		b.WriteByte(name[i])
		i++
	}
	return b.String()
}

// named returns the name that is stored as text; false if no name is.
func named(text string) (name string, ok bool) {
	if text == "" {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		w := wordAt(text, i)
		if w == "" {
			b.WriteByte(text[i])
			i++
			continue
		}
		if i += len(w); i == len(text) || text[i] != '.' {
			return "", false
		}
		b.WriteString(w)
		i++
	}
	return b.String(), true
}

// dataKey returns the key at which the value of the named key is.
func dataKey(name string) api.Key { return api.Key(Prefix + stored(name)) }

// split returns the name of a client's key and which of its siblings a stored key is, "" for the value; false if it is none of them.
func split(k api.Key) (name, sibling string, ok bool) {
	text := strings.TrimPrefix(string(k), Prefix)
	if i := strings.IndexByte(text, 0); i >= 0 {
		text, sibling = text[:i], text[i:]
	}
	name, ok = named(text)
	return name, sibling, ok
}

// withSiblings is the range of a key and its siblings.
func withSiblings(name string) api.Range {
	k := dataKey(name)
	return api.Range{Start: k, End: k + "\x01"}
}

// tree is the range of the keys whose names begin with prefix, with their siblings.
func tree(prefix string) api.Range { return api.PrefixRange(dataKey(prefix)) }

// outsideOwn returns what is in the range, but not in the front's own directory: at most two ranges.
func outsideOwn(all api.Range) (parts []api.Range) {
	mine := api.PrefixRange(own)
	for _, r := range [2]api.Range{{Start: all.Start, End: min(all.End, mine.Start)}, {Start: max(all.Start, mine.End), End: all.End}} {
		if r.Start < r.End {
			parts = append(parts, r)
		}
	}
	return parts
}

func sessionKey(id string) api.Key { return api.Key(sessions + id) }
func delayKey(id string) api.Key   { return api.Key(delays + id) }

// point is the range of one key.
func point(k api.Key) api.Range { return api.Range{Start: k, End: k + "\x00"} }
