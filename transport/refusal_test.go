package transport

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestRefusal: a connection that reaches another node than the named one reads which, on every lane that names one; Answered gets
// it, and of the answer of the right one. A lane that is not there closes without a word if there is nothing to say.
func TestRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{
			Answers: func(name string) bool { return name == "x/s1" },
			Refusal: func(name string) string {
				if name == "x/s1/g" {
					return ""
				}
				return "node s1 of cluster x"
			},
		})
		heard := map[string]*RefusedError{}
		p.dialer.Answered = func(address string, refused *RefusedError) { heard[address] = refused }
		for lane, dial := range map[string]func() (io.ReadWriteCloser, error){
			"peer":  func() (io.ReadWriteCloser, error) { return p.dialer.DialPeer(t.Context(), "port", "y/s1") },
			"calls": func() (io.ReadWriteCloser, error) { return p.dialer.DialCalls(t.Context(), "port", "y/s1") },
			"raft":  func() (io.ReadWriteCloser, error) { return p.dialer.DialRaft(t.Context(), "port", "y/s1") },
		} {
			c, err := dial()
			if err != nil {
				t.Fatal(lane, err)
			}
			if _, err = c.Write([]byte("what is on its way already")); err != nil {
				t.Error(lane, err)
			}
			_, err = c.Read(make([]byte, 3)) // less than the refusal
			refused, ok := errors.AsType[*RefusedError](err)
			if !ok || refused.Answers != "node s1 of cluster x" || refused.Address != "port" || refused.Wanted != "y/s1" || heard["port"] != refused {
				t.Errorf("%s: read %v, heard %+v", lane, err, heard["port"])
			}
			_ = c.Close()
		}
		c, err := p.dialer.DialRaft(t.Context(), "port", "x/s1/g")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("a lane that is not open: %v", err)
		}
		echo(t, p.Peer(), "peer")
		c, err = p.dialer.DialPeer(t.Context(), "port", "x/s1")
		expectEcho(t, c, err, "peer")
		if r, ok := heard["port"]; !ok || r != nil {
			t.Errorf("the right node has answered, and the owner heard %v", r)
		}
	})
}

// TestRefusalEnds: a dialer that does not close a refused connection does not keep the port.
func TestRefusalEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{Answers: func(string) bool { return false }, Refusal: func(string) string { return "another" }})
		c, err := p.dialer.DialPeer(t.Context(), "port", "y")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		time.Sleep(2 * refusalLinger)
		if n := p.Unmatched(); n != 0 {
			t.Errorf("%d connections are still held", n)
		}
	})
}
