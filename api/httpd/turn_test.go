package httpd

import (
	"net"
	"testing"
	"testing/synctest"
)

// TestTurns: of the connections that have brought something, so many are read on as there are turns, each until its handler
// begins, it waits for more, or it is closed.
func TestTurns(t *testing.T) {
	ends := map[string]func(c *retellingConn){
		"its handler begins": func(c *retellingConn) { c.answering.Store(true); c.endTurn() },
		"it waits for more":  func(c *retellingConn) { go func() { _, _ = c.Read(make([]byte, 10)) }() },
		"it is closed":       func(c *retellingConn) { _ = c.Close() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				turns := make(chan struct{}, 2)
				var conns []*retellingConn
				came := make(chan *retellingConn, 10)
				for range 4 {
					here, there := net.Pipe()
					c := &retellingConn{Conn: there, turns: turns}
					conns = append(conns, c)
					go func() { _, _ = here.Write([]byte("GET")) }()
					go func() {
						if _, err := c.Read(make([]byte, 10)); err == nil {
							came <- c
						}
					}()
				}
				for n := 2; n <= 4; n++ {
					synctest.Wait()
					if len(came) != 2 {
						t.Fatalf("%d connections have a turn", len(came))
					}
					end(<-came)
				}
				synctest.Wait()
				for _, c := range conns {
					_ = c.Close()
				}
				if len(turns) != 0 {
					t.Errorf("%d turns are lost", len(turns))
				}
			})
		})
	}
}

// TestNoTurns: what a handler reads, what is read ahead of it and what is read by who has taken the connection over waits
// for nobody.
func TestNoTurns(t *testing.T) {
	for name, x := range map[string]struct {
		size int
		set  func(c *retellingConn)
	}{
		"a handler":  {10, func(c *retellingConn) { c.answering.Store(true) }},
		"read ahead": {1, func(*retellingConn) {}},
		"taken over": {10, func(c *retellingConn) { c.shared.Store(true) }},
	} {
		here, there := net.Pipe()
		c := &retellingConn{Conn: there, turns: make(chan struct{})} // there are none
		x.set(c)
		go func() { _, _ = here.Write([]byte("v")) }()
		if n, err := c.Read(make([]byte, x.size)); n != 1 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		_ = c.Close()
	}
}
