package replica

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// lead proposes the OnLeadership command in each term that this replica leads, until the command has applied in that term.
// Raft's signals may come early, and only the newest one is kept, so they are only a reason to look. A halted replica gives
// leadership up.
func (r *Replica[R]) lead() {
	var announced uint64 // the latest term in which the command has applied
	halted := r.driver.halted
	for {
		select {
		case <-r.raft.LeaderCh():
		case <-halted:
			halted = nil
		case <-r.ctx.Done():
			return
		}
		if !r.stepDown() {
			return
		}
		for r.cfg.OnLeadership != nil && r.raft.State() == raft.Leader && r.Halted() == nil {
			term := r.raft.CurrentTerm()
			if term == announced {
				break
			}
			if r.announce(term) {
				announced = term
			} else if !r.pause(announceRetry) {
				return
			}
		}
	}
}

// stepDown transfers leadership to another voter if this replica leads and is halted. It reports whether the replica is still
// open. The voter is chosen at random: Raft would choose the first one with the longest log, and two halted voters could pass
// leadership to each other for ever.
func (r *Replica[R]) stepDown() bool {
	for r.Halted() != nil && r.raft.State() == raft.Leader {
		if err := r.Transfer(r.ctx, r.anotherVoter()); err != nil {
			r.log.Debug("a halted replica could not transfer leadership", "group", r.cfg.Group, "error", err)
		}
		if !r.pause(stepDownRetry) {
			return false
		}
	}
	return true
}

// anotherVoter returns one of the other voters, chosen uniformly at random, or "" if there is none.
func (r *Replica[R]) anotherVoter() string {
	members, _ := r.Members()
	others := slices.DeleteFunc(members, func(m Member) bool { return !m.Voter || m.Node == r.cfg.Node })
	if len(others) == 0 {
		return ""
	}
	return others[rand.IntN(len(others))].Node
}

// stepDownRetry is the pause between transfers.
const stepDownRetry = time.Second

// announceRetry is the pause between proposals of the command.
const announceRetry = 20 * time.Millisecond

// announce proposes the command and reports whether it has applied in that term.
func (r *Replica[R]) announce(term uint64) bool {
	_, at, err := r.propose(r.ctx, r.cfg.OnLeadership(term))
	if err != nil {
		r.log.Debug("the command of a new leader did not apply", "group", r.cfg.Group, "term", term, "error", err)
		return false
	}
	return at == term
}

// pause waits for d and reports whether the replica is still open.
func (r *Replica[R]) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}
