package replica

import (
	"errors"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// inbox stands between Raft's transport and Raft, and guards how snapshots are installed. It is also the log that Raft
// sees.
//
// Raft installs whatever snapshot the leader of its term sends, empties the log, and still takes the log for as long as it
// was. Hence, first, a snapshot that comes late would roll the machine back and drop entries that this member has
// acknowledged; the inbox answers such a one itself. Second, where the log had entries at and beyond the snapshot that
// conflict with it, Raft would refuse all that follows, and be sent the same snapshot for ever (hashicorp/raft #697; that
// the log is monotonic is not enough); the inbox lets the first entries after the snapshot through.
type inbox struct {
	logstore.Log
	// Set before serving: what the machine has applied; the term, and how long the log is, as Raft takes it.
	applied, term, last func() uint64
	halted              func() error // why the machine takes no state any more; nil while it does

	noteCommitted func(committed uint64) // what a leader has committed

	out  chan raft.RPC
	done chan struct{}

	mu  sync.Mutex
	gap gap
}

// gap is that Raft takes the log for longer than the snapshot that was installed, while it is empty.
type gap struct {
	open        bool
	index, term uint64 // of the snapshot
	last        uint64 // as Raft takes it
}

func newInbox(log logstore.Log, noteCommitted func(committed uint64)) *inbox {
	return &inbox{Log: log, noteCommitted: noteCommitted, out: make(chan raft.RPC), done: make(chan struct{})}
}

// pump hands requests on, one at a time as Raft takes them, until the inbox is closed.
func (i *inbox) pump(in <-chan raft.RPC) {
	for {
		select {
		case rpc := <-in:
			i.handle(rpc)
		case <-i.done:
			return
		}
	}
}

func (i *inbox) close() { close(i.done) }

func (i *inbox) handle(rpc raft.RPC) {
	switch req := rpc.Command.(type) {
	case *raft.InstallSnapshotRequest:
		i.install(rpc, req)
		return
	case *raft.AppendEntriesRequest:
		if req.Term >= i.term() {
			i.noteCommitted(req.LeaderCommitIndex)
		}
		i.bridge(req)
	}
	i.pass(rpc)
}

func (i *inbox) pass(rpc raft.RPC) {
	select {
	case i.out <- rpc:
	case <-i.done:
	}
}

// install lets Raft install a snapshot, unless this member has all that it holds, or is halted: Raft stores a snapshot before the
// machine can refuse it, and the machine's own, and then the log, would make room for one that it cannot use.
func (i *inbox) install(rpc raft.RPC, req *raft.InstallSnapshotRequest) {
	if req.Term >= i.term() && i.has(req.LastLogIndex, req.LastLogTerm) {
		_, err := io.Copy(io.Discard, rpc.Reader)
		rpc.Respond(&raft.InstallSnapshotResponse{RPCHeader: req.RPCHeader, Term: req.Term, Success: true}, err)
		return
	}
	if err := i.halted(); err != nil {
		_, broken := io.Copy(io.Discard, rpc.Reader)
		rpc.Respond(&raft.InstallSnapshotResponse{RPCHeader: req.RPCHeader, Term: req.Term}, errors.Join(err, broken))
		return
	}
	before := i.last()
	answer := make(chan raft.RPCResponse, 1)
	asked := rpc.RespChan
	rpc.RespChan = answer
	i.pass(rpc)
	select {
	case a := <-answer:
		if resp, ok := a.Response.(*raft.InstallSnapshotResponse); ok && resp.Success && a.Error == nil {
			i.mu.Lock()
			i.gap = gap{open: before >= req.LastLogIndex, index: req.LastLogIndex, term: req.LastLogTerm, last: before}
			i.mu.Unlock()
		}
		asked <- a
	case <-i.done:
	}
}

// has tells whether this member's machine, or else its log, holds what the snapshot holds.
func (i *inbox) has(index, term uint64) bool {
	if index <= i.applied() {
		return true
	}
	var l raft.Log
	return i.Log.GetLog(index, &l) == nil && l.Term == term
}

// bridge lets a request pass that follows the snapshot, where Raft would compare it with the log that is gone.
func (i *inbox) bridge(req *raft.AppendEntriesRequest) {
	i.mu.Lock()
	g := i.gap
	i.mu.Unlock()
	if !g.open || req.PrevLogEntry != g.index || req.PrevLogTerm != g.term {
		return
	}
	req.PrevLogEntry, req.PrevLogTerm = 0, 0 // Raft compares nothing
	if len(req.Entries) == 0 {               // the log ends at the snapshot, whatever Raft takes it for
		req.LeaderCommitIndex = min(req.LeaderCommitIndex, g.index)
	}
}

// GetLog gives the entries in the gap a term that no entry has, so that Raft takes them for conflicting and replaces them.
func (i *inbox) GetLog(index uint64, l *raft.Log) error {
	err := i.Log.GetLog(index, l)
	if err == nil {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.gap.open && index > i.gap.index && index <= i.gap.last {
		*l = raft.Log{Index: index, Type: raft.LogNoop}
		return nil
	}
	return err
}

func (i *inbox) StoreLog(l *raft.Log) error { return i.StoreLogs([]*raft.Log{l}) }

// StoreLogs closes the gap: Raft knows how long the log is after each append.
func (i *inbox) StoreLogs(logs []*raft.Log) error {
	err := i.Log.StoreLogs(logs)
	if err == nil {
		i.mu.Lock()
		i.gap.open = false
		i.mu.Unlock()
	}
	return err
}

// reconcile empties a log that does not fit the newest snapshot: a crash came between the snapshot and what follows it.
// What it drops the snapshot holds, or it conflicts with it and was never committed.
func reconcile(s logstore.Stores) error {
	snapshots, err := s.Snapshots.List()
	if err != nil || len(snapshots) == 0 {
		return err
	}
	first, last, err := logstore.Bounds(s.Log)
	if err != nil || first == 0 {
		return err
	}
	if first > snapshots[0].Index+1 {
		return api.Errorf(api.CodeInternal, "the log begins at entry %d, but the newest snapshot that can be read ends at %d: a newer one is lost or damaged",
			first, snapshots[0].Index)
	}
	fits, err := follows(s.Log, first, last, snapshots[0])
	if err != nil || fits {
		return err
	}
	return s.Log.DeleteRange(first, last)
}

// follows tells whether the log, which does not begin after it, goes on from the snapshot.
func follows(log raft.LogStore, first, last uint64, s *raft.SnapshotMeta) (bool, error) {
	switch {
	case last < s.Index:
		return false, nil
	case first > s.Index:
		return true, nil
	}
	var at raft.Log
	if err := log.GetLog(s.Index, &at); err != nil {
		return false, err
	}
	return at.Term == s.Term, nil
}
