package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines passes what is printed on, line by line.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
	out chan string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.Write(b)
	for {
		line, err := l.all.ReadString('\n')
		if err != nil {
			l.all.WriteString(line)
			return len(b), nil
		}
		l.out <- line
	}
}

// TestDevSecure: dev --secure names files with which the commands reach every node of its planet.
func TestDevSecure(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	printed, ended := &lines{out: make(chan string, 100)}, make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"dev", "--secure", "--regions", "a", "--replicas", "1", "--wan", "off", "--port", "0", "--json"},
			&terminal{out: printed, err: new(bytes.Buffer), lookupEnv: func(string) (string, bool) { return "", false }})
	}()
	defer func() {
		cancel()
		if status := <-ended; status != 0 {
			t.Errorf("dev ends with status %d", status)
		}
	}()
	var planet struct {
		Nodes     []devNode
		CA, Token string
	}
	select {
	case line := <-printed.out:
		if err := json.Unmarshal([]byte(line), &planet); err != nil || len(planet.Nodes) != 2 {
			t.Fatalf("%q, %v", line, err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the planet is not ready")
	}
	for _, n := range planet.Nodes {
		if i := new(invocation).run("kv", "put", "a/b", "c", "--addr", n.URL, "--ca", planet.CA, "--token", "@"+planet.Token); i.status != 0 || !strings.HasPrefix(n.URL, "https://") {
			t.Errorf("%s: exit %d, %s", n.URL, i.status, i.err)
		}
	}
	if i := new(invocation).run("kv", "get", "a/b", "--addr", planet.Nodes[0].URL, "--ca", planet.CA); i.status != 1 || !strings.Contains(i.err, "a token is needed") {
		t.Errorf("without a token: exit %d, %q", i.status, i.err)
	}
}
