package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// startReaders starts what answers local reads. All stay up together, idle but for the one that is measured.
func startReaders(ctx context.Context, s *stage) (readers []*reader, err error) {
	keys := keys[:localCount]
	if s.options.wants(edgeholdName) {
		l, err := startEdge(ctx, s, keys)
		if err != nil {
			return nil, err
		}
		readers = append(readers, l)
	}
	if s.options.wants(bareName) {
		l, err := startBare(ctx, s)
		if err != nil {
			return nil, err
		}
		readers = append(readers, l)
	}
	if s.options.wants(redisName) {
		l, err := startRedis(ctx, s, keys)
		switch {
		case errors.Is(err, errNoRedis):
			fmt.Fprintln(os.Stderr, "peers:", err)
		case err != nil:
			return nil, err
		default:
			readers = append(readers, l)
		}
	}
	return readers, nil
}

func startBare(ctx context.Context, s *stage) (*reader, error) {
	addresses, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	args := []string{"-client", addresses[0]}
	if s.options.profile != "" {
		args = append(args, "-profiles", addresses[1])
	}
	p, err := s.member(bareName, bareName, args...)
	if err != nil {
		return nil, err
	}
	if s.options.profile != "" {
		p.profiles = addresses[1]
	}
	l := &reader{
		name: bareName, address: addresses[0], members: []*process{p},
		requests: [][]byte{httpRequest(addresses[0], keys[0])}, receive: receiveHTTP,
	}
	return l, s.eventually(ctx, "the bare handler", func(ctx context.Context) error { return l.askAll(ctx) })
}

// startEdge runs three servers, fills them, and an edge 200 ms away from them that then holds a lease on every key.
func startEdge(ctx context.Context, s *stage, keys []string) (*reader, error) {
	f, err := startFleet(ctx, s)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if err := fill(ctx, f, keys); err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	p, err := f.node("edge", "edgehold-edge", farRegion, addresses[0], "--wan", "real", "--join", f.servers[0].address)
	if err != nil {
		return nil, err
	}
	l := &reader{name: edgeholdName, address: addresses[0], members: []*process{p}, receive: receiveHTTP}
	for _, k := range keys {
		l.requests = append(l.requests, httpRequest(l.address, k))
	}
	return l, s.eventually(ctx, "leases on all keys at the edge", l.askAll)
}

// askAll sends every request until each was answered locally; it repeats those that were not, since leases are given to
// keys that are read.
func (l *reader) askAll(ctx context.Context) error {
	return forEach(ctx, make([]string, fillers), func(ctx context.Context, worker int, _ string) error {
		return l.askSome(ctx, worker)
	})
}

// askSome sends the requests whose number is worker modulo fillers.
func (l *reader) askSome(ctx context.Context, worker int) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", l.address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing is under way
	w := &wire{c, bufio.NewReader(c), l.receive}
	var missing error
	for i := worker; i < len(l.requests); i += fillers {
		if err := w.ask(l.requests[i]); errors.Is(err, errNotLeased) {
			missing = err
		} else if err != nil {
			return err
		}
	}
	return missing
}
