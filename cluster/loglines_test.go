package cluster

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// text is all that is kept.
func (l *logLines) text() string {
	lines, _ := l.newest()
	return string(bytes.Join(lines, nil))
}

// TestLogLines keeps what is of the level info and above whatever the node logs, with the names and the fields of its loggers.
func TestLogLines(t *testing.T) {
	for _, log := range []hclog.Logger{hclog.NewNullLogger(), hclog.New(&hclog.LoggerOptions{Name: "edgehold", Level: hclog.Error, Output: &bytes.Buffer{}})} {
		kept := &logLines{}
		l := keepLines(log, kept).Named("s1")
		l.Trace("no trace")
		l.Debug("no debug")
		l.Info("an info", "k", 1)
		l.With("group", "r.1").Named("raft").Warn("a warning")
		l.ResetNamed("other").Error("an error")
		l.Log(hclog.Info, "by level")
		l.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Warn}).Print("of another package")
		got := kept.text()
		for _, want := range []string{"[INFO]", "s1: an info: k=1\n", "s1.raft: a warning: group=r.1\n", "[ERROR] other: an error\n", "by level\n", "of another package\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("%q is not kept:\n%s", want, got)
			}
		}
		if strings.Contains(got, "no ") || !l.IsInfo() || l.IsTrace() {
			t.Errorf("below info:\n%s", got)
		}
	}
}

// TestLogLinesLeave holds the bounds of lines, of bytes and of one line: the oldest leave.
func TestLogLinesLeave(t *testing.T) {
	kept := &logLines{}
	for i := range maxLogLines + 5 {
		fmt.Fprintf(kept, "line %d\n", i)
	}
	lines, left := kept.newest()
	if len(lines) != maxLogLines || left != 5 || string(lines[0]) != "line 5\n" {
		t.Errorf("%d lines, %d left, the first is %q", len(lines), left, lines[0])
	}
	long := bytes.Repeat([]byte("x"), maxLogLine+100)
	for range maxLogBytes/maxLogLine + 10 {
		if n, err := kept.Write(long); n != len(long) || err != nil {
			t.Fatal(n, err)
		}
	}
	size := len(kept.text())
	lines, left = kept.newest()
	if size > maxLogBytes || size < maxLogBytes-maxLogLine || kept.size != size || len(lines) != maxLogBytes/maxLogLine || left < maxLogLines {
		t.Errorf("%d bytes, counted as %d, in %d lines; %d left", size, kept.size, len(lines), left)
	}
	if last := lines[len(lines)-1]; len(last) != maxLogLine || !bytes.HasSuffix(last, []byte("x\n")) {
		t.Errorf("a long line has %d bytes and ends with %q", len(last), last[len(last)-2:])
	}
}

// TestLogLinesAtOnce has many write while others read.
func TestLogLinesAtOnce(t *testing.T) {
	kept := &logLines{}
	l := keepLines(hclog.NewNullLogger(), kept)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				l.Info("line")
				kept.newest()
			}
		})
	}
	all.Wait()
	if n := strings.Count(kept.text(), "line\n"); n != 400 {
		t.Errorf("%d lines of 400", n)
	}
}
