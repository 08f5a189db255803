package front

import (
	"crypto/rand"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// maxUnfinished bounds the distance between the oldest unfinished write of a numbering and the newest: nodes keep a result for each
// write in between. With one slow write among very many fast ones, the numbering begins anew under another client id.
const maxUnfinished = 16384

// numbering gives ids to the writes of clients whose protocol has none. It is safe for concurrent use.
type numbering struct {
	mu  sync.Mutex
	now *numbers // guarded by mu: nil until the first write
}

// numbers are the ids of one client id. The mutex of the numbering guards them.
type numbers struct {
	client   api.ClientID
	below    uint64 // the smallest unfinished number, or the next one
	finished []bool // for the numbers from below on
}

// Number returns an id for a write that comes without one, so that nodes may send it again without its taking effect twice. The
// caller sends it in one call of [Caller.Do] at most, and calls finished when that has returned.
func (b *Backend) Number() (id api.RequestID, finished func()) {
	n := &b.numbering
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now == nil || len(n.now.finished) >= maxUnfinished {
		n.now = &numbers{below: 1}
		_, _ = rand.Read(n.now.client[:]) // it never fails
	}
	s := n.now
	seq := s.below + uint64(len(s.finished))
	s.finished = append(s.finished, false)
	return api.RequestID{Client: s.client, Seq: seq, AckedBelow: s.below}, func() { n.finish(s, seq) }
}

func (n *numbering) finish(s *numbers, seq uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s.finished[seq-s.below] = true
	i := 0
	for i < len(s.finished) && s.finished[i] {
		i++
	}
	s.below += uint64(i)
	s.finished = s.finished[i:]
}
