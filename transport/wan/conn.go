package wan

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

type addr string

func (addr) Network() string  { return "fabric" }
func (a addr) String() string { return string(a) }

// conn is one end of a connection of the fabric.
type conn struct {
	fabric        *Fabric
	id            uint64
	r, w          *pipe
	local, remote string
}

func (c *conn) Read(b []byte) (int, error) { return c.r.read(b) }

func (c *conn) Write(b []byte) (int, error) {
	if err := c.r.lost(); err != nil {
		return 0, err
	}
	return c.w.write(b)
}

func (c *conn) LocalAddr() net.Addr  { return addr(c.local) }
func (c *conn) RemoteAddr() net.Addr { return addr(c.remote) }

// Close ends this side at once. The other gets what is under way, then EOF.
func (c *conn) Close() error {
	c.shut(net.ErrClosed, io.EOF)
	return nil
}

// reset ends this side at once, as the death of its process does. The other gets what is under way, then a reset.
func (c *conn) reset() { c.shut(syscall.ECONNRESET, syscall.ECONNRESET) }

func (c *conn) shut(local, remote error) {
	c.fabric.forget(c)
	c.w.finish(local, remote)
	c.r.abandon(local)
}

func (c *conn) SetDeadline(t time.Time) error {
	c.r.readDeadline(t)
	c.w.writeDeadline(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.r.readDeadline(t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.w.writeDeadline(t)
	return nil
}

// backlog bounds the connections that wait for Accept; one more is refused.
const backlog = 128

// listener is a node's port.
type listener struct {
	fabric *Fabric
	node   string
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
}

func (l *listener) Addr() net.Addr { return addr(l.node) }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and closes what waits for it. The node's other connections stay.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.fabric.unlisten(l)
		close(l.done)
		for { // nothing is added any more: Dial looks the listener up under the fabric's mutex
			select {
			case c := <-l.conns:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}
