package transport

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// socket is a connection as TLS sees it: with the byte that was read to find out whether it is TLS, and with the slot of its handshake.
type socket struct {
	net.Conn
	of     *conn // nil at a dialer
	unread byte  // belongs to the goroutine that reads
	has    bool

	slots   chan struct{} // where the slot of the handshake is released, nil if it has none; belongs to the handshake
	closing atomic.Bool
}

func (s *socket) NetConn() net.Conn { return s.Conn }

func (s *socket) Read(b []byte) (int, error) {
	if s.has && len(b) > 0 {
		b[0], s.has = s.unread, false
		return 1, nil
	}
	return s.Conn.Read(b)
}

// Write releases the slot: when the server writes its first answer, the costly computation is done.
func (s *socket) Write(b []byte) (int, error) {
	s.giveBack()
	return s.Conn.Write(b)
}

func (s *socket) giveBack() {
	if s.slots != nil {
		<-s.slots
		s.slots = nil
	}
}

// alertTimeout bounds how long the end of a connection waits until its last message is taken; crypto/tls would wait 5 s.
const alertTimeout = 50 * time.Millisecond

// SetWriteDeadline shortens the deadline with which TLS closes.
func (s *socket) SetWriteDeadline(t time.Time) error {
	if last := time.Now().Add(alertTimeout); s.closing.Load() && t.After(last) {
		t = last
	}
	return s.Conn.SetWriteDeadline(t)
}

// closeTLS sends that the connection ends, if the other end accepts that soon, and closes it.
func (s *socket) closeTLS(t *tls.Conn) error {
	s.closing.Store(true)
	return t.Close()
}
