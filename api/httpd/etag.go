package httpd

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// tags is the value of If-Match or If-None-Match.
type tags struct {
	given bool // the header is there
	any   bool // it is *
	list  []tag
}

type tag struct {
	text string // between the quotes
	weak bool
}

// etag is the entity tag of a version.
func etag(v api.Version) string {
	b := appendVersion(append(make([]byte, 0, 48), '"'), v)
	return string(append(b, '"'))
}

func appendVersion(b []byte, v api.Version) []byte {
	b = append(strconv.AppendUint(b, v.Epoch, 10), '.')
	return strconv.AppendUint(b, v.Index, 10)
}

// readTags reads a header as RFC 9110 writes it: *, or tags in quotes, perhaps weak, between commas.
func readTags(h http.Header, name string) (tags, error) {
	lines := h[name]
	if len(lines) == 0 {
		return tags{}, nil
	}
	t := tags{given: true}
	rest := strings.Trim(strings.Join(lines, ","), " \t")
	if rest == "*" {
		t.any = true
		return t, nil
	}
	for rest != "" {
		if rest[0] == ',' { // empty elements are allowed
			rest = strings.TrimLeft(rest[1:], " \t")
			continue
		}
		one, after, ok := cutTag(rest)
		if !ok {
			break
		}
		t.list = append(t.list, one)
		rest = strings.TrimLeft(after, " \t")
	}
	if rest != "" || len(t.list) == 0 {
		return tags{}, api.Errorf(api.CodeInvalid, `%s is neither * nor versions in quotes such as "1.42"`, name)
	}
	return t, nil
}

// cutTag cuts the first tag off s, which must be followed by a comma or nothing.
func cutTag(s string) (one tag, after string, ok bool) {
	s, one.weak = strings.CutPrefix(s, "W/")
	s, ok = strings.CutPrefix(s, `"`)
	if !ok {
		return tag{}, "", false
	}
	one.text, after, ok = strings.Cut(s, `"`)
	next := strings.TrimLeft(after, " \t")
	return one, after, ok && (next == "" || next[0] == ',')
}

// hasWeak reports whether one of the tags is weak. If-Match compares strongly (RFC 9110, 13.1.1): a weak one never matches.
func (t tags) hasWeak() bool {
	return slices.ContainsFunc(t.list, func(one tag) bool { return one.weak })
}

// versions are the versions that a strong (or, if asked, also a weak) tag names, oldest first, each once. Tags that no
// version of ours has match nothing and are left out.
func (t tags) versions(alsoWeak bool) []api.Version {
	var vs []api.Version
	for _, one := range t.list {
		v, err := api.ParseVersion(one.text)
		if err == nil && v.String() == one.text && (alsoWeak || !one.weak) {
			vs = append(vs, v)
		}
	}
	slices.SortFunc(vs, api.Version.Compare)
	return slices.Compact(vs)
}

// match reports whether the header's test matches the entry.
func (t tags) match(e *api.Entry, alsoWeak bool) bool {
	return e.Exists && (t.any || slices.Contains(t.versions(alsoWeak), e.Version))
}
