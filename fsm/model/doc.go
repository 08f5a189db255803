// Package model has small models of the protocol's cores and explores every state that they can reach. It finds any order of
// messages, crashes, elections and ticks in which an invariant of the protocol breaks, and shows a shortest trace to it. It models
// what fsm, cluster/group and cluster/leasecache do, and the transactions above them. It shares no code with them. Each rule of
// the protocol can be broken by itself, and the tests check that the search notices it.
//
// # The lease core
//
// The model has one group of two replicas that can lead, one edge with one session, keys and leases up to the bounds, and a log
// whose entries are all committed. Messages are lost and overtake each other. A proposal, its commit, and its application at each
// replica are separate steps, so replicas lag. A new leader begins behind. Its local time of a Suspect is its own, or missing
// after a snapshot or a restart. The arrival of a keep-alive (with the confirm) and its answer are two steps. A deposed leader
// goes on until it applies the next TermStart, and what it had proposed may commit when it leads again.
//
// go test explores about 1.1 million states of it in a few seconds, -short 300,000, and make model 110 million in 6 to 11 minutes
// with up to 4 GB of memory. That is evidence within these bounds, not a proof.
//
// Time, writes, messages, suspicions, snapshots and restarts have no bound. These have:
//
//   - terms (two, or three if the first leader leads again), leases granted in total (up to three), keys (up to two), and
//     keep-alives under way (up to two), but not all of these at once: model_test.go has the list, and suspicion is explored
//     with two terms;
//   - a replica is at most four entries behind (three in go test, which takes longest for this bound);
//   - the lease term and the grantor's wait are two ticks of one true clock: that W covers clock rates and pauses is arithmetic,
//     and is tested beside its computation (words.GrantorWait);
//   - one edge, and one session that is never opened again; no latches, release, eviction or moved ranges;
//   - a leader that restarts is elected again in a later term or not at all.
//
// State without any further effect is dropped (see settle): a message that no receiver would act on, or knowledge of a deposed
// leader that no later term can use. Without the bound lag, replicas apply writes and grants as soon as they may. Suspect,
// Unsuspect and TermStart, whose local time matters, are always applied at each replica's own pace.
//
// # The transaction core
//
// There are five systems. None has a bound other than its own size. Messages may arrive at any time, any number of times, or
// never, and coordinators may stop anywhere:
//
//   - commit: M2 over two participants and a decision group, with an edge that leases both keys, pushes, the client's watermark,
//     dropped records, and another client's write of one key; each group grants at most three leases;
//   - skew: two transactions that read what the other writes, by leases or under locks;
//   - last: M3, with a remote range that may move, and another transaction that takes effect at one instant;
//   - decider: a transaction over a near and a far group that is lost, for good or for a while, and what the gateway knows of that;
//   - retry: a request that two gateways carry out, and its anchor.
//
// In these systems a group is a single machine: that a group's log survives its leaders is modelled by the lease core and
// guaranteed by Raft. Wait-die, functions, double-collect and range locks are not modelled.
package model
