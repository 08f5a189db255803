package replica

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/cluster/notice"
)

// TestRaftLog: about a member that does not answer there are a few lines at first, and one when it answers again, however long that
// takes. Another member and another warning have lines of their own.
func TestRaftLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &raftLog{Logger: hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Info})}
		lines := func(words ...string) (n int) {
			for line := range strings.Lines(out.String()) {
				all := true
				for _, w := range words {
					all = all && strings.Contains(line, w)
				}
				if all {
					n++
				}
			}
			return n
		}
		refused := errors.New("connection refused")
		minute := func(id raft.ServerID, at raft.ServerAddress) {
			for range 120 {
				l.Error("failed to heartbeat to", "peer", at, "backoff time", time.Second, "error", refused)
				l.Error("failed to appendEntries to", "peer", raft.Server{ID: id, Address: at}, "error", refused)
				l.Warn("failed to contact", "server-id", id, "time", time.Second)
				time.Sleep(500 * time.Millisecond)
			}
		}
		minute("s3", "a3")
		if n := lines(""); n > 2 || lines("connection refused") == 0 {
			t.Errorf("a minute without a member takes %d lines:\n%s", n, out.String())
		}
		minute("s2", "a2")
		if lines("s2") == 0 || lines("a2") == 0 {
			t.Errorf("nothing is said of another member:\n%s", out.String())
		}
		l.answered("s3", "a3")
		l.answered("s3", "a3")
		if lines("INFO", "answers again", "peer=s3", "left_out=358") != 1 {
			t.Errorf("that it is back is not said, once:\n%s", out.String())
		}
		out.Reset()
		minute("s3", "a3")
		if lines("ERROR") != 2 && lines("ERROR") != 1 {
			t.Errorf("it went again:\n%s", out.String())
		}
		out.Reset()
		time.Sleep(notice.Every)
		minute("s3", "a3")
		if lines("left_out=") == 0 || lines("ERROR") > 2 {
			t.Errorf("after a long time:\n%s", out.String())
		}
		out.Reset()
		for range 10 {
			l.Error("failed to take snapshot", "error", refused)
		}
		if lines("") != 1 {
			t.Errorf("another complaint:\n%s", out.String())
		}
	})
}
