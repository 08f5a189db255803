package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/api/wire"
)

// rawStream is a client of one stream that sends the same request again and again, for other keys, as bytes: it costs so
// little that it can ask for far more than a node can do. It knows no more of the protocol (package wire) than what stands
// here.
type rawStream struct {
	conn    net.Conn
	request []byte // with rawKey where the key stands, without its length, kind and id
	kind    byte
	at      int // of the key's digits

	under atomic.Int64 // sent and not answered
	sent  [rawSlots]atomic.Int64
	last  uint64 // the newest id
	buf   []byte
}

const (
	rawKey     = "here/00000"
	rawSlots   = 1 << 14 // calls under way at once
	rawError   = 5       // the kind of message that an error is
	rawRefused = 7       // and that of one for several calls
)

// openRaw opens a stream for requests as ask makes them.
func openRaw(url string, ask func(s *wire.Client) error) (*rawStream, error) {
	s := &rawStream{}
	if err := s.learn(ask); err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return nil, err
	}
	s.conn = conn
	_, err = fmt.Fprintf(conn, "GET /v1/calls HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", conn.RemoteAddr(), wire.Protocol)
	return s, err
}

// learn takes the request from a client of its own that believes to send it.
func (s *rawStream) learn(ask func(s *wire.Client) error) error {
	here, there := net.Pipe()
	defer func() { _ = there.Close() }()
	c := wire.NewClient(here, wire.ClientConfig{Share: func(time.Duration) time.Duration { return floodTimeout }})
	var asking sync.WaitGroup
	defer asking.Wait()
	defer func() { _ = c.Close() }()
	asking.Go(func() { _ = ask(c) }) // no answer comes
	var length [4]byte
	if _, err := io.ReadFull(there, length[:]); err != nil {
		return err
	}
	m := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(there, m); err != nil {
		return err
	}
	s.kind, s.request = m[0], m[2:] // the first id has one byte
	if s.at = bytes.Index(s.request, []byte(rawKey)); s.at < 0 {
		return errors.New("the request has no such key")
	}
	s.at += len(rawKey) - 5
	return nil
}

// send sends n requests, as far as there is room for them.
func (s *rawStream) send(n int) error {
	s.buf = s.buf[:0]
	now := time.Now().UnixNano()
	for ; n > 0 && s.under.Load() < rawSlots; n-- {
		s.last++
		s.under.Add(1)
		s.sent[s.last%rawSlots].Store(now)
		key := rand.IntN(floodKeys)
		for i := range 5 {
			s.request[s.at+4-i] = byte('0' + key%10)
			key /= 10
		}
		start := len(s.buf)
		s.buf = append(s.buf, 0, 0, 0, 0, s.kind)
		s.buf = append(binary.AppendUvarint(s.buf, s.last), s.request...)
		binary.BigEndian.PutUint32(s.buf[start:], uint32(len(s.buf)-start-4))
	}
	_, err := s.conn.Write(s.buf)
	return err
}

// receive books the answers until the connection ends, and has answered called after each few.
func (s *rawStream) receive(f *flood, answered func(n int)) error {
	in := bufio.NewReaderSize(s.conn, 64<<10)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("no stream: %v, %w", res, err)
	}
	for n := 0; ; {
		head, err := in.Peek(4)
		if err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint32(head))
		m, err := in.Peek(4 + size)
		if err != nil {
			return err
		}
		n += s.book(f, m[4:])
		_, _ = in.Discard(4 + size) // it is there
		if in.Buffered() < 4 {
			answered(n)
			n = 0
		}
	}
}

// book counts a message, and returns how many calls it answers.
func (s *rawStream) book(f *flood, m []byte) (n int) {
	id, size := binary.Uvarint(m[1:])
	if m[0] != rawError && m[0] != rawRefused {
		s.answered(f, id, nil)
		return 1
	}
	rest := m[1+size:]
	number := func() uint64 {
		x, n := binary.Uvarint(rest)
		rest = rest[n:]
		return x
	}
	text := func() (t string) {
		n := number()
		t, rest = string(rest[:n]), rest[n:]
		return t
	}
	e := &api.Error{Code: api.Code(text()), Op: text(), Key: api.Key(text()), Hint: text(), Leader: api.NodeID(text())}
	e.RetryAfter = time.Duration(number())
	number() // of a version
	number()
	for s.answered(f, id, e); len(rest) > 0; s.answered(f, id, e) {
		d, size := binary.Varint(rest)
		id, rest = id+uint64(d), rest[size:]
		n++
	}
	return n + 1
}

func (s *rawStream) answered(f *flood, id uint64, err error) {
	took := time.Duration(time.Now().UnixNano() - s.sent[id%rawSlots].Load())
	s.under.Add(-1)
	f.count(err, took)
}

// rawStreams opens some streams to each node for the puts or reads of a flood.
func (f *flood) rawStreams(reads bool) (all []*rawStream, err error) {
	ask := func(s *wire.Client) error {
		_, err := s.Do(context.Background(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: rawKey, Value: f.value}}})
		return err
	}
	if reads {
		ask = func(s *wire.Client) error {
			_, err := storetest.Read(context.Background(), s, &api.ReadRequest{Keys: []api.Key{rawKey}, Consistency: api.Quorum})
			return err
		}
	}
	for i := range 4 * len(f.urls) {
		s, err := openRaw(f.urls[i%len(f.urls)], ask)
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}

// raw has the streams ask: clients at once, each again as soon as it is answered, or where rate is not 0 so many times a
// second, whatever comes back. Where an answer does not come, its client has left for good.
func (f *flood) raw(clients, rate int, warm, d time.Duration) (*tally, error) {
	return f.measure(warm, d, func(ctx context.Context) {
		var wg sync.WaitGroup
		for i, s := range f.streams {
			again := make(chan int, 1024)
			wg.Go(func() {
				if err := s.receive(f, func(n int) {
					if rate == 0 {
						select {
						case again <- n:
						case <-ctx.Done():
						}
					}
				}); ctx.Err() == nil {
					f.count(err, 0)
				}
			})
			wg.Go(func() {
				defer func() { _ = s.conn.Close() }()
				if err := s.feed(ctx, share(clients, i, len(f.streams)), share(rate, i, len(f.streams)), again); ctx.Err() == nil {
					f.count(err, 0)
				}
			})
		}
		<-ctx.Done()
		for _, s := range f.streams {
			_ = s.conn.Close()
		}
		wg.Wait()
	})
}

// share is the i-th of n shares of all.
func share(all, i, n int) int { return all*(i+1)/n - all*i/n }

// feed sends until ctx ends.
func (s *rawStream) feed(ctx context.Context, clients, rate int, again <-chan int) error {
	if rate == 0 {
		for n := clients; ; {
			if err := s.send(n); err != nil {
				return err
			}
			select {
			case n = <-again:
			case <-ctx.Done():
				return nil
			}
		}
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for began, sent := time.Now(), 0; ctx.Err() == nil; <-tick.C {
		due := int(time.Since(began).Seconds() * float64(rate))
		if err := s.send(due - sent); err != nil {
			return err
		}
		sent = due
	}
	return nil
}
