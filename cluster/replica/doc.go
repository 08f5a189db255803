// Package replica is one member of one Raft group, generic over the machine that the group's log drives. It is the only
// room that knows Raft.
//
// What it adds to hashicorp/raft: commands are packed, many to one log entry; results are typed; every failure says
// whether the command was certainly not applied or may have been; [Replica.QuorumConfirm] proves leadership to reads
// where Raft's own VerifyLeader does not; the machine learns by a command of its own ([Config.OnLeadership]) that a new
// leader leads; and a leader whose disk hangs makes room for another.
package replica
