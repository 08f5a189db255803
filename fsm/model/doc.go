// Package model has small models of the protocol's cores, and explores every state that they can reach. It finds any order of
// messages, crashes, elections and ticks in which an invariant of PROTOCOL 11 breaks, and shows a shortest trace to it. It models what fsm, cluster/group and cluster/leasecache do, and the transactions above them; it shares no code with
// them. Each rule of the protocol can be broken by itself, and the tests check that the search notices it.
//
// # The lease core
//
// One group of two replicas that can lead, one edge with one session, keys and leases as the bounds say, a log whose
// entries are all committed. Messages are lost and overtake each other. A proposal, its commit, and its application at
// each replica are steps of their own, so replicas lag: a new leader begins behind, with its own local time of a Suspect
// or, after a snapshot or a restart, with none. A keep-alive's arrival (with the confirm) and its answer are two steps.
// A deposed leader goes on until it applies the next TermStart, and what it had proposed may commit when it leads again.
//
// go test explores some 1.1 million states of it in a few seconds, -short 300,000; make model 110 million in 6 to 11 minutes, with
// up to 4 GB. That is evidence in the small, not a proof.
//
// Time, writes, messages, suspicions, snapshots and restarts have no bound. What is bounded:
//
//   - terms (two, or three if the first leader leads again), leases given in all (up to three), keys (up to two),
//     keep-alives under way (up to two); not all of these at once: model_test.go has the list, and suspicion goes with two
//     terms;
//   - a replica is at most four entries behind (three in go test, which takes longest for this bound);
//   - the lease term and the grantor's wait are two ticks of one true clock: that W covers rates and pauses is arithmetic,
//     and tested beside its computation (words.GrantorWait);
//   - one edge, one session that is never opened again; no latches, release, eviction or moved ranges;
//   - a leader that restarts is elected again in a later term or not at all.
//
// What has no effect any more is forgotten (see settle): a message that no receiver would act on, or a deposed leader's knowledge
// that no later term can use. Except with the bound lag, replicas apply writes and grants as
// soon as they may; Suspect, Unsuspect and TermStart, whose local time counts, always at their own pace.
//
// # The transaction core
//
// Five systems, each without any bound but its own size, with messages that may arrive at any time, any number of times, or
// never, and coordinators that may stop anywhere:
//
//   - commit: M2 over two participants and a decision group, an edge that leases both keys, pushes, the client's watermark,
//     forgetting, a write of one key by somebody else; leases are given at most three times by each group;
//   - skew: two transactions that read what the other writes, by leases or under locks;
//   - last: M3, with a remote range that may move, and another transaction at an instant;
//   - decider: a transaction over a near and a far group that is lost, for good or for a while, and what the gateway knows of that;
//   - retry: a request that two gateways carry out, and its anchor.
//
// There the groups are single machines: that a group's log survives its leaders is the lease core's and Raft's part.
// Wait-die, functions, double-collect and range locks are not modelled.
package model
