package transport

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/soheilhy/cmux"
)

// The first byte of a connection. HTTP begins with an upper-case letter of its method, or of HTTP/2's preface.
const (
	laneRaft = 0x01 // then one byte: the length of the group's name, and the name
	lanePeer = 0x02
)

// Config describes a port. Listener is required; zero fields are the defaults named.
type Config struct {
	Listener net.Listener
	// Preface is how long a connection may take to say which lane it wants. Default 5 s.
	Preface time.Duration
	// MaxUnmatched bounds the connections that have not said it yet; one more is closed at once. Default 2,048.
	MaxUnmatched int
	// Queue bounds the connections of a lane that wait to be accepted; one more is closed at once. Default 256.
	Queue int
	// Logger is nil for nowhere.
	Logger hclog.Logger
}

// Port shares one listener between lanes. Safe for concurrent use.
type Port struct {
	cfg   Config
	mux   cmux.CMux
	peer  *Lane
	http  *Lane
	tasks sync.WaitGroup

	mu        sync.Mutex
	unmatched map[*conn]struct{}
	rafts     map[string]*Lane
	closed    bool
}

// Open begins to accept connections.
func Open(cfg Config) (*Port, error) {
	if cfg.Listener == nil {
		return nil, errors.New("transport: a port needs a listener")
	}
	if cfg.Preface == 0 {
		cfg.Preface = 5 * time.Second
	}
	if cfg.MaxUnmatched == 0 {
		cfg.MaxUnmatched = 2048
	}
	if cfg.Queue == 0 {
		cfg.Queue = 256
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	p := &Port{cfg: cfg, unmatched: map[*conn]struct{}{}, rafts: map[string]*Lane{}}
	addr := cfg.Listener.Addr()
	p.peer, p.http = newLane(addr, cfg.Queue, nil), newLane(addr, cfg.Queue, nil)
	p.mux = cmux.New(root{p})
	p.mux.SetReadTimeout(cfg.Preface)
	p.mux.HandleError(func(error) bool { return true })
	raft := p.mux.Match(firstByte(func(b byte) bool { return b == laneRaft }))
	peer := p.mux.Match(firstByte(func(b byte) bool { return b == lanePeer }))
	http := p.mux.Match(firstByte(func(b byte) bool { return b >= 'A' && b <= 'Z' }))
	p.tasks.Go(func() { p.pump(raft, p.toRaft) })
	p.tasks.Go(func() { p.pump(peer, p.toPeer) })
	p.tasks.Go(func() { p.pump(http, p.toHTTP) })
	p.tasks.Go(func() {
		if err := p.mux.Serve(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, cmux.ErrListenerClosed) {
			cfg.Logger.Error("the port no longer accepts connections", "error", err)
		}
	})
	return p, nil
}

// Peer is the lane between nodes; HTTP that of clients. Closing one closes nothing else.
func (p *Port) Peer() net.Listener { return p.peer }

// HTTP is the lane of clients, for HTTP/1.1 and for HTTP/2 with prior knowledge.
func (p *Port) HTTP() net.Listener { return p.http }

// Raft opens the Raft lane of a group. Connections for groups without an open lane are closed at once. Opening one
// again closes the one before.
func (p *Port) Raft(group string) *Lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	var l *Lane
	l = newLane(p.cfg.Listener.Addr(), p.cfg.Queue, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.rafts[group] == l {
			delete(p.rafts, group)
		}
	})
	if p.closed {
		l.end()
		return l
	}
	if old := p.rafts[group]; old != nil {
		old.end()
	}
	p.rafts[group] = l
	return l
}

// Close closes the listener, the connections that no lane has accepted and all lanes, and waits for its goroutines.
// Accepted connections belong to whoever accepted them.
func (p *Port) Close() error {
	err := p.cfg.Listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.unmatched {
		_ = c.Conn.Close() // its goroutine sees that and forgets it
	}
	lanes := []*Lane{p.peer, p.http}
	for _, l := range p.rafts {
		lanes = append(lanes, l)
	}
	p.mu.Unlock()
	for _, l := range lanes {
		_ = l.Close()
	}
	p.mux.Close()
	p.tasks.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// firstByte matches by one byte: cmux never waits for more of it than a connection has to say.
func firstByte(ok func(byte) bool) cmux.Matcher {
	return func(r io.Reader) bool {
		var b [1]byte
		_, err := io.ReadFull(r, b[:])
		return err == nil && ok(b[0])
	}
}

// pump hands the connections of one kind on.
func (p *Port) pump(from net.Listener, to func(net.Conn)) {
	for {
		c, err := from.Accept()
		if err != nil {
			return
		}
		to(c)
	}
}

func (p *Port) toPeer(c net.Conn) {
	var b [1]byte
	if _, err := io.ReadFull(c, b[:]); err != nil { // it is there: cmux has seen it
		_ = c.Close()
		return
	}
	p.matched(c)
	p.peer.deliver(c)
}

func (p *Port) toHTTP(c net.Conn) {
	p.matched(c)
	p.http.deliver(c)
}

// toRaft reads the rest of the preface; the connection counts as unmatched meanwhile.
func (p *Port) toRaft(c net.Conn) {
	p.tasks.Go(func() {
		group, err := readGroup(c, p.cfg.Preface)
		if err != nil {
			_ = c.Close()
			return
		}
		p.matched(c)
		p.mu.Lock()
		l := p.rafts[group]
		p.mu.Unlock()
		if l == nil {
			_ = c.Close()
			return
		}
		l.deliver(c)
	})
}

func readGroup(c net.Conn, within time.Duration) (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return "", err
	}
	name := make([]byte, head[1])
	if _, err := io.ReadFull(c, name); err != nil {
		return "", err
	}
	return string(name), c.SetReadDeadline(time.Time{})
}
