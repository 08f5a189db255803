package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
)

// errNoRedis: there is nothing to compare with.
var errNoRedis = errors.New("redis-server is not installed (Debian: apt-get install redis-server): Redis is left out")

// startRedis runs a server that keeps nothing on disk, and fills it.
func startRedis(ctx context.Context, s *stage, keys []string) (*reader, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errNoRedis
	}
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addresses[0])
	if err != nil {
		return nil, err
	}
	p, err := s.run(redisName, binary, "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", s.dir)
	if err != nil {
		return nil, err
	}
	l := &reader{name: redisName, address: addresses[0], members: []*process{p}, receive: receiveRESP}
	for _, k := range keys {
		l.requests = append(l.requests, respCommand("GET", k))
	}
	return l, s.eventually(ctx, "Redis", func(ctx context.Context) error { return fillRedis(ctx, l.address, keys) })
}

func fillRedis(ctx context.Context, address string, keys []string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // each answer has been read
	w := &wire{c, bufio.NewReader(c), receiveOK}
	value := string(newValue(rand.New(rand.NewPCG(7, 8))))
	for _, k := range keys {
		if err := w.ask(respCommand("SET", k, value)); err != nil {
			return err
		}
	}
	return nil
}

func receiveOK(in *bufio.Reader) error {
	line, err := in.ReadString('\n')
	if err == nil && line != "+OK\r\n" {
		err = fmt.Errorf("answer %q", line)
	}
	return err
}

// redisVersion returns the version of the installed server; "" if there is none.
func redisVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "redis-server", "--version").Output()
	if err != nil {
		return ""
	}
	for _, w := range strings.Fields(string(out)) {
		if v, ok := strings.CutPrefix(w, "v="); ok {
			return v
		}
	}
	return ""
}
