package replica

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// TestBootstrapInterrupted starts after a crash between the two writes that found a group.
func TestBootstrapInterrupted(t *testing.T) {
	simulate(t, 1, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		g.crash(l.name)
		l.disk = logstore.NewMemory(time.Millisecond)
		stores, err := l.disk.Stores()
		if err != nil {
			t.Fatal(err)
		}
		if err := stores.Stable.SetUint64([]byte("CurrentTerm"), 1); err != nil {
			t.Fatal(err)
		}
		g.start(l.name, 1)
		g.must(g.leader(), "founded")
	})
}

func TestConfigIsChecked(t *testing.T) {
	n := newNetwork(0)
	disk := logstore.NewMemory(0)
	for i, c := range []Config{
		{},
		{Group: "g", Node: "n"},
		{Group: "g", Node: "n", Stores: disk.Stores},
		{Group: "g", Node: "n\x00", Stores: disk.Stores, Streams: n.endpoint("n")},
		{Group: "g", Node: "n", Streams: n.endpoint("n")},
		{Group: "g", Node: "n", Stores: disk.Stores, Streams: n.endpoint("n"), Members: []Member{{Node: "a"}, {Node: "a"}}},
	} {
		if _, err := Open[result](c, new(register)); !errors.Is(err, api.CodeInvalid) {
			t.Errorf("config %d opens as %v", i, err)
		}
	}
	broken := Config{Group: "g", Node: "n", Streams: n.endpoint("n"), Stores: func() (logstore.Stores, error) { return logstore.Stores{}, fmt.Errorf("no disk") }}
	if _, err := Open[result](broken, new(register)); !errors.Is(err, api.CodeInternal) {
		t.Errorf("a broken disk opens as %v", err)
	}
}

// TestDiskLogGreatEntries: a log stores the largest entry that may be proposed, and has it after a restart.
func TestDiskLogGreatEntries(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("writes 250 MB")
	}
	eachLog(t, func(t *testing.T, kind logstore.Kind) {
		dir := t.TempDir()
		log := openLog(t, dir, kind)
		great := encodeEntry([][]byte{make([]byte, MaxCommandBytes)})
		logs := []*raft.Log{{Index: 1, Term: 1}, {Index: 2, Term: 1, Data: great}, {Index: 3, Term: 1}}
		if err := log.StoreLogs(logs); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		log = openLog(t, dir, kind)
		for i := uint64(1); i <= 3; i++ {
			var l raft.Log
			if err := log.GetLog(i, &l); err != nil || !bytes.Equal(l.Data, logs[i-1].Data) {
				t.Errorf("entry %d of %d bytes comes back with %d bytes, %v", i, len(logs[i-1].Data), len(l.Data), err)
			}
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
}

func openLog(t *testing.T, dir string, kind logstore.Kind) logstore.Disk {
	t.Helper()
	log, err := logstore.Open(dir, kind, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// TestLogKindIsChecked: Open refuses an unknown kind of log.
func TestLogKindIsChecked(t *testing.T) {
	_, err := Open[result](Config{Group: "g", Node: "n", Dir: t.TempDir(), Log: "tape", Streams: newNetwork(0).endpoint("n")}, new(register))
	wantCode(t, err, api.CodeInvalid)
}
