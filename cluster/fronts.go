package cluster

import (
	"net/http"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/consul"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/kvconnect"
	"github.com/edgehold/edgehold/api/resp"
	"github.com/edgehold/edgehold/api/workerskv"
	"github.com/edgehold/edgehold/fsm/placement"
)

// frontRow is one protocol that nodes speak beside the HTTP API, if [Config].Fronts names it. It has either match and http, and
// shares the port's HTTP lane, or open, and has connections of its own. One with a listener of its own is on if it has one, and
// [Config].Fronts does not name it.
type frontRow struct {
	name string
	// match reports whether a request is one of the front's. It must not change the request, and must not block.
	match func(r *http.Request) bool
	// http returns the handler of the requests that match.
	http func(b *front.Backend) http.Handler
	// open begins to serve, and returns what ends that and waits for it.
	open func(n *Node, b *front.Backend) (end func() error, err error)
	// listens reports whether the front has a listener of its own; nil: it never has.
	listens func(c *Config) bool
	// together is a prefix whose keys all belong to one group in a new cluster, also if a region divides its keys among several; "": none.
	together api.Key
	// try returns a command, of one line or a few, that shows the front at work on the node of at; "" if the front is off there.
	try func(at Reach) string
}

// frontTable is the fronts that there are, in the order in which they are asked whether a request is theirs.
type frontTable []frontRow

// fronts is the table of fronts: a new one is its package and one row here. A header goes before a path, which may be any key.
var fronts = frontTable{
	{name: resp.Name, open: openRESP, try: tryRESP},
	{name: workerskv.Name, match: workerskv.Match, http: workerskv.New, try: tryWorkersKV},
	{name: kvconnect.Name, match: kvconnect.Match, http: kvconnect.New, try: tryKVConnect},
	{
		name: consul.Name, listens: func(c *Config) bool { return c.ConsulListener != nil }, open: openConsul, together: consul.Prefix,
		try: tryConsul,
	},
}

// Reach is how a client reaches a node.
type Reach struct {
	URL string
	CA  string // the file with the root of its certificate; "" without TLS
	// Token is the file with a token of clients; "" if none is needed.
	Token string
	// Consul is the HOST:PORT of the front for clients of Consul; "" if it is off.
	Consul string
}

// Fronts returns the names of the protocols that a node speaks if [Config].Fronts names them.
func Fronts() []string { return fronts.names() }

// CheckFronts returns nil if there is a front for each name and none is named twice, else CodeInvalid.
func CheckFronts(names []string) error { return fronts.check(names) }

// TryFronts returns a command for each front, in the order of [Fronts], that shows it at work on a node that speaks all of them.
func TryFronts(at Reach) []string {
	var all []string
	for _, f := range fronts {
		if command := f.try(at); command != "" {
			all = append(all, command)
		}
	}
	return all
}

func (t frontTable) names() []string {
	var all []string
	for _, f := range t {
		if f.listens == nil {
			all = append(all, f.name)
		}
	}
	return all
}

func (t frontTable) check(names []string) error {
	for i, name := range names {
		switch {
		case !slices.Contains(t.names(), name):
			return api.Errorf(api.CodeInvalid, "--front %q: there is no such front; the fronts are %s", name, strings.Join(t.names(), ", "))
		case slices.Contains(names[:i], name):
			return api.Errorf(api.CodeInvalid, "--front %q is given twice", name)
		}
	}
	return nil
}

// keepTogether gives each front what it needs of the map of a new cluster.
func (t frontTable) keepTogether(m *placement.Map) {
	for _, f := range t {
		if f.together != "" {
			m.Together(f.together)
		}
	}
}

// handler answers requests by the first front, of those named, that they match, else by other.
func (t frontTable) handler(names []string, b *front.Backend, other http.Handler) http.Handler {
	var on frontMux
	for _, f := range t {
		if f.http != nil && slices.Contains(names, f.name) {
			on.fronts = append(on.fronts, mounted{f.match, f.http(b)})
		}
	}
	if len(on.fronts) == 0 {
		return other
	}
	on.other = other
	return &on
}

// open opens the fronts, of those named or with a listener, that have connections of their own. The function ends them in reverse, also after an error.
func (t frontTable) open(n *Node, names []string, b *front.Backend) (end func() error, err error) {
	var ends []func() error
	end = func() (err error) {
		for _, end := range slices.Backward(ends) {
			if e := end(); err == nil {
				err = e
			}
		}
		return err
	}
	for _, f := range t {
		on := slices.Contains(names, f.name) || f.listens != nil && f.listens(&n.cfg)
		if f.open == nil || !on {
			continue
		}
		one, err := f.open(n, b)
		if one != nil {
			ends = append(ends, one)
		}
		if err != nil {
			return end, err
		}
	}
	return end, nil
}

// frontMux gives each request to the first front that it matches.
type frontMux struct {
	fronts []mounted
	other  http.Handler
}

type mounted struct {
	match   func(r *http.Request) bool
	handler http.Handler
}

func (m *frontMux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for i := range m.fronts {
		if m.fronts[i].match(r) {
			m.fronts[i].handler.ServeHTTP(w, r)
			return
		}
	}
	m.other.ServeHTTP(w, r)
}
