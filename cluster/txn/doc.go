// Package txn commits transactions whose keys belong to several groups: in all of the groups or in none, at one
// instant. docs/consistency-transactions.md says what it promises, docs/decisions/0011 is the contract with the state machines, and
// docs/decisions/0013 describes this package. A transaction that one group can carry out goes to that group unchanged.
//
// The protocol is optimistic. The gateway has read what the transaction needs, and states that as conditions. All
// groups validate and lock their parts in parallel (Prepare). When all of them have, the gateway checks once more what
// was read under leases. Then the decision group, the nearest one, decides, and the caller gets the answer. The
// decision group has the others resolve. A coordinator that crashes leaves intents behind. A request that meets one has
// it resolved.
package txn
