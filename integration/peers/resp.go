package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
)

const (
	// respWork and pipeWork are local reads over RESP: one GET, and pipelined GETs of which so many are one operation.
	respWork  = "RESP read"
	pipeWork  = "RESP read, pipelined"
	pipelined = 16
	// serverCore is the processor core that Redis and the edge have to themselves in turn: Redis uses one.
	serverCore = "0"
)

// resp measures local reads over RESP, of Edgehold and of Redis, each on the same core.
func (b *run) resp(ctx context.Context) (err error) {
	if len(b.options.resp) == 0 || !b.options.wants(edgeholdName) && !b.options.wants(redisName) {
		return nil
	}
	s, err := newStage(b.options, b.binary)
	if err != nil {
		return err
	}
	defer func() {
		if e := s.end(); err == nil {
			err = e
		}
	}()
	readers, err := startRESP(ctx, s)
	if err != nil {
		return err
	}
	for round := range b.options.rounds {
		for _, n := range b.options.resp {
			for i := range readers {
				l := readers[(round+i)%len(readers)]
				for _, kind := range []string{respWork, pipeWork} {
					if err := b.respRead(ctx, s, l, work{l.name, kind, n}, round); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func (b *run) respRead(ctx context.Context, s *stage, l *reader, w work, round int) error {
	one := *l
	if w.Work == pipeWork {
		one = l.pipelined()
	}
	do, end, err := one.open(ctx, w.Clients)
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	defer end()
	return b.measure(ctx, s, w, round, l.members, do)
}

// pipelined is the reader with operations of many requests at once.
func (l *reader) pipelined() reader {
	many := *l
	many.requests = nil
	for i := range l.requests {
		var all []byte
		for j := range pipelined {
			all = append(all, l.requests[(i+j*7)%len(l.requests)]...)
		}
		many.requests = append(many.requests, all)
	}
	many.receive = l.times(pipelined)
	return many
}

// times takes n answers.
func (l *reader) times(n int) func(*bufio.Reader) error {
	return func(in *bufio.Reader) error {
		for range n {
			if err := l.receive(in); err != nil {
				return err
			}
		}
		return nil
	}
}

// startRESP starts what answers RESP.
func startRESP(ctx context.Context, s *stage) (readers []*reader, err error) {
	keys := keys[:localCount]
	s.pinned = pinnable()
	if s.options.wants(edgeholdName) {
		l, err := startRESPEdge(ctx, s, keys)
		if err != nil {
			return nil, err
		}
		readers = append(readers, l)
	}
	if s.options.wants(redisName) && redisVersion(ctx) != "" {
		l, err := startRedis(ctx, s, keys)
		if err != nil {
			return nil, err
		}
		readers = append(readers, l)
	}
	return readers, nil
}

// pinnable reports whether processes can be kept to a core.
func pinnable() bool {
	_, err := exec.LookPath("taskset")
	return err == nil
}

// startRESPEdge runs three servers, and an edge 200 ms away from them on the core, fills it over RESP, and waits until it holds a lease
// on every key.
func startRESPEdge(ctx context.Context, s *stage, keys []string) (*reader, error) {
	pinned := s.pinned
	s.pinned = false
	f, err := startFleet(ctx, s)
	if err != nil {
		return nil, err
	}
	defer f.close()
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	s.pinned = pinned
	p, err := f.node("edge", "edgehold-edge", farRegion, addresses[0], "--wan", "real", "--join", f.servers[0].address, "--front", "resp")
	if err != nil {
		return nil, err
	}
	l := &reader{name: edgeholdName, address: addresses[0], members: []*process{p}, receive: receiveRESP}
	for _, k := range keys {
		l.requests = append(l.requests, respCommand("GET", k))
	}
	if err := s.eventually(ctx, "the keys at the edge", func(ctx context.Context) error { return fillPipelined(ctx, l.address, keys) }); err != nil {
		return nil, err
	}
	return l, s.eventually(ctx, "leases on all keys at the edge", l.allLeased)
}

// fillPipelined writes the keys, many at a time.
func fillPipelined(ctx context.Context, address string, keys []string) error {
	w, end, err := dialRESP(ctx, address, nil)
	if err != nil {
		return err
	}
	defer end()
	value := string(newValue(rand.New(rand.NewPCG(7, 8))))
	var all []byte
	for _, k := range keys {
		all = append(all, respCommand("SET", k, value)...)
	}
	w.receive = func(in *bufio.Reader) error {
		for range keys {
			if err := receiveOK(in); err != nil {
				return err
			}
		}
		return nil
	}
	return w.ask(all)
}

func dialRESP(ctx context.Context, address string, receive func(*bufio.Reader) error) (w *wire, end func(), err error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	return &wire{c, bufio.NewReader(c), receive}, func() { _ = c.Close() }, nil // each answer has been read
}

// allLeased is an error unless every key is answered under a lease.
func (l *reader) allLeased(ctx context.Context) error {
	w, end, err := dialRESP(ctx, l.address, l.times(len(l.requests)))
	if err != nil {
		return err
	}
	defer end()
	before, err := leasedReads(ctx, l.address)
	if err != nil {
		return err
	}
	if err := w.ask(bytes.Join(l.requests, nil)); err != nil { // all at once: each that is not leased takes 200 ms
		return err
	}
	after, err := leasedReads(ctx, l.address)
	if err == nil && after-before < len(l.requests) {
		err = errNotLeased
	}
	return err
}

// leasedReads returns how many reads the edge has answered under a lease, as its INFO says.
func leasedReads(ctx context.Context, address string) (n int, err error) {
	w, end, err := dialRESP(ctx, address, func(in *bufio.Reader) error {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.Atoi(string(bytes.Trim(line, "$\r\n")))
		if err != nil {
			return err
		}
		b := make([]byte, size+2)
		if _, err = io.ReadFull(in, b); err != nil {
			return err
		}
		_, rest, _ := bytes.Cut(b, []byte("reads_by_lease:"))
		value, _, _ := bytes.Cut(rest, []byte("\r"))
		n, err = strconv.Atoi(string(value))
		return err
	})
	if err != nil {
		return 0, err
	}
	defer end()
	return n, w.ask(respCommand("INFO", "stats"))
}
