package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/soheilhy/cmux"
)

// The first byte of a connection. HTTP begins with its method, HTTP/2 with its preface, either perhaps after empty lines
// (RFC 9112, section 2.2). A command of RESP, the protocol of Redis, is an array. Any other byte that could be text goes to HTTP
// too, which answers with an error.
const (
	laneRaft  = 0x01 // then two names, each after one byte with its length: of the lane, and of the node that dials
	lanePeer  = 0x02 // then the same with the name of the node that is meant; an empty name means any node
	laneCalls = 0x03 // then the same; the first name is not empty
	laneRESP  = '*'
)

// The defaults of a [Config].
const (
	DefaultPreface      = 5 * time.Second
	DefaultMaxUnmatched = 8192
	DefaultQueue        = 2048
	DefaultMaxConns     = 8192
	DefaultMaxHTTPConns = 20480
	DefaultMaxRaftConns = 256
)

// Config describes a port. Listener is required; zero fields are the defaults named.
type Config struct {
	// Listener is closed by the port.
	Listener net.Listener
	// Preface is how long a connection may take to name its lane, once it is accepted. Linux accepts it at its first byte, or
	// after about the same time of silence. 0: [DefaultPreface].
	Preface time.Duration
	// MaxUnmatched bounds the connections that have not named a lane; one more closes the oldest of the address that has most of
	// them. 0: [DefaultMaxUnmatched].
	MaxUnmatched int
	// Queue bounds the connections of a lane that wait to be accepted; one more is closed at once. 0: [DefaultQueue]. A busy node
	// accepts late, and a client whose connection is closed does not learn the reason.
	Queue int
	// MaxConns bounds the open connections of the peer lane and of the lane of calls, MaxHTTPConns those of HTTP and those of RESP;
	// one more is closed at once. 0: [DefaultMaxConns], [DefaultMaxHTTPConns].
	MaxConns, MaxHTTPConns int
	// Answers reports whether a connection of the peer lane or of the lane of calls that names a node is for this port; others
	// are refused. It must not block. nil: every name is for this port.
	Answers func(name string) bool
	// Identify returns what is known of the other end of a connection of a lane between nodes; [PeerOf] returns it to the lane's
	// owner. Its error closes the connection; if it is a [Denied], the reason is sent to the other end first. It is called once a connection, in a
	// goroutine of the connection, and ctx ends with the connection's time for the preface. nil: nothing is known.
	Identify func(ctx context.Context, a Arrival) (peer any, err error)
	// Secure is TLS on the port; nil: there is none.
	Secure *Secure
	// Links, if not nil, has the open connections of nodes on TLS.
	Links *Links
	// Refusal returns what this node is, as the answer to a connection that names another node or a lane that is not open; ""
	// closes the connection without an answer. It must not block. nil is always "".
	Refusal func(name string) string
	// MaxRaftConns bounds the open connections of each Raft lane; one more is closed at once. 0: [DefaultMaxRaftConns].
	MaxRaftConns int
	// Logger is where the port logs; nil is nowhere.
	Logger hclog.Logger
}

func (c *Config) setDefaults() {
	orElse(&c.Preface, DefaultPreface)
	orElse(&c.MaxUnmatched, DefaultMaxUnmatched)
	orElse(&c.Queue, DefaultQueue)
	orElse(&c.MaxConns, DefaultMaxConns)
	orElse(&c.MaxHTTPConns, DefaultMaxHTTPConns)
	orElse(&c.MaxRaftConns, DefaultMaxRaftConns)
	if c.Answers == nil {
		c.Answers = func(string) bool { return true }
	}
	if c.Identify == nil {
		c.Identify = func(context.Context, Arrival) (any, error) { return nil, nil }
	}
	if c.Refusal == nil {
		c.Refusal = func(string) string { return "" }
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
}

func orElse[T comparable](field *T, otherwise T) {
	var zero T
	if *field == zero {
		*field = otherwise
	}
}

// Port shares one listener between lanes. Safe for concurrent use.
type Port struct {
	cfg   Config
	mux   cmux.CMux
	peer  *Lane
	calls *Lane
	http  *Lane
	ctx   context.Context // ends when Close begins
	end   context.CancelFunc
	tasks sync.WaitGroup
	tls   *tls.Config

	slots, nodeSlots chan struct{} // of handshakes that compute: of clients and strangers, and of known nodes

	mu        sync.Mutex
	unmatched *unmatched
	rafts     map[string]*Lane
	resp      *Lane // nil until it is opened
	closed    bool
}

// Open begins to accept connections.
func Open(cfg Config) (*Port, error) {
	if cfg.Listener == nil {
		return nil, errors.New("transport: a port needs a listener")
	}
	cfg.setDefaults()
	deferAccept(cfg.Listener, cfg.Preface)
	p := &Port{cfg: cfg, unmatched: newUnmatched(), rafts: map[string]*Lane{},
		slots: make(chan struct{}, handshakesAtOnce()), nodeSlots: make(chan struct{}, handshakesAtOnce())}
	p.tls = p.tlsConfig()
	p.ctx, p.end = context.WithCancel(context.Background())
	addr := cfg.Listener.Addr()
	p.peer, p.calls = newLane(addr, cfg.Queue, cfg.MaxConns, nil), newLane(addr, cfg.Queue, cfg.MaxConns, nil)
	p.http = newLane(addr, cfg.Queue, cfg.MaxHTTPConns, nil)
	p.mux = cmux.New(&root{p: p})
	p.mux.SetReadTimeout(cfg.Preface)
	raft := p.mux.Match(firstByte(func(b byte) bool { return b == laneRaft }))
	peer := p.mux.Match(firstByte(func(b byte) bool { return b == lanePeer }))
	calls := p.mux.Match(firstByte(func(b byte) bool { return b == laneCalls }))
	resp := p.mux.Match(firstByte(func(b byte) bool { return b == laneRESP }))
	http := p.mux.Match(firstByte(isText))
	p.tasks.Go(func() { pump(raft, p.toRaft) })
	p.tasks.Go(func() { pump(peer, p.toPeer) })
	p.tasks.Go(func() { pump(calls, p.toCalls) })
	p.tasks.Go(func() { pump(resp, p.toRESP) })
	p.tasks.Go(func() { pump(http, p.toHTTP) })
	p.tasks.Go(func() {
		err := p.mux.Serve() // ends when the listener has closed
		select {
		case <-p.ctx.Done():
		default:
			cfg.Logger.Error("the port accepts no more connections", "error", err)
		}
	})
	return p, nil
}

// Peer is the lane between nodes. Closing it closes nothing else.
func (p *Port) Peer() net.Listener { return p.peer }

// Calls is the lane of nodes for many small calls over one connection (package wire). Closing it closes nothing else.
func (p *Port) Calls() net.Listener { return p.calls }

// HTTP is the lane of clients, for HTTP/1.1 and for HTTP/2 with prior knowledge. Closing it closes nothing else.
func (p *Port) HTTP() net.Listener { return p.http }

// RESP opens the lane of clients that speak RESP, without TLS or on TLS without a protocol named by the client. Its connections
// are closed at once until then, and again when the lane is closed. It is opened at most once.
func (p *Port) RESP() net.Listener {
	l := newLane(p.cfg.Listener.Addr(), p.cfg.Queue, p.cfg.MaxHTTPConns, nil)
	p.mu.Lock()
	over := p.closed
	if !over {
		p.resp = l
	}
	p.mu.Unlock()
	if over {
		l.end()
	}
	return l
}

// Raft opens a Raft lane, one for each group here. Connections that name no open lane are closed at once. Opening one
// again closes the one before; after Close the lane is closed from the beginning.
func (p *Port) Raft(name string) *Lane {
	var l *Lane
	l = newLane(p.cfg.Listener.Addr(), p.cfg.Queue, p.cfg.MaxRaftConns, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.rafts[name] == l {
			delete(p.rafts, name)
		}
	})
	p.mu.Lock()
	over := p.rafts[name]
	if p.closed {
		over = l
	} else {
		p.rafts[name] = l
	}
	p.mu.Unlock()
	if over != nil {
		over.end() // which closes connections, and so removes them from the counts, under the mutex
	}
	return l
}

// Close closes the listener, all lanes and the connections that were not accepted from a lane, and waits for its goroutines.
// Accepted connections stay open.
func (p *Port) Close() error {
	p.mu.Lock()
	p.closed = true
	p.end()
	lanes := []*Lane{p.peer, p.calls, p.http}
	if p.resp != nil {
		lanes = append(lanes, p.resp)
	}
	for _, l := range p.rafts {
		lanes = append(lanes, l)
	}
	p.mu.Unlock()
	err := p.cfg.Listener.Close()
	p.dropUnmatched()
	p.mux.Close()
	for _, l := range lanes {
		_ = l.Close()
	}
	p.tasks.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// firstByte matches by one byte, so cmux never waits for more bytes than a connection sends.
func firstByte(ok func(byte) bool) cmux.Matcher {
	return func(r io.Reader) bool {
		var b [1]byte
		_, err := io.ReadFull(r, b[:])
		return err == nil && ok(b[0])
	}
}

func isText(b byte) bool { return b > ' ' && b < 0x7f || b == '\r' || b == '\n' }

// pump delivers the connections of one kind. It waits for the next connection alone, so no kind delays another.
func pump(from net.Listener, to func(net.Conn)) {
	for {
		c, err := from.Accept()
		if err != nil {
			return
		}
		to(c)
	}
}

func (p *Port) toHTTP(c net.Conn) {
	if !accepted(c).via.http() {
		_ = c.Close()
		return
	}
	p.deliver(p.http, c, nil)
}

func (p *Port) toRESP(c net.Conn) {
	p.mu.Lock()
	l := p.resp
	p.mu.Unlock()
	if l == nil || !accepted(c).resp() {
		_ = c.Close()
		return
	}
	p.deliver(l, c, nil)
}

func (p *Port) toPeer(c net.Conn) {
	p.named(c, LanePeer, func(name string) *Lane {
		if name != "" && !p.cfg.Answers(name) {
			return nil
		}
		return p.peer
	})
}

func (p *Port) toCalls(c net.Conn) {
	p.named(c, LaneCalls, func(name string) *Lane {
		if !p.cfg.Answers(name) {
			return nil
		}
		return p.calls
	})
}

func (p *Port) toRaft(c net.Conn) {
	p.named(c, LaneRaft, func(name string) *Lane {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.rafts[name]
	})
}

// named reads the rest of the preface, finds the lane and identifies the other end; the connection counts as unmatched meanwhile.
func (p *Port) named(c net.Conn, kind string, find func(name string) *Lane) {
	if !accepted(c).via.nodes() {
		_ = c.Close()
		return
	}
	p.tasks.Go(func() {
		a, err := p.readPreface(c)
		if err != nil {
			_ = c.Close()
			return
		}
		a.Lane = kind
		l := find(a.Target)
		if l == nil {
			p.refuse(c, a.Target)
			return
		}
		ctx, cancel := context.WithDeadline(p.ctx, accepted(c).since.Add(p.cfg.Preface))
		peer, err := p.cfg.Identify(ctx, a)
		cancel()
		if err != nil {
			p.cfg.Logger.Debug("a connection is refused", "lane", kind, "caller", a.Caller, "remote", a.Remote, "error", err)
			p.deny(c, err)
			return
		}
		p.deliver(l, c, peer)
	})
}

// readPreface reads a preface within the time that the connection has for all of it.
func (p *Port) readPreface(c net.Conn) (a Arrival, err error) {
	if err := c.SetReadDeadline(accepted(c).since.Add(p.cfg.Preface)); err != nil {
		return a, err
	}
	var lane [1]byte
	if _, err := io.ReadFull(c, lane[:]); err != nil {
		return a, err
	}
	a.Remote = c.RemoteAddr()
	if t := accepted(c).tls; t != nil {
		state := t.ConnectionState()
		a.TLS = &state
	}
	for _, name := range []*string{&a.Target, &a.Caller} {
		if *name, err = readName(c); err != nil {
			return a, err
		}
	}
	return a, c.SetReadDeadline(time.Time{})
}

// readName reads a name after the byte with its length.
func readName(r io.Reader) (string, error) {
	var size [1]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", err
	}
	name := make([]byte, size[0])
	_, err := io.ReadFull(r, name)
	return string(name), err
}

// deliver gives a connection to the lane that it has chosen, and closes it if the lane does not take it.
func (p *Port) deliver(l *Lane, c net.Conn, peer any) {
	own := accepted(c)
	p.matched(own)
	_ = own.SetDeadline(time.Time{}) // a connection that is broken fails at its next use
	if !p.cfg.Links.add(own, peer) || !l.take(own, sorted{c.(*cmux.MuxConn), own, peer}) {
		_ = c.Close()
	}
}
