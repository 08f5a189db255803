package resp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll returns the commands that a reader finds in what a client sends, and the error with which it ends.
func readAll(r *reader) (all []string, err error) {
	var c call
	for {
		ok, err := r.next(&c)
		switch {
		case err != nil:
			return all, err
		case ok && c.refused != "":
			all = append(all, "refused: "+c.refused)
		case ok:
			all = append(all, fmt.Sprintf("%q", c.args))
		default:
			if err := r.fill(); err != nil {
				return all, err
			}
		}
	}
}

func newTestReader(from io.Reader) *reader {
	return newReader(from, &account{memory: &memory{limit: 64 << 20}})
}

// TestReader: what a client sends is the same commands, in whatever pieces it comes; what is not the protocol ends it.
func TestReader(t *testing.T) {
	big := strings.Repeat("x", MaxArgBytes)
	for _, c := range []struct {
		sent string
		want []string
		err  string
	}{
		{"*1\r\n$4\r\nPING\r\n", []string{`["PING"]`}, ""},
		{"*2\r\n$3\r\nGET\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n", []string{`["GET" ""]`, `["PING"]`}, ""},
		{"*0\r\n*-1\r\n*-100\r\n*1\r\n$4\r\nPING\r\n", []string{`["PING"]`}, ""},
		{"*2\r\n$3\r\nGET\r\n$4\r\n\r\n\x00\xff\r\n", []string{`["GET" "\r\n\x00\xff"]`}, ""},
		{"*2\r\n$3\r\nGET\r\n$3\r\nab", nil, ""},
		{"PING\r\n", nil, "expected '*', got 'P'"},
		{"*1\r\n$4\r\nPING\r\nGET k\r\n", []string{`["PING"]`}, "expected '*', got 'G'"},
		{"*1\r\n:4\r\n", nil, "expected '$', got ':'"},
		{"*x\r\n", nil, "invalid multibulk length"},
		{"*\r\n", nil, "invalid multibulk length"},
		{"*1\n$4\r\nPING\r\n", nil, "invalid multibulk length"},
		{"*+1\r\n", nil, "invalid multibulk length"},
		{"*1048577\r\n", nil, "invalid multibulk length"},
		{"*9999999999999999999\r\n", nil, "invalid multibulk length"},
		{"*" + strings.Repeat("1", 40), nil, "too big mbulk count string"},
		{"*1\r\n$" + strings.Repeat("1", 40), nil, "too big bulk count string"},
		{"*1\r\n$-1\r\n", nil, "invalid bulk length"},
		{"*1\r\n$-2\r\n", nil, "invalid bulk length"},
		{"*1\r\n$536870913\r\n", nil, "invalid bulk length"},
		{"*1\r\n$9223372036854775807\r\n", nil, "invalid bulk length"},
		{"*1\r\n$4\r\nPINGxx", nil, "expected CRLF after an argument"},
		{"*2\r\n$3\r\nGET\r\n$1048577\r\n" + big + "x\r\n*1\r\n$4\r\nPING\r\n",
			[]string{"refused: ERR argument of 1048577 bytes is over the limit of 1048576 bytes", `["PING"]`}, ""},
		{string(encode("MSET", "a", big, "b", big, "c", big, "d", big, "e", big, "f", big, "g", big, "h", big)) + "*1\r\n$4\r\nPING\r\n",
			[]string{"refused: ERR command of at least 8388620 bytes is over the limit of 8388608 bytes", `["PING"]`}, ""},
		{string(encode(slicesOf("x", MaxArgs+1)...)) + "*1\r\n$4\r\nPING\r\n",
			[]string{fmt.Sprintf("refused: ERR command of %d arguments is over the limit of %d arguments", MaxArgs+1, MaxArgs), `["PING"]`}, ""},
	} {
		pieces := []io.Reader{strings.NewReader(c.sent), iotest.HalfReader(strings.NewReader(c.sent))}
		if len(c.sent) < 1<<20 {
			pieces = append(pieces, iotest.OneByteReader(strings.NewReader(c.sent)))
		}
		for _, from := range pieces {
			r := newTestReader(from)
			got, err := readAll(r)
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%.60q: got %.200q, want %.200q", c.sent, got, c.want)
			}
			if p, ok := errors.AsType[protocolError](err); c.err != string(p) || !ok && !errors.Is(err, io.EOF) {
				t.Errorf("%.60q: ended with %v, want %q", c.sent, err, c.err)
			}
			if r.close(); r.memory.memory.used.Load() != 0 {
				t.Errorf("%.60q: %d bytes are left", c.sent, r.memory.memory.used.Load())
			}
		}
	}
}

func slicesOf(s string, n int) []string { return strings.Split(strings.Repeat(s+",", n-1)+s, ",") }

// TestReaderMemory: a command for which there is no memory is dropped and refused, and what a large command took is given back.
func TestReaderMemory(t *testing.T) {
	m := &memory{limit: 100 << 10}
	value := strings.Repeat("v", 64<<10)
	sent := string(encode("SET", "k", value)) + string(encode("SET", "k", value+value)) + string(encode("PING"))
	other := newReader(strings.NewReader(string(encode("SET", "k", value))), &account{memory: m})
	for range 2 {
		r := newReader(strings.NewReader(sent), &account{memory: m})
		got, err := readAll(r)
		if !errors.Is(err, io.EOF) || len(got) != 3 || !strings.Contains(got[0], value) || got[1] != "refused: TRYAGAIN the node has no room for a command of this size at present" || got[2] != `["PING"]` {
			t.Fatalf("got %.100q, %v", got, err)
		}
		if used := m.used.Load(); used != 0 {
			t.Errorf("%d bytes are used by a connection that is idle", used)
		}
		r.close()
	}
	if got, err := readAll(other); !errors.Is(err, io.EOF) || len(got) != 1 {
		t.Errorf("another connection: %.100q, %v", got, err)
	}
}

// FuzzReader: no input makes the reader fail or keep more than it may, and its commands do not depend on the pieces in which they come.
func FuzzReader(f *testing.F) {
	for _, s := range []string{"*1\r\n$4\r\nPING\r\n", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*0\r\n", "*1\r\n$-2\r\n", "*3\r\n$3\r\nSET\r\n", "*99999\r\n$1\r\na\r\n", "*1\r\n$1048577\r\n"} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, sent []byte, seed uint64) {
		whole, err := readAll(newTestReader(bytes.NewReader(sent)))
		r := newTestReader(&pieces{bytes.NewReader(sent), rand.New(rand.NewPCG(seed, 0))})
		parts, other := readAll(r)
		if fmt.Sprint(whole) != fmt.Sprint(parts) || fmt.Sprint(err) != fmt.Sprint(other) {
			t.Fatalf("whole: %q, %v; in pieces: %q, %v", whole, err, parts, other)
		}
		if n := len(r.buf); n > MaxCommandBytes+MaxArgs*maxLength+freeBuffer || n > 4*len(sent)+MaxArgBytes+freeBuffer {
			t.Fatalf("%d bytes are kept of %d", n, len(sent))
		}
		var again []byte
		var c call
		for in := newTestReader(bytes.NewReader(sent)); ; {
			ok, err := in.next(&c)
			if err != nil {
				break
			}
			if !ok {
				if in.fill() != nil {
					break
				}
				continue
			}
			if c.refused == "" {
				var args []string
				for _, a := range c.args {
					args = append(args, string(a))
				}
				again = append(again, encode(args...)...)
			}
		}
		if twice, err := readAll(newTestReader(bytes.NewReader(again))); !errors.Is(err, io.EOF) || fmt.Sprint(twice) != fmt.Sprint(unrefused(whole)) {
			t.Fatalf("sent again: %q, %v, want %q", twice, err, whole)
		}
	})
}

func unrefused(all []string) (kept []string) {
	for _, s := range all {
		if !strings.HasPrefix(s, "refused: ") {
			kept = append(kept, s)
		}
	}
	return kept
}

// pieces reads a few bytes at a time.
type pieces struct {
	io.Reader
	random *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	return p.Reader.Read(b[:min(len(b), 1+p.random.IntN(9))])
}
