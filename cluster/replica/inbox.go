package replica

import (
	"errors"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// inbox passes requests from Raft's transport to Raft, and makes the installation of snapshots safe. It is also the log that
// Raft uses.
//
// Raft installs any snapshot that the leader of its term sends, empties the log, and still uses the old last index of the log.
// This has two consequences. First, a late snapshot would roll the machine back and drop entries that this member has
// acknowledged: the inbox answers such a request itself. Second, if the log had conflicting entries at and after the snapshot's
// index, Raft would refuse everything that follows and receive the same snapshot for ever, even with a monotonic log
// (hashicorp/raft #697): the inbox adapts the first requests after the snapshot so that Raft accepts them.
type inbox struct {
	logstore.Log
	// Set before serving: the index that the machine has applied, and the term and the last index of the log in Raft's view.
	applied, term, last func() uint64
	halted              func() error // why the machine accepts no state; nil while it does

	noteCommitted func(committed uint64) // called with a leader's commit index

	out  chan raft.RPC
	done chan struct{}

	mu  sync.Mutex
	gap gap
}

// gap is the range between an installed snapshot, after which the log is empty, and the last index of the log in Raft's view.
type gap struct {
	open        bool
	index, term uint64 // of the snapshot
	last        uint64 // in Raft's view
}

func newInbox(log logstore.Log, noteCommitted func(committed uint64)) *inbox {
	return &inbox{Log: log, noteCommitted: noteCommitted, out: make(chan raft.RPC), done: make(chan struct{})}
}

// pump passes requests to Raft one at a time, until the inbox is closed.
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

// install passes a snapshot to Raft, unless this member has all of its entries or is halted. Raft stores a snapshot before the
// machine can refuse it: a halted member would lose its own snapshot and log to one that it cannot use.
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

// has reports whether this member's machine or log has all entries of the snapshot.
func (i *inbox) has(index, term uint64) bool {
	if index <= i.applied() {
		return true
	}
	var l raft.Log
	return i.Log.GetLog(index, &l) == nil && l.Term == term
}

// bridge adapts a request that continues the snapshot: Raft would compare it with the entries that are gone.
func (i *inbox) bridge(req *raft.AppendEntriesRequest) {
	i.mu.Lock()
	g := i.gap
	i.mu.Unlock()
	if !g.open || req.PrevLogEntry != g.index || req.PrevLogTerm != g.term {
		return
	}
	req.PrevLogEntry, req.PrevLogTerm = 0, 0 // Raft compares nothing
	if len(req.Entries) == 0 {               // the log really ends at the snapshot
		req.LeaderCommitIndex = min(req.LeaderCommitIndex, g.index)
	}
}

// GetLog returns entries in the gap with term 0, which no entry has, so that Raft finds that they conflict and replaces them.
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

// StoreLogs closes the gap: an append sets the last index of the log in Raft's view.
func (i *inbox) StoreLogs(logs []*raft.Log) error {
	err := i.Log.StoreLogs(logs)
	if err == nil {
		i.mu.Lock()
		i.gap.open = false
		i.mu.Unlock()
	}
	return err
}

// reconcile empties a log that does not continue the newest snapshot, after a crash during its installation. The entries that
// it drops are in the snapshot, or conflict with it and were never committed.
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
		return api.Errorf(api.CodeInternal, "the log starts at entry %d, but the newest readable snapshot ends at %d: a newer one is lost or damaged",
			first, snapshots[0].Index)
	}
	fits, err := follows(s.Log, first, last, snapshots[0])
	if err != nil || fits {
		return err
	}
	return s.Log.DeleteRange(first, last)
}

// follows reports whether the log continues the snapshot. There is no gap between them.
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
