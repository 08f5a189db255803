package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestReceive(t *testing.T) {
	value := strings.Repeat("v", valueBytes)
	answer := func(head string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", head, len(value), value)
	}
	fails := errors.New("some error")
	for _, c := range []struct {
		name    string
		receive func(*bufio.Reader) error
		in      string
		want    error
	}{
		{"bare", receiveHTTP, answer(""), nil},
		{"lease", receiveHTTP, answer("Edgehold-Served-By: lease\r\n"), nil},
		{"owner", receiveHTTP, answer("Edgehold-Served-By: owner\r\n"), errNotLeased},
		{"refused", receiveHTTP, "HTTP/1.1 503 Service Unavailable\r\n\r\n", fails},
		{"short", receiveHTTP, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", fails},
		{"cut", receiveHTTP, answer("")[:200], fails},
		{"redis", receiveRESP, "$256\r\n" + value + "\r\n", nil},
		{"nil", receiveRESP, "$-1\r\n", fails},
		{"redis error", receiveRESP, "-ERR no\r\n", fails},
	} {
		in := bufio.NewReader(strings.NewReader(c.in))
		err := c.receive(in)
		switch {
		case c.want == fails && err == nil, c.want != fails && !errors.Is(err, c.want):
			t.Errorf("%s: %v", c.name, err)
		case c.want != fails && in.Buffered() != 0:
			t.Errorf("%s: %d bytes are left for the next answer", c.name, in.Buffered())
		}
	}
}

func TestRequests(t *testing.T) {
	if got := string(respCommand("GET", "a/b")); got != "*2\r\n$3\r\nGET\r\n$3\r\na/b\r\n" {
		t.Errorf("%q", got)
	}
	if got := string(httpRequest("h:1", "a/b")); !strings.HasPrefix(got, "GET /v1/kv/a/b HTTP/1.1\r\nHost: h:1\r\n") {
		t.Errorf("%q", got)
	}
}
