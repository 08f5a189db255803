package client

import (
	"io"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// sequence numbers the writes of one client id. It keeps the number below which all writes are finished, so that nodes can drop
// the results of those writes. It is safe for concurrent use.
type sequence struct {
	client api.ClientID

	mu       sync.Mutex
	below    uint64 // guarded by mu: the smallest unfinished number, or the next one
	finished []bool // guarded by mu: for the numbers from below on
}

// maxWindow bounds the distance between the oldest unfinished write and the newest. Nodes store a result for each write in
// between. A client that reaches it, with one slow write among very many fast ones, continues under a new id.
const maxWindow = 16384

func newSequence(random io.Reader) (*sequence, error) {
	s := &sequence{below: 1}
	if _, err := io.ReadFull(random, s.client[:]); err != nil {
		return nil, &api.Error{Code: api.CodeInternal, Op: "open", Hint: "no randomness for a client id", Err: err}
	}
	return s, nil
}

// begin returns the number of a new write. ok is false if the window is full.
func (s *sequence) begin() (seq uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.finished) >= maxWindow {
		return 0, false
	}
	s.finished = append(s.finished, false)
	return s.below + uint64(len(s.finished)) - 1, true
}

// finish records that seq will never be sent again.
func (s *sequence) finish(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished[seq-s.below] = true
	n := 0
	for n < len(s.finished) && s.finished[n] {
		n++
	}
	s.below += uint64(n)
	s.finished = s.finished[n:]
}

// id returns the current id of the write seq.
func (s *sequence) id(seq uint64) api.RequestID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return api.RequestID{Client: s.client, Seq: seq, AckedBelow: s.below}
}

// beginWrite numbers a write. The caller must call end when it will not send the write again.
func (c *Client) beginWrite() (id func() api.RequestID, end func(), err error) {
	for {
		s := c.sequence.Load()
		if seq, ok := s.begin(); ok {
			return func() api.RequestID { return s.id(seq) }, func() { s.finish(seq) }, nil
		}
		fresh, err := newSequence(c.random)
		if err != nil {
			return nil, nil, err
		}
		c.sequence.CompareAndSwap(s, fresh)
	}
}
