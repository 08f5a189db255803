package integration

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// plainClient is a client of HTTP/1.1 with one connection, which costs next to nothing, so that it is the nodes that are
// measured. It belongs to one goroutine.
type plainClient struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
	out     []byte
}

func (c *plainClient) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// ask sends one request and waits for its answer.
func (c *plainClient) ask(method, path string, body []byte) error {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.address, floodTimeout)
		if err != nil {
			return &api.Error{Code: api.CodeUnavailable, Err: err}
		}
		c.conn, c.in = conn, bufio.NewReaderSize(conn, 2048)
	}
	_ = c.conn.SetDeadline(time.Now().Add(floodTimeout)) // a connection that takes none fails below
	c.out = append(append(append(append(c.out[:0], method...), ' '), path...), " HTTP/1.1\r\nHost: "+c.address+"\r\n"...)
	if body != nil {
		c.out = append(strconv.AppendInt(append(c.out, "Content-Length: "...), int64(len(body)), 10), "\r\n"...)
	}
	c.out = append(append(c.out, "\r\n"...), body...)
	_, err := c.conn.Write(c.out)
	if err == nil {
		var status int
		var retry bool
		if status, retry, err = c.answer(); err == nil {
			return meaning(method, status, retry)
		}
	}
	c.close()
	return &api.Error{Code: api.CodeAmbiguous, Err: err}
}

// meaning returns the error that a status stands for.
func meaning(method string, status int, retry bool) error {
	switch status {
	case 200, 404:
		return nil
	case 503:
		e := &api.Error{Code: api.CodeUnavailable}
		if retry {
			e.RetryAfter = time.Second
		}
		return e
	case 504:
		return &api.Error{Code: api.CodeAmbiguous}
	}
	return fmt.Errorf("%s was answered %d", method, status)
}

// answer reads an answer to its end: its status, and whether it has a Retry-After.
func (c *plainClient) answer() (status int, retry bool, err error) {
	length, ends := 0, false
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case first:
			if len(line) < 12 {
				return 0, false, errors.New("no status line")
			}
			status, err = strconv.Atoi(string(line[9:12]))
		case len(line) == 0:
			if _, err := c.in.Discard(length); err != nil && err != io.EOF {
				return 0, false, err
			}
			if ends {
				c.close()
			}
			return status, retry, nil
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, err = strconv.Atoi(string(value))
		case bytes.EqualFold(name, []byte("Retry-After")):
			retry = true
		case bytes.EqualFold(name, []byte("Connection")):
			ends = bytes.EqualFold(value, []byte("close"))
		}
		if err != nil {
			return 0, false, err
		}
	}
}
