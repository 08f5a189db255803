package cluster

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// answersAs answers every request with its name.
type answersAs string

func (s answersAs) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, string(s))
}

// testFronts are two fronts by path, of which the first takes some of the other's paths, and one with connections of its own, which
// notes what becomes of it.
func testFronts(noted *[]string, fails error) frontTable {
	below := func(prefix string) func(*http.Request) bool {
		return func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, prefix) }
	}
	handler := func(name answersAs) func(*front.Backend) http.Handler {
		return func(*front.Backend) http.Handler { return name }
	}
	open := func(name string, err error) func(*Node, *front.Backend) (func() error, error) {
		return func(*Node, *front.Backend) (func() error, error) {
			*noted = append(*noted, "open "+name)
			return func() error { *noted = append(*noted, "end "+name); return nil }, err
		}
	}
	return frontTable{
		{name: "narrow", match: below("/front/narrow/"), http: handler("narrow")},
		{name: "wide", match: below("/front/"), http: handler("wide")},
		{name: "own", open: open("own", nil)},
		{name: "last", open: open("last", fails)},
	}
}

// TestPagesOfFronts: each front has a page that sets what the original promises beside what this cluster does, and how to start.
func TestPagesOfFronts(t *testing.T) {
	for _, f := range fronts {
		page, err := os.ReadFile("../docs/fronts/" + f.name + ".md")
		if err != nil {
			t.Error(err)
			continue
		}
		_, promises, _ := strings.Cut(string(page), "\n## Guarantees side by side\n\n")
		if head, _, _ := strings.Cut(promises, "\n"); strings.Count(head, "|") != 4 || !strings.HasSuffix(head, " | Edgehold |") {
			t.Errorf("the page of %s has no table of guarantees, but %q", f.name, head)
		}
		if !strings.Contains(string(page), "\n## Start\n") {
			t.Errorf("the page of %s does not say how to start", f.name)
		}
	}
}

// TestFrontByMatch: a request is answered by the first front that is on and that it matches, else by the API.
func TestFrontByMatch(t *testing.T) {
	table := testFronts(nil, nil)
	for _, c := range []struct {
		on         []string
		path, want string
	}{
		{nil, "/front/narrow/x", "api"},
		{[]string{"wide"}, "/front/narrow/x", "wide"},
		{[]string{"wide", "narrow"}, "/front/narrow/x", "narrow"},
		{[]string{"wide", "narrow"}, "/front/x", "wide"},
		{[]string{"wide", "narrow"}, "/v1/kv/x", "api"},
		{[]string{"own"}, "/front/x", "api"},
	} {
		w := httptest.NewRecorder()
		table.handler(c.on, nil, answersAs("api")).ServeHTTP(w, httptest.NewRequest("GET", c.path, nil))
		if got := w.Body.String(); got != c.want {
			t.Errorf("with %q on, %s is answered by %s, want %s", c.on, c.path, got, c.want)
		}
	}
	if _, same := table.handler(nil, nil, answersAs("api")).(answersAs); !same {
		t.Error("a node without fronts answers through a table of none")
	}
}

// TestFrontsOpenAndEnd: the fronts that are on are opened in order and ended in reverse, also if one of them could not be opened.
func TestFrontsOpenAndEnd(t *testing.T) {
	fails := errors.New("no socket")
	for _, c := range []struct {
		on    []string
		fails error
		want  string
	}{
		{[]string{"wide"}, nil, ""},
		{[]string{"last", "own"}, nil, "open own, open last, end last, end own"},
		{[]string{"last", "own"}, fails, "open own, open last, end last, end own"},
	} {
		var noted []string
		end, err := testFronts(&noted, c.fails).open(nil, c.on, nil)
		if !errors.Is(err, c.fails) {
			t.Errorf("%q: %v", c.on, err)
		}
		if err := end(); err != nil {
			t.Errorf("%q ended with %v", c.on, err)
		}
		if got := strings.Join(noted, ", "); got != c.want {
			t.Errorf("%q: %s, want %s", c.on, got, c.want)
		}
	}
}

// TestFrontNames: a name that is not a front's is refused with those that are, and so is one that is given twice.
func TestFrontNames(t *testing.T) {
	table := testFronts(nil, nil)
	if err := table.check(table.names()); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		on   []string
		hint string
	}{
		{[]string{"wide", "redis"}, `--front "redis": there is no such front; the fronts are narrow, wide, own, last`},
		{[]string{"wide", "wide"}, `--front "wide" is given twice`},
	} {
		if err := table.check(c.on); api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%q: %v", c.on, err)
		}
	}
}

// TestFrontRows: each row of the table is whole: a name of its own, one way in, and a command to try.
func TestFrontRows(t *testing.T) {
	for i, f := range fronts {
		if f.name == "" || slices.Contains(fronts.names()[:i], f.name) || f.try == nil {
			t.Errorf("row %d, %q, has no name of its own or no command to try", i, f.name)
		}
		if byHTTP := f.match != nil && f.http != nil; byHTTP == (f.open != nil) {
			t.Errorf("%q has to be reached by HTTP or by connections of its own", f.name)
		}
	}
}
