package replica

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// QuorumConfirm returns nil if, at some instant after the call, no leader of a higher term had been elected and this replica
// led in term. Then this replica's machine holds every write that was acknowledged before the call, once its TermStart of that
// term has applied. QuorumConfirm returns CodeNotLeader if that does not hold, or if no majority of the voters
// confirms it in time, and CodeUnavailable if ctx ends first.
//
// Concurrent calls share rounds: a call during a round is answered by the next round.
func (r *Replica[R]) QuorumConfirm(ctx context.Context, term uint64) error {
	if r.raft.State() != raft.Leader || r.raft.CurrentTerm() != term {
		return notLeader("confirm", r.otherLeader())
	}
	round := r.confirmer.join()
	select {
	case <-round.done:
	case <-ctx.Done():
		return &api.Error{Code: api.CodeUnavailable, Op: "confirm", Hint: "no quorum answered before the deadline", Err: ctx.Err()}
	case <-r.ctx.Done():
		return errClosed("confirm")
	}
	if round.holds && round.term == term {
		return nil
	}
	return notLeader("confirm", r.otherLeader())
}

// confirmer runs the rounds of one replica, one at a time.
type confirmer struct {
	ctx    context.Context
	raft   *raft.Raft
	self   raft.ServerID
	ask    func(ctx context.Context, node string, term uint64) (bool, error)
	limit  time.Duration // bounds a round
	meters meters

	mu      sync.Mutex
	next    *round // collects callers; nil if there are none
	running bool
	closed  bool
	asked   map[raft.ServerID]*atomic.Int32 // unanswered questions to each voter
	tasks   sync.WaitGroup
}

// round asks all voters once. term and holds are set before done is closed.
type round struct {
	done  chan struct{}
	term  uint64
	holds bool
}

// maxUnanswered bounds the unanswered questions to one voter, so that a dead voter does not accumulate goroutines.
const maxUnanswered = 16

func newConfirmer(ctx context.Context, ra *raft.Raft, cfg *Config, m meters) *confirmer {
	return &confirmer{
		ctx: ctx, raft: ra, self: raft.ServerID(cfg.Node), ask: cfg.Confirm, limit: cfg.Timing.Heartbeat, meters: m,
		asked: make(map[raft.ServerID]*atomic.Int32),
	}
}

// join returns a round that has not started.
func (c *confirmer) join() *round {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = &round{done: make(chan struct{})}
	}
	if !c.running && !c.closed {
		c.running = true
		c.tasks.Go(c.run)
	}
	return c.next
}

// run performs rounds while there are callers.
func (c *confirmer) run() {
	for {
		c.mu.Lock()
		now := c.next
		c.next = nil
		if now == nil || c.closed {
			c.running = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		// This is t0: all callers of the round have arrived.
		now.term = c.raft.CurrentTerm()
		now.holds = c.hold(now.term)
		c.meters.rounds(1)
		close(now.done)
	}
}

// hold reports whether a majority of the voters is still in term and this replica leads in it.
func (c *confirmer) hold(term uint64) bool {
	if !guardQuorumConfirm {
		return c.raft.VerifyLeader().Error() == nil
	}
	voters := c.voters()
	member, need := 0, len(voters)/2+1
	answers := make(chan bool, len(voters))
	asked := 0
	for _, id := range voters {
		if id == c.self {
			member = 1
		} else if c.question(id, term, answers) {
			asked++
		}
	}
	if !c.count(answers, asked, need-member) {
		return false
	}
	// This voter answers last, so that its answer is not older than the others'.
	return c.raft.State() == raft.Leader && c.raft.CurrentTerm() == term
}

// voters returns the voters of the latest configuration in the log. A configuration is in force as soon as it is there.
func (c *confirmer) voters() []raft.ServerID {
	servers := c.raft.GetConfiguration().Configuration().Servers
	voters := make([]raft.ServerID, 0, len(servers))
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			voters = append(voters, s.ID)
		}
	}
	return voters
}

// question asks one voter in a goroutine, which sends the answer. It returns false, and does not ask, if too many questions
// to that voter are unanswered.
func (c *confirmer) question(id raft.ServerID, term uint64, answers chan<- bool) bool {
	c.mu.Lock()
	n := c.asked[id]
	if n == nil {
		n = new(atomic.Int32)
		c.asked[id] = n
	}
	c.mu.Unlock()
	if n.Add(1) > maxUnanswered {
		n.Add(-1)
		return false
	}
	c.tasks.Go(func() {
		defer n.Add(-1)
		ctx, cancel := context.WithTimeout(c.ctx, c.limit)
		defer cancel()
		yes, err := c.ask(ctx, string(id), term)
		answers <- yes && err == nil
	})
	return true
}

// count reports whether need of the asked voters answer yes. It returns as soon as that is certain.
func (c *confirmer) count(answers <-chan bool, asked, need int) bool {
	timer := time.NewTimer(c.limit)
	defer timer.Stop()
	for yes, left := 0, asked; yes < need; {
		if yes+left < need {
			return false
		}
		select {
		case ok := <-answers:
			left--
			if ok {
				yes++
			}
		case <-timer.C:
			return false
		case <-c.ctx.Done():
			return false
		}
	}
	return true
}

// close waits for the goroutines of the confirmer. Its context has ended.
func (c *confirmer) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.tasks.Wait()
}
