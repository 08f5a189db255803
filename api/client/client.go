// Package client is the Go SDK of Edgehold, a distributed key-value store whose reads and writes are linearizable at every node.
// A [Client] talks to the nearest node.
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
// [Open] returns a Client that talks to nodes over the network. [New] returns a Client of a Store in the same process, such as
// that of an embedded edge. Both have the same methods and guarantees. A Client is safe for concurrent use, and one per program
// is enough.
//
// # Limits
//
// A key is 1 to 4096 bytes, a value at most 1 MiB. A transaction has at most 2500 reads and writes and 8 MiB of keys and written
// values. A page of a list has at most 1000 entries. A request over a limit is refused with [api.CodeTooLarge].
//
// # Consistency
//
// A Get is linearizable unless an option says otherwise: it sees every write that returned, at any node, before the Get began. If
// the node holds a lease on the key, it answers without asking another node ([Value.ServedBy]). [Quorum] always asks the key's
// owner. [MaxStale] and [Stale] allow older values, so that a node can also answer when it is disconnected. The answer says how
// old it may be.
//
// # Transactions
//
// [Client.Txn] runs a function that reads and writes keys of any regions, and commits its writes atomically. Transactions are
// strictly serializable. [Client.View] runs a function that only reads, on one snapshot. Both may run the function several times:
//
//	err = c.Txn(ctx, func(tx *client.Tx) error {
//		v, err := tx.Get(ctx, "eu-west/alice")
//		if err != nil {
//			return err
//		}
//		_ = tx.Put("us-east/alice", v.Value) // Txn returns the error if this is refused
//		return tx.Delete("eu-west/alice")
//	})
//
// # Watches
//
// [Client.Watch] yields what changes among the keys with a prefix, from any [api.Cursor] on. [Client.Follow] first yields what there
// is. Both go on through the next endpoint if a node fails, and miss nothing:
//
//	for ev, err := range c.Follow(ctx, "config/") {
//		if err != nil {
//			return err
//		}
//		fmt.Println(ev.Kind, ev.Key, ev.Version)
//	}
//
// # Errors
//
// Every error of a Client is an [*api.Error], except errors that the function given to Txn or View returns. Test for a code with
// errors.Is(err, api.CodeNotFound) and so on.
//
// The most important code is [api.CodeAmbiguous]: the write may have taken effect, or may take effect later. Any other error of a
// write means that it has not taken effect and will not.
//
// Every call may fail with [api.CodeUnavailable] if no node carried it out in time, with [api.CodeInvalid] or [api.CodeTooLarge]
// if the request is not valid, with [api.CodeUnauthenticated] or [api.CodeDenied] if the token is refused, with [api.CodeLimited] if
// the token was over its rate for the whole time of the call, and with [api.CodeInternal] after a fault in a node (a write returns
// [api.CodeAmbiguous] then). The comments of the methods list further codes.
//
// # Retries
//
// A call tries the endpoints in turn, with growing pauses between rounds, until it has an answer or its time is up. The time is
// the deadline of its context or, if there is none, [Config].Timeout. Each write carries an id under which it takes effect at
// most once, whichever nodes its attempts reach. So a write is retried even if the outcome of an attempt is unknown. Because ids
// are not stored forever, a write is retried for at most one hour.
//
// If a node refuses calls because it is overloaded, the Client limits how many calls it sends to that node at once. Other calls
// wait in a queue or go to another node that has room. A call whose time is up before it was sent returns [api.CodeUnavailable].
package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Config configures a Client. Only Endpoints is required.
type Config struct {
	// Endpoints are the URLs of the nodes, such as http://127.0.0.1:7400, the nearest first. A call goes to the first node that
	// works. A node that fails is skipped for a while and then tried again, so that calls return to the nearest node.
	Endpoints []string
	// Timeout bounds a call whose context has no deadline. If it is 0, [api.DefaultTimeout] is used.
	Timeout time.Duration
	// CA holds certificates, in PEM, that https endpoints may lead to; the roots of the system are not trusted then. They are those of
	// a cluster with TLS: DATA/identity/roots.pem of any server. If it is empty, the system's roots are trusted. It must be empty if
	// HTTPClient is given, whose Transport decides.
	CA []byte
	// Token is sent as a bearer token if it is not empty.
	Token api.Secret
	// TokenFile is a file that holds the token, instead of Token. If a node does not know the token, and the file has another one by
	// then, the call is sent once more with that.
	TokenFile string
	// HTTPClient carries the requests. Redirects are not followed. If it is nil, the Client uses connections of its own. Streams
	// connect as the HTTPClient's Transport does, if that is an [*http.Transport] that speaks HTTP/1.1. Otherwise no streams are
	// used.
	HTTPClient *http.Client
	// PlainHTTP sends every call as an HTTP request of its own. Otherwise calls that are not large share one stream to each node,
	// which costs far less. If a node, or a proxy in front of it, refuses the Upgrade, plain HTTP is used in any case.
	PlainHTTP bool
	// UserAgent names the program in requests. If it is empty, "edgehold-go" is used.
	UserAgent string
	// Random is the source of the ids of writes. If it is nil, [crypto/rand.Reader] is used. Two clients must never share an id.
	Random io.Reader
}

// Client gives access to the store. It is safe for concurrent use. One Client per program is enough.
type Client struct {
	timeout   time.Duration
	endpoints *endpoints
	carrier   carrier
	leased    leaser // nil if the carrier is no such Store
	random    io.Reader
	sequence  atomic.Pointer[sequence]
	holds     holds
	moment    func() moment // by which locks count
	tracer    Tracer        // nil: calls make no spans
}

var _ api.Admin = (*Client)(nil)

// Open checks the Config and returns a Client. It does not contact a node; the first call does. The error is [api.CodeInvalid] if
// the Config is not valid. Close the Client when it is no longer needed.
func Open(ctx context.Context, cfg Config, opts ...Option) (*Client, error) {
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
	if cfg.HTTPClient, err = cfg.httpClient(); err != nil {
		return nil, err
	}
	tokens, err := newTokens(cfg)
	if err != nil {
		return nil, err
	}
	c, err := newClient(cfg.Timeout, cfg.Random, nodes, newNetwork(cfg, tokens, nodes))
	if err != nil {
		return nil, err
	}
	for _, o := range opts {
		o(c)
	}
	return c, nil
}

func newClient(timeout time.Duration, random io.Reader, nodes *endpoints, carrier carrier) (*Client, error) {
	first, err := newSequence(random)
	if err != nil {
		return nil, err
	}
	c := &Client{timeout: timeout, endpoints: nodes, carrier: carrier, random: random, moment: systemMoment}
	c.sequence.Store(first)
	return c, nil
}

// Close ends the renewals of locks, which are lost then, closes the streams, ends the calls on them, and closes idle connections. No method may be called after Close. A Store
// that was given to [New] is not closed.
func (c *Client) Close() error {
	c.holds.close()
	c.carrier.close()
	return nil
}

// network carries calls to nodes, over a stream to each node or as HTTP requests.
type network struct {
	config    Config
	tokens    *tokens
	http      *http.Client
	endpoints *endpoints
	upgrades  *http.Client // opens streams; nil if there are none
	watches   *http.Client // http without a bound of the time

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	opens  sync.WaitGroup // streams being opened
}

func newNetwork(cfg Config, tokens *tokens, nodes *endpoints) *network {
	n := &network{config: cfg, tokens: tokens, endpoints: nodes, http: cfg.HTTPClient}
	unbounded := *n.http
	unbounded.Timeout = 0
	n.watches = &unbounded
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

// httpClient returns a client that follows no redirects, because a redirected write may lose its body. It is a copy of the given
// client, or a new one if none is given.
func (cfg Config) httpClient() (*http.Client, error) {
	var h http.Client
	trust, err := trusting(cfg.CA)
	switch {
	case err != nil:
		return nil, err
	case cfg.HTTPClient != nil && trust != nil:
		return nil, &api.Error{Code: api.CodeInvalid, Op: "open", Hint: "CA and HTTPClient are given: the Transport of HTTPClient decides whom to trust"}
	case cfg.HTTPClient != nil:
		h = *cfg.HTTPClient
	default:
		h.Transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSClientConfig:       trust,
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
	return &h, nil
}

// trusting returns the TLS that trusts the certificates and nothing else; nil if there are none, which trusts the system's roots.
func trusting(certificates []byte) (*tls.Config, error) {
	if len(certificates) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(certificates) {
		return nil, &api.Error{Code: api.CodeInvalid, Op: "open", Hint: "CA has no certificate in PEM"}
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
