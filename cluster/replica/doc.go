// Package replica is one member of one Raft group. It is generic over the machine that applies the group's log. No package
// but this one and those below it imports Raft.
//
// It adds to hashicorp/raft:
//
//   - Many commands share one log entry, and their results are typed.
//   - Every failure says whether the command was certainly not applied or may have been.
//   - [Replica.QuorumConfirm] proves leadership for reads. Raft's own VerifyLeader does not.
//   - A new leader proposes a command of its own ([Config.OnLeadership]), from which the machine learns its term.
//   - A leader whose disk hangs lets another member lead.
package replica
