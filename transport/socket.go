package transport

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// socket is a connection as TLS sees it: with the byte that was read to find out what comes, and with the turn of its handshake.
type socket struct {
	net.Conn
	of     *conn // nil at a dialer
	unread byte  // belongs to the goroutine that reads
	has    bool

	turns   chan struct{} // where the turn of the handshake is given back, nil if it has none; belongs to the handshake
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

// Write gives the turn back: with the server's first answer all is computed that costs.
func (s *socket) Write(b []byte) (int, error) {
	s.giveBack()
	return s.Conn.Write(b)
}

func (s *socket) giveBack() {
	if s.turns != nil {
		<-s.turns
		s.turns = nil
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

// closeTLS says that the connection ends, if the other end takes that soon, and closes it.
func (s *socket) closeTLS(t *tls.Conn) error {
	s.closing.Store(true)
	return t.Close()
}
