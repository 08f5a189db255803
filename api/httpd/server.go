package httpd

import (
	"cmp"
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

// The defaults of a [ServerConfig].
const (
	DefaultHeaderTimeout  = 5 * time.Second
	DefaultIdleTimeout    = 2 * time.Minute
	DefaultMaxHeaderBytes = 64 << 10
	DefaultMaxConns       = 4096
)

// ServerConfig is how connections are treated. The zero of every field but Handler works.
type ServerConfig struct {
	// Handler answers; see [New]. It is required.
	Handler http.Handler
	// HeaderTimeout bounds the wait for a request's header, also for the first one of a silent connection. 0 is [DefaultHeaderTimeout].
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request. 0 is [DefaultIdleTimeout].
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds a request's header, path included. 0 is [DefaultMaxHeaderBytes].
	MaxHeaderBytes int
	// MaxConns bounds the open connections, streams aside. For one more, the connection that has been idle for the longest time
	// is closed; if none is idle, the new one is answered 503 after a moment and closed. 0 is [DefaultMaxConns].
	MaxConns int
	// ConnContext, if set, returns the context of the requests of a connection, made from ctx. It must not block.
	ConnContext func(ctx context.Context, c net.Conn) context.Context
	// Log takes a message and key-value pairs; nil discards them.
	Log func(msg string, args ...any)
}

// Server serves HTTP/1.1 and HTTP/2 (unencrypted, with prior knowledge) on one listener.
type Server struct {
	http   http.Server
	cancel context.CancelFunc
	served chan struct{} // closed when accepting has ended
	err    error         // why; set before served is closed

	mu       sync.Mutex
	closed   bool            // guarded by mu: no handler begins any more
	handlers sync.WaitGroup  // added to under mu while not closed
	draining context.Context // ends when Close begins
}

// Serve starts serving the connections of l, which the Server owns from here on. Close ends it.
func Serve(l net.Listener, c ServerConfig) *Server {
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	s := &Server{served: make(chan struct{})}
	draining, drain := context.WithCancel(context.Background())
	s.draining = draining
	ctx, cancel := context.WithCancel(door.WithClosing(context.Background(), draining))
	s.cancel = cancel
	conns := newConns(l, cmp.Or(c.MaxConns, DefaultMaxConns), draining.Done())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = http.Server{
		Handler:           s.counted(c.Handler),
		Protocols:         protocols,
		ReadHeaderTimeout: cmp.Or(c.HeaderTimeout, DefaultHeaderTimeout),
		IdleTimeout:       cmp.Or(c.IdleTimeout, DefaultIdleTimeout),
		// The longest request and its answer; handlers set narrower deadlines of their own. No ReadTimeout: it would
		// end the context of a request whose body has long been read.
		WriteTimeout:   api.MaxTimeout + 2*door.WriteTimeout,
		MaxHeaderBytes: cmp.Or(c.MaxHeaderBytes, DefaultMaxHeaderBytes),
		BaseContext:    func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if c.ConnContext != nil {
				ctx = c.ConnContext(ctx, conn)
			}
			return door.WithConn(ctx, func() func() { return conns.stream(conn) })
		},
		ConnState: conns.observe,
		ErrorLog:  log.New(logWriter(c.Log), "", 0),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 256, SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second, WriteByteTimeout: door.WriteTimeout,
		},
	}
	s.http.RegisterOnShutdown(drain) // by then net/http carries out nothing that comes
	go func() {
		defer close(s.served)
		s.err = s.http.Serve(conns)
		conns.wait()
	}()
	return s
}

// Done is closed when the server accepts no more connections, because of Close or because the listener failed.
func (s *Server) Done() <-chan struct{} { return s.served }

// Err waits for Done and returns its cause; nil after Close.
func (s *Server) Err() error {
	<-s.served
	if errors.Is(s.err, http.ErrServerClosed) {
		return nil
	}
	return s.err
}

// Close stops accepting, lets the requests in flight and those on streams finish for at most grace, then ends their contexts
// and connections, and returns when no handler runs any more. It is to be called once. An error means that not all could
// finish by themselves.
func (s *Server) Close(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := s.http.Shutdown(ctx)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if err == nil {
		err = s.quiet(ctx) // net/http forgets the connections of streams
	}
	s.cancel()
	if err != nil {
		_ = s.http.Close() // the error to return is that of the grace
	}
	s.handlers.Wait()
	<-s.served
	return err
}

// quiet waits until no handler runs, at most until ctx ends.
func (s *Server) quiet(ctx context.Context) error {
	done := make(chan struct{})
	go func() { // ends with the last handler, for which Close waits in any case
		s.handlers.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// counted makes Close able to wait for the handlers.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			panic(http.ErrAbortHandler) // the connection is being cut
		}
		defer s.handlers.Done()
		h.ServeHTTP(w, r)
	})
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.handlers.Add(1)
	return true
}

// logWriter carries the lines of net/http to a log of pairs.
type logWriter func(msg string, args ...any)

func (w logWriter) Write(p []byte) (int, error) {
	w("http", "line", strings.TrimSpace(string(p)))
	return len(p), nil
}
