package replica

import (
	"io"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// transport is Raft's network transport with three changes. It identifies members by node ID: an address is looked up for each
// dial, and is never part of a vote or of the leader's identity. It records the progress of each follower, which Raft does not
// expose. It passes requests from other members through the inbox.
type transport struct {
	*raft.NetworkTransport
	node     raft.ServerID
	address  func(node string) (string, bool)
	progress *progress
	inbox    *inbox
	log      *raftLog
	pump     sync.WaitGroup
	close    func() error
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
	_ raft.WithClose   = (*transport)(nil)
)

func newTransport(cfg *Config, s *streams, p *progress, i *inbox, log *raftLog) *transport {
	inner := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: s, MaxPool: maxPooled, Timeout: cfg.Timing.Transport, Logger: log,
		// With two, a follower could hang for ever while heartbeats keep it from an election (hashicorp/raft #612).
		MaxRPCsInFlight: 1,
	})
	t := &transport{NetworkTransport: inner, node: raft.ServerID(cfg.Node), address: cfg.Address, progress: p, inbox: i, log: log}
	t.close = sync.OnceValue(func() error {
		i.close()
		return inner.Close()
	})
	return t
}

// serve starts to pass requests to Raft.
func (t *transport) serve() { t.pump.Go(func() { t.inbox.pump(t.NetworkTransport.Consumer()) }) }

// Consumer returns the channel from which Raft receives requests.
func (t *transport) Consumer() <-chan raft.RPC { return t.inbox.out }

// Close closes all streams. Raft calls it too; later calls return the first one's error.
func (t *transport) Close() error { return t.close() }

const maxPooled = 3

func (t *transport) at(id raft.ServerID, configured raft.ServerAddress) raft.ServerAddress {
	if a, ok := t.address(string(id)); ok {
		return target(string(id), a)
	}
	return target(string(id), string(configured))
}

func (t *transport) LocalAddr() raft.ServerAddress { return raft.ServerAddress(t.node) }

func (t *transport) EncodePeer(id raft.ServerID, _ raft.ServerAddress) []byte { return []byte(id) }

func (t *transport) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

func (t *transport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

func (t *transport) AppendEntries(
	id raft.ServerID, a raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse,
) error {
	err := t.NetworkTransport.AppendEntries(id, t.at(id, a), req, resp)
	if err == nil {
		t.log.answered(id, a)
	}
	if err == nil && resp.Success {
		t.progress.note(id, req.Term, req.PrevLogEntry+uint64(len(req.Entries))) // a heartbeat says nothing of the log
	}
	return err
}

func (t *transport) InstallSnapshot(
	id raft.ServerID, a raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	err := t.NetworkTransport.InstallSnapshot(id, t.at(id, a), req, resp, data)
	if err == nil && resp.Success {
		t.progress.note(id, req.Term, req.LastLogIndex)
	}
	return err
}

func (t *transport) RequestVote(
	id raft.ServerID, a raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse,
) error {
	return t.NetworkTransport.RequestVote(id, t.at(id, a), req, resp)
}

func (t *transport) RequestPreVote(
	id raft.ServerID, a raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse,
) error {
	return t.NetworkTransport.RequestPreVote(id, t.at(id, a), req, resp)
}

func (t *transport) TimeoutNow(
	id raft.ServerID, a raft.ServerAddress, req *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse,
) error {
	return t.NetworkTransport.TimeoutNow(id, t.at(id, a), req, resp)
}

// progress records from the followers' answers up to which index their logs match this leader's, and the times of the answers.
// It is safe for concurrent use.
type progress struct {
	mu    sync.Mutex
	term  uint64
	began time.Time // when the first answer of the term came
	match map[raft.ServerID]uint64
	heard map[raft.ServerID]time.Time
}

func newProgress() *progress {
	return &progress{match: make(map[raft.ServerID]uint64), heard: make(map[raft.ServerID]time.Time)}
}

// sinceHeard returns the time since the follower's last answer; the longest duration if there was none in that term.
func (p *progress) sinceHeard(id raft.ServerID, term uint64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if term != p.term {
		return math.MaxInt64
	}
	return time.Since(p.heard[id])
}

// silent returns how long the follower has certainly not answered; 0 if that is not known. A follower that has not answered in
// the term at all is silent since the first other one did.
func (p *progress) silent(id raft.ServerID, term uint64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if term != p.term {
		return 0
	}
	if at, ok := p.heard[id]; ok {
		return time.Since(at)
	}
	return time.Since(p.began)
}

func (p *progress) note(id raft.ServerID, term, index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if term < p.term {
		return
	}
	if term > p.term {
		p.term, p.began = term, time.Now()
		clear(p.match)
		clear(p.heard)
	}
	p.heard[id] = time.Now()
	p.match[id] = max(p.match[id], index)
}

// matchIndex returns the last index up to which the follower's log is known to match; 0 if none is known in that term.
func (p *progress) matchIndex(id raft.ServerID, term uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if term != p.term {
		return 0
	}
	return p.match[id]
}
