package cluster

import (
	"bytes"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/notice"
)

// logText is a node's log, from the level info up.
type logText struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

// lines counts the lines that hold the words.
func (l *logText) lines(words string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.all.String()) {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

func (l *logText) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: l, Level: hclog.Info})
}

// TestWordsAboutAnotherCluster: if one of another cluster answers in the place of a node, the log has one line, with both names,
// and once when the right one is back.
func TestWordsAboutAnotherCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, root := newBubble(t), t.TempDir()
		first := founderIn(b, "s1", filepath.Join(root, "s1"))
		s1 := b.open(first)
		b.ready(s1)
		var log logText
		cfg := b.config("s2", api.RoleServer)
		cfg.Join, cfg.Dir, cfg.Logger = []string{"s1"}, filepath.Join(root, "s2"), log.logger()
		s2 := b.open(cfg)
		b.ready(s2)
		mine := clusterOf(s2)
		if err := s1.Close(); err != nil {
			t.Fatal(err)
		}
		phantom := b.open(founderIn(b, "s1", filepath.Join(root, "lost")))
		time.Sleep(2 * time.Minute)
		theirs := clusterOf(phantom)
		if theirs == "" || theirs == mine {
			t.Fatalf("the other cluster is %q", theirs)
		}
		words := `answers="node s1 of cluster ` + theirs + `" expected=` + mine + "/s1"
		if n := log.lines(words); n != 1 {
			t.Errorf("%d lines name the node that answers, want 1:\n%s", n, log.all.String())
		}
		if err := phantom.Close(); err != nil {
			t.Fatal(err)
		}
		again := b.config("s1", api.RoleServer)
		first.Listener = again.Listener
		b.ready(b.open(first))
		b.ready(s2)
		if n := log.lines("the expected node answers again"); n != 1 {
			t.Errorf("%d lines report that the right node is back, want 1", n)
		}
	})
}

// TestWordsAboutJoining: a join that fails logs one line at once, with the address and the cause, and then seldom.
func TestWordsAboutJoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		var log logText
		cfg := b.config("e1", api.RoleEdge)
		cfg.Join, cfg.Logger = []string{"nowhere", "neither"}, log.logger()
		b.open(cfg)
		time.Sleep(time.Second)
		for _, address := range cfg.Join {
			if n := log.lines("address=" + address); n != 1 || log.lines("cause=") < n {
				t.Errorf("%d lines after a second name the address %s and a cause, want 1:\n%s", n, address, log.all.String())
			}
		}
		time.Sleep(2 * notice.Every)
		if n := log.lines("WARN"); n < 4 || n > 6 {
			t.Errorf("%d lines after %v, want one each address and period:\n%s", n, 2*notice.Every, log.all.String())
		}
	})
}
