package top

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// openTerminal opens a terminal of the system: what a person types and sees, and what a program has.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this system gives no terminals: ", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("this system gives no terminals: ", err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

// watching is what a person sees.
type watching struct {
	mu   sync.Mutex
	text strings.Builder
}

// until waits for what is to be seen.
func (w *watching) until(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		seen := w.text.String()
		w.mu.Unlock()
		if strings.Contains(seen, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%q is not to be seen in %q", want, seen)
		}
	}
}

// TestTerminal shows the table on a real terminal, in the size that it has and then gets, obeys its keys, and leaves it as it was: when a
// person quits, and when the command is interrupted.
func TestTerminal(t *testing.T) {
	for _, quits := range []bool{true, false} {
		person, program := openTerminal(t)
		size := func(columns, rows uint16) {
			t.Helper()
			if err := unix.IoctlSetWinsize(int(person.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
				t.Fatal(err)
			}
		}
		size(40, 10)
		before, err := term.GetState(int(program.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		w := &watching{}
		go func() { // ends with the terminal
			for buf := make([]byte, 4096); ; {
				n, err := person.Read(buf)
				if err != nil {
					return
				}
				w.mu.Lock()
				w.text.Write(buf[:n])
				w.mu.Unlock()
			}
		}()
		ctx, cancel := context.WithCancel(t.Context())
		updates, ended := make(chan Update), make(chan error, 1)
		go func() { ended <- Terminal(ctx, program, program, true, updates) }()
		updates <- Update{Event: planet(), From: "http://a:1"}
		w.until(t, "\x1b[?1049h")
		w.until(t, "cluster 0123456789abcdef  3 nodes, 1 do…") // 40 columns
		size(80, 30)
		if err := unix.Kill(os.Getpid(), unix.SIGWINCH); err != nil { // as the kernel does at the terminal of a session
			t.Fatal(err)
		}
		w.until(t, "3 nodes, 1 down  2 groups")
		w.until(t, "us-east-2 is unheard; next: start it")
		if _, err := person.WriteString("ss"); err != nil {
			t.Fatal(err)
		}
		w.until(t, ByWrites.String())
		if quits {
			if _, err := person.WriteString("q"); err != nil {
				t.Fatal(err)
			}
		} else {
			cancel()
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		cancel()
		w.until(t, leaveScreen)
		if after, err := term.GetState(int(program.Fd())); err != nil || *after != *before {
			t.Errorf("the terminal is another one afterwards: %v", err)
		}
	}
}
