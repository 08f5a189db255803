package resp

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/redcon"
)

var rewrite = flag.Bool("rewrite", false, "write what the installed redis-server answers into testdata/conformance.txt")

const transcriptFile = "testdata/conformance.txt"

// exchangeOf is a command of the transcript: a line "> COMMAND" (or "2> COMMAND" on a second connection, "3> COMMAND" on one of RESP3),
// what Redis answers ("< REPLY"), and what Edgehold answers if that is something else ("= REPLY"), after a comment that says why.
type exchangeOf struct {
	conn    string
	line    string
	args    []string
	redis   string
	comment string
	own     string
	differs bool
}

// same reports whether two answers are the same. Times may be less by what the test took.
func (x *exchangeOf) same(got, want string) bool {
	if strings.HasSuffix(x.args[0], "TTL") {
		a, err := strconv.Atoi(strings.Trim(got, ":\r\n"))
		b, other := strconv.Atoi(strings.Trim(want, ":\r\n"))
		if err == nil && other == nil && a > 0 && b > 0 {
			return a <= b && a > b-50
		}
	}
	return got == want
}

// chapter is a part of the transcript that begins with no keys, and with new connections.
type chapter struct {
	name string
	all  []exchangeOf
}

func readTranscript(t *testing.T) (chapters []chapter) {
	t.Helper()
	b, err := os.ReadFile(transcriptFile)
	if err != nil {
		t.Fatal(err)
	}
	comment := ""
	for i, line := range strings.Split(string(b), "\n") {
		last := func() *exchangeOf {
			all := chapters[len(chapters)-1].all
			return &all[len(all)-1]
		}
		quoted := func() string {
			s, err := strconv.Unquote(line[2:])
			if err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			return s
		}
		switch conn, command, isCommand := strings.Cut(line, "> "); {
		case strings.HasPrefix(line, "== "):
			chapters = append(chapters, chapter{name: line[3:]})
		case strings.HasPrefix(line, "# "):
			comment = line
		case strings.HasPrefix(line, "< "):
			last().redis = quoted()
		case strings.HasPrefix(line, "= "):
			last().own, last().differs, last().comment = quoted(), true, comment
		case isCommand:
			c := &chapters[len(chapters)-1]
			c.all = append(c.all, exchangeOf{conn: conn, line: command, args: words(t, command)})
		case line != "":
			t.Fatalf("line %d: %q", i+1, line)
		}
	}
	return chapters
}

// words splits a command: what is quoted is one word.
func words(t *testing.T, s string) (all []string) {
	t.Helper()
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		word, rest, _ := strings.Cut(s, " ")
		if s[0] == '"' {
			quoted, err := strconv.QuotedPrefix(s)
			if err != nil {
				t.Fatalf("%s: %v", s, err)
			}
			if word, err = strconv.Unquote(quoted); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
			rest = s[len(quoted):]
		}
		all, s = append(all, word), rest
	}
	return all
}

// wireConn is a connection of a test.
type wireConn struct {
	t  *testing.T
	c  net.Conn
	in *bufio.Reader
}

func dialWire(t *testing.T, address string) *wireConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return newWireConn(t, c)
}

func newWireConn(t *testing.T, c net.Conn) *wireConn {
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &wireConn{t, c, bufio.NewReader(c)}
}

// ask sends a command and returns its answer as it comes; "" if the connection ends.
func (w *wireConn) ask(args ...string) string {
	w.t.Helper()
	w.send(args...)
	return w.receive()
}

func (w *wireConn) send(args ...string) {
	w.t.Helper()
	if _, err := w.c.Write(encode(args...)); err != nil && !ended(err) {
		w.t.Fatal(err)
	}
}

// ended reports whether a connection fails because the server has closed it. If it did so before it had read all, that is a reset.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func encode(args ...string) []byte {
	b := redcon.AppendArray(nil, len(args))
	for _, a := range args {
		b = redcon.AppendBulkString(b, a)
	}
	return b
}

func (w *wireConn) receive() string {
	w.t.Helper()
	s, err := readReply(w.in)
	if err != nil && !ended(err) {
		w.t.Fatal(err)
	}
	return s
}

// readReply reads one answer of RESP2 or RESP3.
func readReply(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return line, err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '$', '=':
		if n < 0 {
			return line, nil
		}
		rest := make([]byte, n+2)
		_, err := io.ReadFull(in, rest)
		return line + string(rest), err
	case '%':
		n *= 2
		fallthrough
	case '*':
		for range max(n, 0) {
			s, err := readReply(in)
			if line += s; err != nil {
				return line, err
			}
		}
	}
	return line, nil
}

// play sends a chapter to a server and returns its answers.
func (c *chapter) play(t *testing.T, address string) (answers []string) {
	t.Helper()
	conns := map[string]*wireConn{}
	for i := range c.all {
		x := &c.all[i]
		w := conns[x.conn]
		if w == nil {
			w = dialWire(t, address)
			conns[x.conn] = w
			if x.conn == "3" {
				w.ask("HELLO", "3")
			}
		}
		answers = append(answers, w.ask(x.args...))
	}
	return answers
}

// TestConformance: each command is answered as Redis does, byte by byte, but where the transcript says why not.
func TestConformance(t *testing.T) {
	for _, c := range readTranscript(t) {
		t.Run(c.name, func(t *testing.T) {
			for i, got := range c.play(t, serve(t, nil).address) {
				x := &c.all[i]
				want := x.redis
				if x.differs {
					want = x.own
				}
				if !x.same(got, want) {
					t.Errorf("%s> %s: got %q, want %q", x.conn, x.line, got, want)
				}
			}
		})
	}
}

// TestRedisConforms compares the transcript with what the installed redis-server answers, and writes that with -rewrite.
func TestRedisConforms(t *testing.T) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	if testing.Short() && !*rewrite {
		t.Skip("another program")
	}
	address := startRedis(t, binary)
	chapters := readTranscript(t)
	for i := range chapters {
		c := &chapters[i]
		dialWire(t, address).ask("FLUSHALL")
		for i, got := range c.play(t, address) {
			x := &c.all[i]
			if !x.same(got, x.redis) && !*rewrite {
				t.Errorf("%s: %s> %s: Redis answers %q, the transcript has %q", c.name, x.conn, x.line, got, x.redis)
			}
			if !x.same(got, x.redis) {
				x.redis = got
			}
		}
	}
	if *rewrite {
		writeTranscript(t, chapters)
	}
}

func writeTranscript(t *testing.T, chapters []chapter) {
	t.Helper()
	var b strings.Builder
	for i, c := range chapters {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "== %s\n", c.name)
		for _, x := range c.all {
			fmt.Fprintf(&b, "%s> %s\n< %q\n", x.conn, x.line, x.redis)
			if x.differs {
				fmt.Fprintf(&b, "%s\n= %q\n", x.comment, x.own)
			}
		}
	}
	if err := os.WriteFile(transcriptFile, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startRedis runs a redis-server on a free port until the test ends.
func startRedis(t *testing.T, binary string) string {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.CommandContext(t.Context(), binary, "--bind", "127.0.0.1", "--port", port, "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 300 {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return address
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("redis-server does not start")
	return ""
}
