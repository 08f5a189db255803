package replica

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// lead proposes the OnLeadership command in each term that this replica leads. Raft's signals are early and only the
// newest one is kept: they only prompt. What counts is that the command has applied, in that term. A halted replica gives
// each lead up.
func (r *Replica[R]) lead() {
	var announced uint64 // the term in which the command has applied last
	halted := r.driver.halted
	for {
		select {
		case <-r.raft.LeaderCh():
		case <-halted:
			halted = nil
		case <-r.closing:
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

// stepDown has another voter lead if this replica leads and is halted. It reports whether the replica is still open. The voter is drawn by
// lot: left to itself, Raft would choose the first of those with the longest logs, so that two halted voters could hand the lead to and
// fro for ever.
func (r *Replica[R]) stepDown() bool {
	for r.Halted() != nil && r.raft.State() == raft.Leader {
		if err := r.Transfer(r.ctx, r.anotherVoter()); err != nil {
			r.log.Debug("a halted replica leads on", "group", r.cfg.Group, "error", err)
		}
		if !r.pause(stepDownRetry) {
			return false
		}
	}
	return true
}

// anotherVoter names one of the other voters, each as likely as the next; "" if there is none.
func (r *Replica[R]) anotherVoter() string {
	members, _ := r.Members()
	others := slices.DeleteFunc(members, func(m Member) bool { return !m.Voter || m.Node == r.cfg.Node })
	if len(others) == 0 {
		return ""
	}
	return others[rand.IntN(len(others))].Node
}

// stepDownRetry is the pause before another voter is asked to lead again.
const stepDownRetry = time.Second

// announceRetry is the pause before the command is proposed again.
const announceRetry = 20 * time.Millisecond

// announce proposes the command and tells whether it has applied in that term.
func (r *Replica[R]) announce(term uint64) bool {
	_, at, err := r.propose(r.ctx, r.cfg.OnLeadership(term))
	if err != nil {
		r.log.Debug("the command of a new leader did not apply", "group", r.cfg.Group, "term", term, "error", err)
		return false
	}
	return at == term
}

// pause tells whether the replica is still open after d.
func (r *Replica[R]) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.closing:
		return false
	}
}
