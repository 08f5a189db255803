package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/transport"
)

// memberBare is a handler that answers 256 bytes from memory, whatever is asked, behind the server of a node of Edgehold:
// the same port and the same treatment of connections. What a node costs beyond it is what the API and the cache cost.
func memberBare(ctx context.Context, m *memberOptions) error {
	value := newValue(rand.New(rand.NewPCG(5, 6)))
	kind, length := []string{"application/octet-stream"}, []string{strconv.Itoa(len(value))}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", m.client)
	if err != nil {
		return err
	}
	port, err := transport.Open(transport.Config{Listener: l})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s := httpd.Serve(port.HTTP(), httpd.ServerConfig{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h["Content-Type"], h["Content-Length"] = kind, length
			_, _ = w.Write(value) // an error: the client has gone
		}),
	})
	if m.profiles != "" {
		err = serveProfiles(ctx, m.profiles)
	}
	select {
	case <-ctx.Done():
	case <-s.Done():
	}
	err = errors.Join(err, s.Close(time.Second))
	return errors.Join(s.Err(), err, port.Close())
}
