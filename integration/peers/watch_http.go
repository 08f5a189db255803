package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

var (
	eventPut   = []byte("event: put")
	eventReady = []byte("event: ready")
	eventGap   = []byte("event: gap")
	eventEnd   = []byte("event: end")
)

// watchHTTP opens a watch of the prefix over a connection of its own, and returns once it has begun. From then on it calls seen for
// each change, and failed if the watch ends before ctx.
func watchHTTP(ctx context.Context, address, prefix string, seen func(), failed func(error)) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // ends what reads it
	lines, err := beginWatch(c, address, prefix)
	if err != nil {
		stop()
		return errors.Join(err, c.Close())
	}
	go func() {
		err := readEvents(lines, seen, nil)
		if stop() {
			failed(errors.Join(err, c.Close()))
		}
	}()
	return nil
}

// beginWatch sends the request and reads up to the event that says that the watch has begun.
func beginWatch(c net.Conn, address, prefix string) (*bufio.Reader, error) {
	if err := c.SetDeadline(time.Now().Add(operationTimeout)); err != nil {
		return nil, err
	}
	_, err := fmt.Fprintf(c, "GET /v1/watch?prefix=%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: peers\r\n\r\n", url.QueryEscape(prefix), address)
	if err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil) //nolint:bodyclose // the connection is closed
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("a watch is answered with %s", res.Status)
	}
	lines := bufio.NewReaderSize(res.Body, 1<<10)
	if err := readEvents(lines, func() {}, eventReady); err != nil {
		return nil, err
	}
	return lines, c.SetDeadline(time.Time{})
}

// readEvents calls seen for each change, until it meets the event, or an error.
func readEvents(lines *bufio.Reader, seen func(), until []byte) error {
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) { // what is longer than the buffer is data, which begins otherwise
			return err
		}
		line = bytes.TrimRight(line, "\n")
		switch {
		case bytes.Equal(line, eventPut):
			seen()
		case bytes.Equal(line, eventGap), bytes.Equal(line, eventEnd):
			return fmt.Errorf("a watch has met %q", line)
		case until != nil && bytes.Equal(line, until):
			return nil
		}
	}
}
