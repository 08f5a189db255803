// Package consul is a front that speaks the HTTP API of Consul's KV store: keys, blocking queries, sessions with their locks, and
// transactions on keys. It serves a listener of its own, since its paths are those of the HTTP API too.
//
// The value of the key K is stored as it comes, at consul/K. What Consul keeps beside a value are siblings of that key, in the same
// directory: their names are that of the key, a zero byte and a letter.
//
//	consul/K\x00c  written when the key was created, and never again: its version is the CreateIndex
//	consul/K\x00f  the flags, in decimal; absent if they are 0
//	consul/K\x00l  the lock, as JSON: which session has it, how often it was taken, whether the end of the session deletes the key
//
// So one range has a tree with all that belongs to it, and one policy allows it. No key of a client has a zero byte. Only locks of the
// HTTP API may write keys with a segment .lock, and consul/.meta/ is the front's own: a dot is put after a .lock that begins a segment, and
// after a .meta that begins a key. This keeps the order of keys, and what is a prefix of what.
//
//	consul/.meta/session/ID  a session, with the time to live of the session
//	consul/.meta/session/ID\x00e  stays when a session expires, until a new one removes it: so a list of sessions knows of that end
//	consul/.meta/delay/ID    is there until the lock-delay of a session that has ended is over
//	consul/.meta/deleted     written by each deletion: so the index of a tree rises although nothing is left of a key
//	consul/.meta/made        written with each new session: so the index of a list of sessions stays when the newest expires
//
// A lock is held while its sibling names a session whose key exists. A session ends when its key is deleted or expires, by the time of
// the group, which is an entry in its log: from that entry on every reader finds the lock free, or the key deleted, and no program has to
// clean up. Each write of a lock has the condition that the session still exists, or still does not.
//
// An index is a version as one integer. All keys below consul/ must have one owner, so that one counter numbers all writes.
package consul

import (
	"net/http"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
)

// Name is the name of the front in metrics.
const Name = "consul"

// Home says where the keys of the front are.
type Home struct {
	Leader string   // HOST:PORT of the leader of their owner; "" if it is not known
	Peers  []string // HOST:PORT of its voters
}

// Config is what the front says of its node and of the cluster.
type Config struct {
	// Region is the node's, and the datacenter that it says it is in. Server is false for an edge.
	Region api.RegionID
	Server bool
	// Address is the node's HOST:PORT.
	Address string
	// Regions returns the regions of the cluster: the datacenters that a request may name. It must not block.
	Regions func() []api.RegionID
	// OneOwner returns nil if one group keeps all keys of the front, CodeInvalid if several do, from which no request is answered, and
	// CodeUnavailable if the node does not know it yet. It is asked for each request. It must not block.
	OneOwner func() error
	// Home returns the servers of the owner of the keys. It is called only if OneOwner returns nil, and must not block.
	Home func() Home
}

// frontend is the front.
type frontend struct {
	*front.Backend
	cfg Config
}

// New returns the handler of the front's requests. It is safe for concurrent use.
func New(b *front.Backend, c Config) http.Handler {
	f := &frontend{b, c}
	h := door.Handler(b, door.Front{Name: Name, Look: f.look, Serve: f.serve, Fail: fail})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, credential(r)) })
}

// look says what a request asks for, by its head.
func (f *frontend) look(r *http.Request) (door.Request, error) {
	q, err := f.parse(r)
	ask := door.Request{Route: "none"}
	if q.handler != nil {
		ask.Route = q.handler.route
	}
	if err == nil {
		err = f.cfg.OneOwner()
		if api.CodeOf(err) == api.CodeInvalid {
			err = severalOwners()
		}
	}
	if err != nil {
		return ask, err
	}
	ask.Ask = q.ask()
	return ask, nil
}

func (f *frontend) serve(x *door.Exchange) error {
	q, err := f.parse(x.R)
	if err != nil {
		return err
	}
	q.exchange, q.store = x, x.Store
	return q.handler.serve(f, q)
}
