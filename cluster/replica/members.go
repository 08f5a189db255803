package replica

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// Members returns the members of the newest committed configuration that this replica knows, sorted by node, and the index of
// that configuration.
func (r *Replica[R]) Members() (members []Member, index uint64) {
	c, index := r.driver.configuration()
	for _, s := range c.Servers {
		members = append(members, Member{Node: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Node, b.Node) })
	return members, index
}

// Configured returns the nodes of the newest configuration in this replica's log, committed or not.
func (r *Replica[R]) Configured() (nodes []string) {
	for _, s := range r.raft.GetConfiguration().Configuration().Servers {
		nodes = append(nodes, string(s.ID))
	}
	return nodes
}

// AddMember adds a member without a vote. The member receives the log; once it has [Replica.CaughtUp], [Replica.PromoteMember]
// gives it a vote. The leader makes changes one at a time: AddMember returns CodeConflict unless prevIndex is the index of the
// present members, CodeNotLeader at other members, and CodeAmbiguous if the outcome is unknown.
func (r *Replica[R]) AddMember(ctx context.Context, m Member, prevIndex uint64) error {
	const op = "add member"
	if m.Node == "" {
		return &api.Error{Code: api.CodeInvalid, Op: op, Hint: "the member needs a node"}
	}
	if i, members := r.find(m.Node); i >= 0 && members[i].Voter {
		return &api.Error{Code: api.CodeConflict, Op: op, Hint: "node " + m.Node + " has a vote already"}
	}
	return r.change(ctx, op, prevIndex, func() raft.IndexFuture {
		return r.raft.AddNonvoter(raft.ServerID(m.Node), addressOf(m), prevIndex, r.cfg.Timing.Election)
	})
}

// PromoteMember gives a member a vote. It returns CodeUnavailable if the member has not caught up, and otherwise the errors of
// AddMember.
func (r *Replica[R]) PromoteMember(ctx context.Context, node string, prevIndex uint64) error {
	const op = "promote member"
	i, members := r.find(node)
	switch {
	case i < 0:
		return &api.Error{Code: api.CodeNotFound, Op: op, Hint: "node " + node + " is not a member"}
	case members[i].Voter:
		return nil
	case r.IsLeader() && !r.CaughtUp(node):
		return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "node " + node + " has not caught up", RetryAfter: r.cfg.Timing.Commit}
	}
	return r.change(ctx, op, prevIndex, func() raft.IndexFuture {
		return r.raft.AddVoter(raft.ServerID(node), addressOf(members[i]), prevIndex, r.cfg.Timing.Election)
	})
}

// RemoveMember removes a member, and succeeds if the node is not a member. A leader that removes itself steps down. The errors
// are those of AddMember.
func (r *Replica[R]) RemoveMember(ctx context.Context, node string, prevIndex uint64) error {
	const op = "remove member"
	if i, _ := r.find(node); i < 0 && r.IsLeader() {
		return nil
	}
	return r.change(ctx, op, prevIndex, func() raft.IndexFuture {
		return r.raft.RemoveServer(raft.ServerID(node), prevIndex, r.cfg.Timing.Election)
	})
}

// UpdateAddress changes the address of a member. The errors are those of AddMember.
func (r *Replica[R]) UpdateAddress(ctx context.Context, node, address string, prevIndex uint64) error {
	const op = "update address"
	i, members := r.find(node)
	switch {
	case i < 0:
		return &api.Error{Code: api.CodeNotFound, Op: op, Hint: "node " + node + " is not a member"}
	case members[i].Address == address:
		return nil
	}
	return r.change(ctx, op, prevIndex, func() raft.IndexFuture {
		id, a := raft.ServerID(node), raft.ServerAddress(address)
		if members[i].Voter {
			return r.raft.AddVoter(id, a, prevIndex, r.cfg.Timing.Election)
		}
		return r.raft.AddNonvoter(id, a, prevIndex, r.cfg.Timing.Election)
	})
}

// CaughtUp reports whether a member has all but the last few entries of this leader's log and has answered lately: a member that
// has died must not get a vote. At a replica that does not lead it returns false.
func (r *Replica[R]) CaughtUp(node string) bool {
	lag, ok := r.lag(raft.ServerID(node))
	return ok && lag <= r.cfg.Limits.CaughtUpEntries &&
		r.progress.sinceHeard(raft.ServerID(node), r.raft.CurrentTerm()) <= r.cfg.Timing.Heartbeat
}

// Lag returns how many entries of the log the member lacks, as this leader knows; false if it does not know. A leader lacks none.
func (r *Replica[R]) Lag(node string) (entries uint64, known bool) {
	if node == r.cfg.Node {
		return 0, r.IsLeader()
	}
	return r.lag(raft.ServerID(node))
}

// HeardWithin is how recent a member's last answer must be for the group to count on it in a change of members.
const HeardWithin = 5 * time.Second

// Silent returns how long the member has certainly not answered this leader, and whether its last answer is so recent that the
// group can count on it. A leader always hears itself. At a replica that does not lead Silent returns 0 and false.
func (r *Replica[R]) Silent(node string) (since time.Duration, heard bool) {
	switch {
	case !r.IsLeader():
		return 0, false
	case node == r.cfg.Node:
		return 0, true
	}
	id, term := raft.ServerID(node), r.raft.CurrentTerm()
	return r.progress.silent(id, term), r.progress.sinceHeard(id, term) <= HeardWithin
}

// Transfer transfers leadership to the voter to, or to the one with the longest log if to is "". It returns nil when this
// replica no longer leads, and CodeNotLeader if it did not lead. After any other error leadership may or may not have moved.
//
// Transfer first waits for the entries under way, and later commands wait for the transfer, so that it leaves no command with
// an unknown outcome.
func (r *Replica[R]) Transfer(ctx context.Context, to string) error {
	const op = "transfer"
	if !r.IsLeader() {
		return notLeader(op, r.otherLeader())
	}
	if i, members := r.find(to); to != "" && (i < 0 || !members[i].Voter) {
		return &api.Error{Code: api.CodeNotFound, Op: op, Hint: "node " + to + " is not a voter"}
	}
	release, ok := r.packer.hold(ctx)
	if !ok {
		return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "the entries under way were not finished in time"}
	}
	defer release()
	_, err := r.await(ctx, op, func() raft.Future {
		if to == "" {
			return r.raft.LeadershipTransfer()
		}
		return r.raft.LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(to))
	})
	if err != nil {
		return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "leadership did not move", Err: err}
	}
	return nil
}

// find returns the index of node among the members, or -1.
func (r *Replica[R]) find(node string) (int, []Member) {
	members, _ := r.Members()
	return slices.IndexFunc(members, func(m Member) bool { return m.Node == node }), members
}

// change makes one change of members.
func (r *Replica[R]) change(ctx context.Context, op string, prevIndex uint64, call func() raft.IndexFuture) error {
	if !r.IsLeader() {
		return notLeader(op, r.otherLeader())
	}
	if _, index := r.Members(); prevIndex != index || index == 0 {
		return api.Errorf(api.CodeConflict, "the members of %s have changed: their index is %d, not %d", r.cfg.Group, index, prevIndex)
	}
	var future raft.IndexFuture
	begun, err := r.await(ctx, op, func() raft.Future {
		future = call()
		return future
	})
	switch {
	case err == nil:
		r.meters.changes(1)
		return nil
	case !begun:
		return err
	case ctx.Err() != nil || r.ctx.Err() != nil:
		return errAmbiguous(op, "the wait ended before the change had applied", err)
	}
	if e := outcome(op, err); e.Code != api.CodeAmbiguous {
		return withLeader(e, r.otherLeader())
	}
	if future.Index() == 0 { // Raft refused it: it never was in the log
		return &api.Error{Code: api.CodeConflict, Op: op, Err: err}
	}
	return errAmbiguous(op, "leadership or the log was lost while the change was under way", err)
}

// lag returns how many entries of this leader's log the member lacks. ok is false if that is not known.
func (r *Replica[R]) lag(id raft.ServerID) (entries uint64, ok bool) {
	if !r.IsLeader() {
		return 0, false
	}
	match := r.progress.matchIndex(id, r.raft.CurrentTerm())
	if match == 0 {
		return 0, false
	}
	last := r.raft.LastIndex()
	return last - min(match, last), true
}

// addressOf returns the address of a member, or its node ID if the address is not known: Raft requires one.
func addressOf(m Member) raft.ServerAddress {
	if m.Address == "" {
		return raft.ServerAddress(m.Node)
	}
	return raft.ServerAddress(m.Address)
}
