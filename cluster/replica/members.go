package replica

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// Members are the members of the newest committed configuration that this replica knows, sorted by node, and the index
// that names it.
func (r *Replica[R]) Members() (members []Member, index uint64) {
	c, index := r.driver.configuration()
	for _, s := range c.Servers {
		members = append(members, Member{Node: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Node, b.Node) })
	return members, index
}

// Configured names the nodes of the newest configuration that this replica has in its log, committed or not.
func (r *Replica[R]) Configured() (nodes []string) {
	for _, s := range r.raft.GetConfiguration().Configuration().Servers {
		nodes = append(nodes, string(s.ID))
	}
	return nodes
}

// AddMember adds a member without a vote: it receives the log until [Replica.CaughtUp], then [Replica.PromoteMember].
// Changes are made by the leader, one at a time: CodeConflict unless prevIndex is the index of the present members.
// CodeAmbiguous where the outcome is unknown.
func (r *Replica[R]) AddMember(ctx context.Context, m Member, prevIndex uint64) error {
	const op = "add member"
	if m.Node == "" {
		return &api.Error{Code: api.CodeInvalid, Op: op, Hint: "the member has no node"}
	}
	if i, members := r.find(m.Node); i >= 0 && members[i].Voter {
		return &api.Error{Code: api.CodeConflict, Op: op, Hint: "node " + m.Node + " has a vote already"}
	}
	return r.change(ctx, op, prevIndex, func() raft.IndexFuture {
		return r.raft.AddNonvoter(raft.ServerID(m.Node), addressOf(m), prevIndex, r.cfg.Timing.Election)
	})
}

// PromoteMember gives a caught-up member a vote. CodeUnavailable where it has not caught up; else as AddMember.
func (r *Replica[R]) PromoteMember(ctx context.Context, node string, prevIndex uint64) error {
	const op = "promote member"
	i, members := r.find(node)
	switch {
	case i < 0:
		return &api.Error{Code: api.CodeNotFound, Op: op, Hint: "node " + node + " is no member"}
	case members[i].Voter:
		return nil
	case r.IsLeader() && !r.CaughtUp(node):
		return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "node " + node + " has not caught up", RetryAfter: r.cfg.Timing.Commit}
	}
	return r.change(ctx, op, prevIndex, func() raft.IndexFuture {
		return r.raft.AddVoter(raft.ServerID(node), addressOf(members[i]), prevIndex, r.cfg.Timing.Election)
	})
}

// RemoveMember removes a member; one that is none is removed already. A leader that removes itself steps down. Else as
// AddMember.
func (r *Replica[R]) RemoveMember(ctx context.Context, node string, prevIndex uint64) error {
	const op = "remove member"
	if i, _ := r.find(node); i < 0 && r.IsLeader() {
		return nil
	}
	return r.change(ctx, op, prevIndex, func() raft.IndexFuture {
		return r.raft.RemoveServer(raft.ServerID(node), prevIndex, r.cfg.Timing.Election)
	})
}

// UpdateAddress changes where a member is reached. Else as AddMember.
func (r *Replica[R]) UpdateAddress(ctx context.Context, node, address string, prevIndex uint64) error {
	const op = "update address"
	i, members := r.find(node)
	switch {
	case i < 0:
		return &api.Error{Code: api.CodeNotFound, Op: op, Hint: "node " + node + " is no member"}
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

// CaughtUp tells whether a member's log agrees with this leader's but for the last few entries, and it was heard of lately:
// one that died meanwhile must not get a vote. Always false at others.
func (r *Replica[R]) CaughtUp(node string) bool {
	lag, ok := r.lag(raft.ServerID(node))
	return ok && lag <= r.cfg.Limits.CaughtUpEntries &&
		r.progress.sinceHeard(raft.ServerID(node), r.raft.CurrentTerm()) <= r.cfg.Timing.Heartbeat
}

// Transfer hands leadership to a voter, or to the one with the longest log where to is "". It returns once this replica
// leads no longer. An error means that leadership may or may not have moved; CodeNotLeader that it was not here.
//
// Entries under way are finished first, and commands that come meanwhile wait: none has an unknown outcome by the transfer.
func (r *Replica[R]) Transfer(ctx context.Context, to string) error {
	const op = "transfer"
	if !r.IsLeader() {
		return notLeader(op, r.otherLeader())
	}
	if i, members := r.find(to); to != "" && (i < 0 || !members[i].Voter) {
		return &api.Error{Code: api.CodeNotFound, Op: op, Hint: "node " + to + " is no voter"}
	}
	release, ok := r.packer.hold(ctx)
	if !ok {
		return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "what is under way was not finished in time"}
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

// find is the place of node among the members, or -1.
func (r *Replica[R]) find(node string) (int, []Member) {
	members, _ := r.Members()
	return slices.IndexFunc(members, func(m Member) bool { return m.Node == node }), members
}

// change carries out one change of members.
func (r *Replica[R]) change(ctx context.Context, op string, prevIndex uint64, call func() raft.IndexFuture) error {
	if !r.IsLeader() {
		return notLeader(op, r.otherLeader())
	}
	if _, index := r.Members(); prevIndex != index || index == 0 {
		return api.Errorf(api.CodeConflict, "the members of %s changed: they are those of index %d, not %d", r.cfg.Group, index, prevIndex)
	}
	var future raft.IndexFuture
	begun, err := r.await(ctx, op, func() raft.Future {
		future = call()
		return future
	})
	switch {
	case err == nil:
		return nil
	case !begun:
		return err
	case ctx.Err() != nil || r.ctx.Err() != nil:
		return errAmbiguous(op, "the wait ended before the change had applied", err)
	}
	if e := outcome(op, err); e.Code != api.CodeAmbiguous {
		return withLeader(e, r.otherLeader())
	}
	if future.Index() == 0 { // Raft refused it: it never had a place in the log
		return &api.Error{Code: api.CodeConflict, Op: op, Err: err}
	}
	return errAmbiguous(op, "leadership or the log was lost while the change was under way", err)
}

// lag is how many entries the member lacks of this leader's log; ok is false where that is not known.
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

// addressOf is where a member is reached; its node ID stands in where that is not known, since Raft demands one.
func addressOf(m Member) raft.ServerAddress {
	if m.Address == "" {
		return raft.ServerAddress(m.Node)
	}
	return raft.ServerAddress(m.Address)
}
