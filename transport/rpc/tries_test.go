package rpc

import (
	"context"
	"net"
	"testing"

	"github.com/edgehold/edgehold/api/admission"
)

type tries struct{ Left uint64 }

// TestTriesTravel: a request brings along the tries that it has left, and none if they are not counted.
func TestTriesTravel(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(ServerConfig{})
	defer s.Close()
	Unary(s, "Tries", func(ctx context.Context, _ *tries) (*tries, error) { return &tries{admission.Tries(ctx)}, nil })
	go func() { _ = s.Serve(l) }() // ends with Close
	c, err := NewClient(ClientConfig{Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, want := range []uint64{0, 1, 8} {
		got, err := Call[tries, tries](admission.WithTries(t.Context(), want), c, "Tries", &tries{})
		if err != nil || got.Left != want {
			t.Errorf("%d tries arrive as %+v, %v", want, got, err)
		}
	}
}
