package httpd_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api/httpd"
)

// ahead counts the reads of one byte of its connections: those by which net/http looks whether the client is there.
type ahead struct {
	*pipes
	reads atomic.Int64
}

func (a *ahead) Accept() (net.Conn, error) {
	c, err := a.pipes.Accept()
	return aheadConn{c, a}, err
}

type aheadConn struct {
	net.Conn
	of *ahead
}

func (c aheadConn) Read(b []byte) (int, error) {
	if len(b) == 1 {
		c.of.reads.Add(1)
	}
	return c.Conn.Read(b)
}

// TestNothingIsReadAhead: for a handler that has returned nobody looks whether the client is there, and the connection goes on,
// also where the next request is there already.
func TestNothingIsReadAhead(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that handlers return before what reads ahead begins to run
	const requests = 100
	a := &ahead{pipes: newPipes()}
	s := httpd.Serve(a, httpd.ServerConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "here") // an error shows at the client
	})})
	conn := a.dial()
	defer func() { _ = conn.Close() }()
	go func() {
		for range requests {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") // what does not arrive has no answer
		}
	}()
	in := bufio.NewReader(conn)
	for i := range requests {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if b, err := io.ReadAll(r.Body); string(b) != "here" || err != nil {
			t.Fatalf("answer %d: %q, %v", i, b, err)
		}
	}
	if n := a.reads.Load(); n > requests/2 {
		t.Errorf("%d of %d requests had a byte read ahead", n, requests)
	}
	if err := s.Close(5 * time.Second); err != nil {
		t.Error(err)
	}
}

// TestClientGoesAway: a handler that takes its time is told so, whatever was answered before on the connection.
func TestClientGoesAway(t *testing.T) {
	waits := make(chan struct{})
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(waits)
			<-r.Context().Done()
		}
	})
	inBubble(t, h, func(t *testing.T, p *pipes, _ *httpd.Server) {
		conn := p.dial()
		in := bufio.NewReader(conn)
		for range 3 {
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := http.ReadResponse(in, nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(conn, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-waits
		_ = conn.Close() // the server's Close tells whether the handler has ended by itself
	})
}

// TestTakenOver: a connection that its handler has taken over is read as it is asked.
func TestTakenOver(t *testing.T) {
	taken := make(chan net.Conn, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		taken <- c
	})
	inBubble(t, h, func(t *testing.T, p *pipes, _ *httpd.Server) {
		conn := p.dial()
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		c := <-taken
		defer func() { _ = c.Close() }()
		synctest.Wait() // the handler has returned
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %d, %v", n, err)
		}
	})
}
