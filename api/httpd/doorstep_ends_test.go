package httpd_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/wire"
)

const (
	refusedGet = "GET /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\n\r\n"
	servedGet  = "GET /v1/kv/none HTTP/1.1\r\nHost: n\r\n\r\n"
)

// TestDoorstepHalfARefusal: where a client takes only a part of a refusal, its connection ends, and nothing follows.
func TestDoorstepHalfARefusal(t *testing.T) {
	for _, before := range []int{1, 2} { // a new connection, and one in use
		synctest.Test(t, func(t *testing.T) {
			p := newPipes()
			s := guarded(p, true, httpd.ServerConfig{})
			conn := p.dial()
			in := bufio.NewReaderSize(conn, 16) // reads no more than it must
			for i := range before {
				_, _ = io.WriteString(conn, []string{refusedGet, servedGet}[i])
				answerOf(t, in, "GET")
			}
			time.Sleep(2 * time.Second) // as told
			_, _ = io.WriteString(conn, refusedGet)
			if _, err := io.ReadFull(conn, make([]byte, 20)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(70 * time.Second) // a minute is what it has
			go func() { _, _ = io.WriteString(conn, servedGet) }()
			if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
				t.Errorf("after the first part came %q, %v", rest, err)
			}
			_ = conn.Close()
			if err := s.Close(time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDoorstepAfterWaiting: who came too early, and then waits as told, has the same chance as somebody new; who comes too early
// has not.
func TestDoorstepAfterWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		p := newPipes()
		s := httpd.Serve(p, httpd.ServerConfig{Handler: httpd.New(httpd.Config{
			Store: fake{read: func(_ context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
				if q.Keys[0] == "slow" {
					<-block
				}
				return &api.ReadResult{Entries: make([]api.Entry, len(q.Keys))}, nil
			}},
			CalmInFlight: 4, MaxInFlight: 4,
		})})
		var conns []net.Conn
		client := func(key string) func() int {
			conn := p.dial()
			conns = append(conns, conn)
			in := bufio.NewReader(conn)
			return func() int {
				_, _ = io.WriteString(conn, "GET /v1/kv/"+key+" HTTP/1.1\r\nHost: n\r\n\r\n")
				res, _ := answerOf(t, in, "GET")
				return res.StatusCode
			}
		}
		var slow sync.WaitGroup
		for range 4 {
			ask := client("slow")
			slow.Go(func() { ask() })
		}
		synctest.Wait()
		one, another := client("k"), client("k")
		for _, ask := range []func() int{one, another} {
			if first, second := ask(), ask(); first != 503 || second != 503 {
				t.Errorf("%d and %d where all places are taken", first, second)
			}
		}
		block <- struct{}{} // one place is free, which is not a third beside three
		synctest.Wait()
		if got := another(); got != 503 {
			t.Errorf("%d for one that comes too early", got)
		}
		time.Sleep(6 * time.Second)
		if got := one(); got != 404 {
			t.Errorf("%d for one that has waited as told", got)
		}
		if got := client("k")(); got != 404 {
			t.Errorf("%d for a new one", got)
		}
		close(block)
		slow.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
		if err := s.Close(time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// TestRestIsNotIdle: a connection may be idle for as long as before once it has rested.
func TestRestIsNotIdle(t *testing.T) {
	for name, doorstep := range map[string]bool{"refused by the handler": false, "refused on the doorstep": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				s := guarded(p, doorstep, httpd.ServerConfig{IdleTimeout: 2 * time.Second})
				conn := p.dial()
				in := bufio.NewReader(conn)
				for range 4 {
					if _, err := io.WriteString(conn, refusedGet); err != nil {
						t.Fatal(err)
					}
					answerOf(t, in, "GET")
				}
				_ = conn.Close()
				if err := s.Close(time.Minute); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestDoorstepBeforeAStream: what comes behind the header of an Upgrade is the stream's, also where requests were refused before.
func TestDoorstepBeforeAStream(t *testing.T) {
	for _, before := range []string{"", refusedGet, servedGet} {
		synctest.Test(t, func(t *testing.T) {
			p := newPipes()
			s := guarded(p, true, httpd.ServerConfig{})
			conn := p.dial()
			in := bufio.NewReader(conn)
			if before != "" {
				_, _ = io.WriteString(conn, before)
				answerOf(t, in, "GET")
				synctest.Wait()
			}
			go func() { // it is no call: the stream is cut where it gets there
				_, _ = io.WriteString(conn, "GET /v1/calls HTTP/1.1\r\nHost: n\r\nConnection: Upgrade\r\nUpgrade: "+wire.Protocol+
					"\r\n\r\n"+strings.Repeat("\xff", 5000))
			}()
			res, err := http.ReadResponse(in, nil)
			if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(res, err)
			}
			began := time.Now()
			if _, err := io.ReadAll(in); err != nil || time.Since(began) > time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			_ = conn.Close()
			if err := s.Close(time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDoorstepCloses: the end of the server waits for no connection on the doorstep, whatever that does, and no goroutine is left.
func TestDoorstepCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s := guarded(p, true, httpd.ServerConfig{})
		var conns []net.Conn
		for _, first := range []string{"", servedGet} {
			for _, refused := range []int{1, 2, 3} { // it waits, it rests, it writes
				conn := p.dial()
				conns = append(conns, conn)
				in := bufio.NewReader(conn)
				if first != "" {
					_, _ = io.WriteString(conn, first)
					answerOf(t, in, "GET")
				}
				for range min(refused, 2) {
					_, _ = io.WriteString(conn, refusedGet)
					answerOf(t, in, "GET")
				}
				if refused == 3 {
					time.Sleep(5 * time.Second)
					_, _ = io.WriteString(conn, refusedGet) // whose answer nobody reads
				}
			}
		}
		synctest.Wait()
		began := time.Now()
		if err := s.Close(time.Minute); err != nil || time.Since(began) > time.Second {
			t.Errorf("closing took %v: %v", time.Since(began), err)
		}
		for _, c := range conns {
			_ = c.Close()
		}
	})
}

// lateConn has a request arrive in the moment in which it is closed, after the first read.
type lateConn struct {
	net.Conn
	reads  atomic.Int32
	once   sync.Once
	closed chan struct{}
}

func (c *lateConn) Read(b []byte) (int, error) {
	switch c.reads.Add(1) {
	case 1:
		return c.Conn.Read(b)
	case 2:
		<-c.closed
		return copy(b, "PUT /v1/kv/yes HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\nv"), nil
	}
	return 0, net.ErrClosed
}

func (c *lateConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

type lateListener struct{ *pipes }

func (l lateListener) Accept() (net.Conn, error) {
	c, err := l.pipes.Accept()
	if err != nil {
		return nil, err
	}
	return &lateConn{Conn: c, closed: make(chan struct{})}, nil
}

// TestDoorstepAtTheEnd: what comes while the server ends, and cannot be answered, is not carried out.
func TestDoorstepAtTheEnd(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			p := newPipes()
			s := httpd.Serve(lateListener{p}, httpd.ServerConfig{Handler: httpd.New(httpd.Config{
				Store: fake{do: func(context.Context, *api.Txn) (*api.TxnResult, error) {
					t.Error("a write whose answer has no way was carried out")
					return nil, api.CodeInternal
				}},
				CalmInFlight: 1,
				Full: func(k api.Key, _ bool, _ api.Consistency, _ int64) *api.Error {
					if strings.HasPrefix(string(k), "no/") {
						return overload
					}
					return nil
				},
			})})
			conn := p.dial()
			_, _ = io.WriteString(conn, refusedGet)
			answerOf(t, bufio.NewReader(conn), "GET")
			synctest.Wait()
			if err := s.Close(time.Minute); err != nil {
				t.Error(err)
			}
			_ = conn.Close()
		})
	}
}

var overload = &api.Error{Code: api.CodeUnavailable, RetryAfter: 100 * time.Millisecond}
