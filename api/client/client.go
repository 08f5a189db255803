// Package client is Edgehold's Go SDK: a key-value store that is linearizable from every place, through the nearest node.
//
//	c, err := client.Open(ctx, client.Config{Endpoints: []string{"http://127.0.0.1:7400"}})
//	...
//	defer c.Close()
//	version, err := c.Put(ctx, "us-east/alice", []byte("hello"))
//	v, err := c.Get(ctx, "us-east/alice") // v.Value, v.Version, v.ServedBy
//	if errors.Is(err, api.CodeNotFound) { ... }
//	_, err = c.Put(ctx, "us-east/alice", []byte("again"), client.IfVersion(v.Version))
//	if errors.Is(err, api.CodePreconditionFailed) { ... }
//
// [New] makes a Client of a Store of this process, such as that of an embedded edge.
//
// # Consistency
//
// A Get is linearizable unless told otherwise: it sees every write that had returned, at any node, before it began. Where
// the node holds a lease on the key it answers without asking anyone ([Value.ServedBy]). [Quorum] always asks the owner;
// [MaxStale] and [Stale] trade age for availability, and the answer says how old it is.
//
// # Transactions
//
// [Client.Txn] runs a function that reads and writes keys of any regions, and commits it atomically, strictly serializable with
// everything else. [Client.View] runs one that only reads, on one snapshot. Both may run the function several times:
//
//	err = c.Txn(ctx, func(tx *client.Tx) error {
//		v, err := tx.Get(ctx, "eu-west/alice")
//		if err != nil {
//			return err
//		}
//		_ = tx.Put("us-east/alice", v.Value) // where it is refused, Txn tells
//		return tx.Delete("eu-west/alice")
//	})
//
// # Errors
//
// Every error is an [*api.Error]; test its code with errors.Is(err, api.CodeNotFound) and so on. One code matters above
// all: after [api.CodeAmbiguous] the write may have happened or may yet happen. Every other error of a write means that
// it did not and will not.
//
// # Retries
//
// A call fails over between the endpoints and tries again, with growing pauses, until it has an answer or its time has
// run out ([Config].Timeout, or the deadline of its context). Each write carries an id under which it takes effect at most
// once, whatever node the retries reach, so a write is retried even where its first outcome is unknown; for an hour at
// most, since ids are not known for ever.
//
// Where a node refuses calls because it has more to do than it can, it is sent no more at once than it takes. The other
// calls wait for their turn, or go to another node that has room; one whose time ends before was not sent, and gets
// [api.CodeUnavailable].
package client

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Config is where the store is and how to talk to it. Only Endpoints is required.
type Config struct {
	// Endpoints are the nodes' URLs, such as http://127.0.0.1:7400, the nearest first. The first that works is used; one
	// that fails is left alone for a while and then tried again, so that calls return to the nearest.
	Endpoints []string
	// Timeout bounds a call whose context has no deadline. 0 is [api.DefaultTimeout].
	Timeout time.Duration
	// Token is sent as bearer token where it is not empty.
	Token string
	// HTTPClient carries the requests; redirects are not followed. nil is one with connections of its own. Streams are opened
	// as its Transport connects, where that is an [*http.Transport] that speaks HTTP/1.1; else there are none.
	HTTPClient *http.Client
	// PlainHTTP sends every call as a request of its own. Else calls that are not large share one stream to each node, which
	// costs far less; where a node, or a proxy before it, does not take the Upgrade, it is plain HTTP all the same.
	PlainHTTP bool
	// UserAgent names the program in requests. Empty is "edgehold-go".
	UserAgent string
	// Random is where the ids of writes come from; nil is [crypto/rand.Reader]. Two clients must never share an id.
	Random io.Reader
}

// Client is an open store. It is safe for concurrent use; one for a program is enough.
type Client struct {
	timeout   time.Duration
	endpoints *endpoints
	carrier   carrier
	random    io.Reader
	sequence  atomic.Pointer[sequence]
}

var _ api.Admin = (*Client)(nil)

// Open checks the Config and returns a Client. It asks no node yet: the first call does. Close it when done.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Op: "open", Err: err}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = api.DefaultTimeout
	}
	if cfg.Timeout < 0 {
		return nil, &api.Error{Code: api.CodeInvalid, Op: "open", Hint: "the timeout is negative"}
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "edgehold-go"
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	nodes, err := parseEndpoints(cfg.Endpoints)
	if err != nil {
		return nil, err
	}
	return newClient(cfg.Timeout, cfg.Random, nodes, newNetwork(cfg, nodes))
}

func newClient(timeout time.Duration, random io.Reader, nodes *endpoints, carrier carrier) (*Client, error) {
	first, err := newSequence(random)
	if err != nil {
		return nil, err
	}
	c := &Client{timeout: timeout, endpoints: nodes, carrier: carrier, random: random}
	c.sequence.Store(first)
	return c, nil
}

// Close ends the streams, with the calls on them, and gives idle connections back; no call may follow it. A Store that was
// given to [New] stays open.
func (c *Client) Close() error {
	c.carrier.close()
	return nil
}

// network carries calls to nodes: on a stream to each, or as HTTP requests.
type network struct {
	config    Config
	http      *http.Client
	endpoints *endpoints
	upgrades  *http.Client // opens streams; nil if there are none

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	opens  sync.WaitGroup // streams being opened
}

func newNetwork(cfg Config, nodes *endpoints) *network {
	n := &network{config: cfg, endpoints: nodes, http: httpClient(cfg.HTTPClient)}
	if !cfg.PlainHTTP {
		n.upgrades = upgrader(n.http)
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

func (n *network) close() {
	n.cancel()
	n.opens.Wait()
	for _, e := range n.endpoints.all {
		e.stream.end()
	}
	n.http.CloseIdleConnections()
	if n.upgrades != nil {
		n.upgrades.CloseIdleConnections()
	}
}

// httpClient is the given client, or one of our own, that follows no redirects: a redirected write may lose its body.
func httpClient(given *http.Client) *http.Client {
	var h http.Client
	if given != nil {
		h = *given
	} else {
		h.Transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			ForceAttemptHTTP2:     true,
			MaxIdleConns:          4096,
			MaxIdleConnsPerHost:   1024,
			IdleConnTimeout:       90 * time.Second, // before the server's two minutes
			ExpectContinueTimeout: time.Second,
			DisableCompression:    true,
		}
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}
