package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// wire is one connection over which ready-made requests are sent, one at a time. It does as little as can be done, so that
// what is measured is the server, and the same for HTTP and for Redis.
type wire struct {
	conn    net.Conn
	in      *bufio.Reader
	receive func(*bufio.Reader) error
}

// reader is a product that answers local reads.
type reader struct {
	name     string
	address  string
	members  []*process
	requests [][]byte // any of them is answered
	receive  func(*bufio.Reader) error
}

// open connects so many clients; the operation sends any request and takes the answer.
func (l *reader) open(ctx context.Context, clients int) (do operation, end func(), err error) {
	wires := make([]*wire, 0, clients)
	end = func() {
		for _, w := range wires {
			_ = w.conn.Close() // nothing is under way
		}
	}
	var d net.Dialer
	for range clients {
		c, err := d.DialContext(ctx, "tcp", l.address)
		if err != nil {
			end()
			return nil, nil, err
		}
		wires = append(wires, &wire{c, bufio.NewReader(c), l.receive})
	}
	do = func(_ context.Context, worker int, r *rand.Rand) error {
		return wires[worker].ask(l.requests[r.IntN(len(l.requests))])
	}
	return do, end, nil
}

func (w *wire) ask(request []byte) error {
	if err := w.conn.SetDeadline(time.Now().Add(operationTimeout)); err != nil {
		return err
	}
	if _, err := w.conn.Write(request); err != nil {
		return err
	}
	return w.receive(w.in)
}

var (
	ok200    = []byte("HTTP/1.1 200 ")
	length   = []byte("Content-Length: ")
	servedBy = []byte("Edgehold-Served-By: ")
)

// errNotLeased: the edge answered, but had to ask the owner.
var errNotLeased = errors.New("not answered by a lease")

// receiveHTTP takes an answer of HTTP/1.1 with a value. An edge must say that it answered under a lease.
func receiveHTTP(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, ok200) {
		return fmt.Errorf("answer %q", bytes.TrimSpace(line))
	}
	size, leased := -1, true
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if v, ok := bytes.CutPrefix(line, length); ok {
			if size, err = strconv.Atoi(string(v)); err != nil {
				return err
			}
		} else if v, ok := bytes.CutPrefix(line, servedBy); ok {
			leased = string(v) == "lease"
		}
	}
	if err := skip(in, size); err != nil {
		return err
	}
	if !leased {
		return errNotLeased
	}
	return nil
}

// receiveRESP takes Redis' answer to GET.
func receiveRESP(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	line = bytes.TrimRight(line, "\r\n")
	if len(line) == 0 || line[0] != '$' {
		return fmt.Errorf("answer %q", line)
	}
	size, err := strconv.Atoi(string(line[1:]))
	if err != nil {
		return err
	}
	if err := skip(in, size); err != nil {
		return err
	}
	_, err = in.Discard(2)
	return err
}

// skip takes the value.
func skip(in *bufio.Reader, size int) error {
	if size != valueBytes {
		return fmt.Errorf("a value of %d bytes instead of %d", size, valueBytes)
	}
	_, err := in.Discard(size)
	return err
}

// httpRequest is a GET of the key as a client of HTTP/1.1 sends it.
func httpRequest(address, key string) []byte {
	return fmt.Appendf(nil, "GET /v1/kv/%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: peers\r\n\r\n", key, address)
}

// respCommand is a command as Redis reads it.
func respCommand(words ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b
}
