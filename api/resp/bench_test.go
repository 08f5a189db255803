package resp

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// leased is a store that answers every read at once, as a lease does.
type leased struct{ api.Store }

var leasedValue = bytes.Repeat([]byte("v"), 256)

func (leased) Read(_ context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	entries := out.Entries[:0]
	for _, k := range r.Keys {
		entries = append(entries, api.Entry{Key: k, Value: leasedValue, Exists: true})
	}
	*out = api.ReadResult{Entries: entries, ServedBy: api.ServedByLease, Snapshot: true}
	return nil
}

// feed is a connection whose client sends the same bytes so many times, and takes every answer.
type feed struct {
	net.Conn
	sent []byte
	left int
}

func (f *feed) Read(b []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	f.left--
	return copy(b, f.sent), nil
}

func (f *feed) Write(b []byte) (int, error)      { return len(b), nil }
func (f *feed) Close() error                     { return nil }
func (f *feed) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (f *feed) SetReadDeadline(time.Time) error  { return nil }
func (f *feed) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkGet is what leased GETs cost beside the system calls: one, and sixteen that come together.
func BenchmarkGet(b *testing.B) {
	for name, n := range map[string]int{"1": 1, "16": 16} {
		b.Run(name, func(b *testing.B) {
			srv := New(front.New(front.Config{Store: leased{}}), Config{})
			b.ReportAllocs()
			newConn(srv, &feed{sent: bytes.Repeat(encode("GET", "us-east/user/00000001"), n), left: b.N}, 1).serve()
		})
	}
}
