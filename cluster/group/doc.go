// Package group is the authority over one group's keys, at its leader: it answers reads behind a confirm, gives and
// renews leases, revokes or outwaits them before a write, and proposes what it has judged (PROTOCOL 3, 4, 6).
//
// Safety stands in the log: the machine refuses a write over a live lease, and every judgement in another term than it
// was made in. What this room adds is the part with a clock: who was renewed when, and when a silent holder may be taken
// for expired. That state is volatile: applying a TermStart of this node creates it, any higher term ends it.
//
// One mutex guards all of it and is never held across a proposal, a confirm, a message or a wait. A goroutine, the
// keeper, sends revocations, watches the deadlines of holders that owe an answer, and proposes SUSPECT; another, the
// sweeper, clears away what has long ended.
package group
