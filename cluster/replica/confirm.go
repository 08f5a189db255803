package replica

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// QuorumConfirm returns nil if, at some instant after it was called, no leader of a higher term had been elected and this
// replica leads in term: then this replica's machine holds every write that was acknowledged before the call, once its
// TermStart of that term has applied (PROTOCOL 3). CodeNotLeader where that does not hold or no majority of the voters
// says so in time, CodeUnavailable where ctx ended first.
//
// Calls share rounds: one that comes while a round is under way is answered by the next.
func (r *Replica[R]) QuorumConfirm(ctx context.Context, term uint64) error {
	if r.raft.State() != raft.Leader || r.raft.CurrentTerm() != term {
		return notLeader("confirm", r.otherLeader())
	}
	round := r.confirmer.join()
	select {
	case <-round.done:
	case <-ctx.Done():
		return &api.Error{Code: api.CodeUnavailable, Op: "confirm", Hint: "no quorum answered in the caller's time", Err: ctx.Err()}
	case <-r.closing:
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
	limit  time.Duration // of a round
	meters meters

	mu      sync.Mutex
	next    *round // collects arrivals; nil where there are none
	running bool
	closed  bool
	asked   map[raft.ServerID]*atomic.Int32 // questions without an answer yet
	tasks   sync.WaitGroup
}

// round is one question to all voters. term and holds are set before done is closed.
type round struct {
	done  chan struct{}
	term  uint64
	holds bool
}

// maxUnanswered bounds the questions that wait for one voter: a dead one must not gather goroutines.
const maxUnanswered = 16

func newConfirmer(ctx context.Context, ra *raft.Raft, cfg *Config, m meters) *confirmer {
	return &confirmer{
		ctx: ctx, raft: ra, self: raft.ServerID(cfg.Node), ask: cfg.Confirm, limit: cfg.Timing.Heartbeat, meters: m,
		asked: make(map[raft.ServerID]*atomic.Int32),
	}
}

// join returns a round that has not begun.
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

// run carries out rounds while there are arrivals.
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
		// This is t0: everybody in the round has arrived.
		now.term = c.raft.CurrentTerm()
		now.holds = c.hold(now.term)
		c.meters.rounds(1)
		close(now.done)
	}
}

// hold asks whether this replica leads in term.
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
	// Only now this voter's own answer, and that it leads.
	return c.raft.State() == raft.Leader && c.raft.CurrentTerm() == term
}

// voters of the latest configuration, which counts from when it is in the log.
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

// question asks one voter in a goroutine, which sends the answer. It does not where too many wait for that voter.
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

// count tells whether need of the asked said yes, as soon as that is certain.
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

// close returns when no goroutine of the confirmer is left. Its context has ended before.
func (c *confirmer) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.tasks.Wait()
}
