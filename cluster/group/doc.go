// Package group implements the authority over one group's keys, at its leader. The authority answers reads behind a
// confirm, grants and renews leases, and proposes what it has judged. Before a write it revokes the leases on the
// keys or waits until they have expired: see docs/consistency-groups.md.
//
// Safety is enforced by the log. The machine refuses a write over a live lease, and it refuses every judgement in
// another term than the one it was made in. This package adds the part that needs a clock: when each holder was
// renewed, and when a silent holder counts as expired. That state is volatile. Applying a TermStart of this node
// creates it, and any higher term ends it.
//
// One mutex guards all of the state. It is never held across a proposal, a confirm, a message or a wait. One
// goroutine, the keeper, sends revocations, watches the deadlines of holders that owe an answer, and proposes
// SUSPECT. Another, the sweeper, removes what ended long ago.
package group
