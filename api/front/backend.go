// Package front is the frame of every front: what turns a protocol into the calls of package api gets a [Backend] and from it
// the [Caller] of a request, which has the principal of the request and its rights. A front has no other way to the store.
package front

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/lock"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/api/observe/slow"
	"github.com/edgehold/edgehold/api/observe/trace"
)

// Config is what the fronts of a node serve, and how much of it at once. The zero value of each field but Store works.
type Config struct {
	// Store answers reads and carries out writes. It is required.
	Store api.Store
	// Lister answers lists; nil: there are none.
	Lister api.Lister
	// Watcher reports what changes; nil: there are no watches.
	Watcher api.Watcher
	// Locks gives locks; nil: 404. Its owner closes it.
	Locks *lock.Service
	// Admin answers about the cluster; nil: there is nothing to ask, and the node is always ready.
	Admin api.Admin
	// Observer reports what the cluster does; nil: 404.
	Observer api.Observer
	// Members takes orders about nodes and groups; nil: 404.
	Members api.Members
	// JoinTokens answers about join tokens, and Joiner admits nodes that show one; nil: 404.
	JoinTokens api.JoinTokens
	Joiner     api.Joiner
	// Settings answers about settings and the level of the cluster; nil: 404.
	Settings api.Settings
	// Dev chooses the faults of a planet in one process; nil: 404.
	Dev api.Dev
	// Debugger writes the node's debug bundle; nil: 404.
	Debugger api.Debugger
	// Node is this node's name, and URL the base of its URLs for clients.
	Node api.NodeID
	URL  string
	// Access authenticates principals and checks their rights; nil: every client may do everything.
	Access Access
	// Tokens answers about tokens and policies; nil: there are none to ask about.
	Tokens api.Access
	// Elsewhere returns the refusal of administration if this node does not take it; nil: it does.
	Elsewhere func() error
	// SlowLog remembers slow requests, and HotKeys counts keys; nil: neither is done. SlowRequests answers about them; nil: 404.
	SlowLog      *slow.Log
	HotKeys      *slow.Hot
	SlowRequests api.Slow
	// Tracer decides which requests are traced; nil: none is.
	Tracer *trace.Tracer
	// Metrics is where the fronts register what they measure; nil measures nothing.
	Metrics observe.Metrics
	// Log takes a message and key-value pairs for what an operator must see; nil discards it.
	Log func(msg string, args ...any)
	// Faults catches the panics of requests; nil: they are not reported.
	Faults *fault.Catcher
	// Room lets requests in or refuses them for load; nil: one with the defaults of [admission.Config].
	Room *admission.Room
	// Classify returns what a request about the key counts as, and its refusal if only the key's owner can answer it and the owner is
	// overloaded. begun is the number of other requests that have begun here. It must not block, and may return a shared error. nil:
	// each counts as a Request.
	Classify func(k api.Key, writes bool, c api.Consistency, begun int) (admission.Class, *api.Error)
}

// Backend is what a node offers to its fronts. Its methods are safe for concurrent use.
type Backend struct {
	// Node, URL, Log, Faults and Tracer are those of the Config; Log is not nil.
	Node   api.NodeID
	URL    string
	Log    func(msg string, args ...any)
	Faults *fault.Catcher
	Tracer *trace.Tracer

	slow         *slow.Log
	hot          *slow.Hot
	slowRequests api.Slow

	members    api.Members
	joinTokens api.JoinTokens
	joiner     api.Joiner
	settings   api.Settings
	dev        api.Dev
	debugger   api.Debugger

	room      *admission.Room
	classify  func(api.Key, bool, api.Consistency, int) (admission.Class, *api.Error)
	store     api.Store
	lister    api.Lister
	watcher   api.Watcher
	watching  watching
	observer  api.Observer
	locks     *lock.Service
	admin     api.Admin
	access    Access
	tokens    api.Access
	elsewhere func() error
	numbering numbering

	requests func(n float64, values ...string)
	seconds  func(seconds float64, values ...string)
}

// New returns the Backend of a node.
func New(c Config) *Backend {
	if c.Metrics == nil {
		c.Metrics = observe.NoMetrics{}
	}
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	if c.Room == nil {
		c.Room = admission.New(admission.Config{})
	}
	b := &Backend{
		Tracer: c.Tracer, slow: c.SlowLog, hot: c.HotKeys, slowRequests: c.SlowRequests,
		members: c.Members, joinTokens: c.JoinTokens, joiner: c.Joiner, settings: c.Settings, dev: c.Dev, debugger: c.Debugger,
		Node: c.Node, URL: c.URL, Log: c.Log, Faults: c.Faults, room: c.Room, classify: c.Classify,
		store: c.Store, lister: c.Lister, watcher: c.Watcher, observer: c.Observer, locks: c.Locks, admin: c.Admin, access: c.Access, tokens: c.Tokens, elsewhere: c.Elsewhere,
		requests: c.Metrics.Counter("edgehold_front_requests_total", "Requests answered.", "front", "route", "status"),
		seconds: c.Metrics.Histogram("edgehold_front_request_seconds", "Time from the beginning of a request to the end of its answer.",
			"front", "route"),
	}
	b.watching.register(c.Metrics)
	return b
}

// Lists reports whether there are lists.
func (b *Backend) Lists() bool { return b.lister != nil }

// Admins reports whether there is a cluster to ask about.
func (b *Backend) Admins() bool { return b.admin != nil }

// Ready returns nil if the node serves. It needs no right.
func (b *Backend) Ready(ctx context.Context) error {
	if b.admin == nil {
		return nil
	}
	return b.admin.Ready(ctx)
}

// Labels names a request in the metrics. The names come from small fixed sets, never from what clients send.
type Labels struct{ Front, Route, Status string }

// Observe counts a request that took so many seconds.
func (b *Backend) Observe(l Labels, seconds float64) {
	b.requests(1, l.Front, l.Route, l.Status)
	b.seconds(seconds, l.Front, l.Route)
}
