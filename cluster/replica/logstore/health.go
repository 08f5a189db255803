package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// damagedError is a permanent error of a log: an entry that was written cannot be read.
type damagedError struct{ err error }

func (e *damagedError) Error() string { return "the log is damaged: " + e.err.Error() }
func (e *damagedError) Unwrap() error { return e.err }

// Health records whether a log works. After an error, such as that of a full disk, the member is behind until it has applied
// what the leader has committed. Until then its group must not count on it, and its node must not report that it is ready.
// Health is safe for concurrent use.
type Health struct {
	Log
	logger hclog.Logger
	failed func(error) // called for damage

	mu        sync.Mutex
	err       error  // of the latest use of the log; nil if it worked
	behind    bool   // since the latest error
	committed uint64 // highest commit index received from a leader
}

// NewHealth returns the log with a record of its health. It calls failed if an entry that was written cannot be read.
func NewHealth(log Log, logger hclog.Logger, failed func(error)) *Health {
	return &Health{Log: log, logger: logger, failed: failed}
}

func (h *Health) FirstIndex() (uint64, error) {
	index, err := h.Log.FirstIndex()
	return index, h.note(err, false)
}

func (h *Health) LastIndex() (uint64, error) {
	index, err := h.Log.LastIndex()
	return index, h.note(err, false)
}

func (h *Health) GetLog(index uint64, l *raft.Log) error {
	err := h.Log.GetLog(index, l)
	if errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	return h.note(err, false)
}

func (h *Health) StoreLog(l *raft.Log) error { return h.StoreLogs([]*raft.Log{l}) }

func (h *Health) StoreLogs(logs []*raft.Log) error {
	return h.note(h.Log.StoreLogs(logs), true)
}

func (h *Health) DeleteRange(low, high uint64) error {
	return h.note(h.Log.DeleteRange(low, high), true)
}

// note records the outcome of a use of the log and returns err. A read that works does not clear an error: the log may still
// refuse writes.
func (h *Health) note(err error, write bool) error {
	if err == nil && !write {
		return nil
	}
	h.mu.Lock()
	was := h.err
	h.err = err
	h.behind = h.behind || err != nil
	h.mu.Unlock()
	switch {
	case err != nil && was == nil:
		h.logger.Error("the log fails: this member falls behind until the log works again", "error", err)
	case err == nil && was != nil:
		h.logger.Info("the log works again: this member catches up")
	}
	if _, ok := errors.AsType[*damagedError](err); ok {
		h.failed(err)
	}
	return err
}

// NoteCommitted records the commit index of a leader.
func (h *Health) NoteCommitted(committed uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.committed = max(h.committed, committed)
}

// Check returns why the group cannot count on this member, or nil if it can. caughtUp reports whether the member has applied
// all but the last few entries up to the commit index.
func (h *Health) Check(caughtUp func(committed uint64) bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.err != nil:
		return fmt.Errorf("the log fails: %w", h.err)
	case h.behind && !caughtUp(h.committed):
		return errors.New("the log has failed before, and this member is still catching up")
	}
	h.behind = false
	return nil
}

// WatchTerm returns the store such that failed is called if a term cannot be stored: Raft does not continue from there.
func WatchTerm(s raft.StableStore, failed func(error)) raft.StableStore {
	return stableHealth{s, failed}
}

// stableHealth reports a term that cannot be stored.
type stableHealth struct {
	raft.StableStore
	failed func(error)
}

func (s stableHealth) SetUint64(key []byte, value uint64) error {
	err := s.StableStore.SetUint64(key, value)
	if err != nil && bytes.Equal(key, keyTerm) {
		s.failed(fmt.Errorf("the term %d cannot be stored: %w", value, err))
	}
	return err
}
