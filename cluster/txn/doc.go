// Package txn commits transactions whose keys belong to several groups: in all of them or in none, at one instant
// (PROTOCOL 7; docs/decisions/0011 is the contract with the machines, 0013 tells of this room). What one group can do
// goes to that group as it is.
//
// It is optimistic: the gateway has read what it wanted, and says so as conditions. Every group validates and locks its
// part at once (Prepare, in parallel); when all have, what was read under leases is checked once more; then the decision
// group, the nearest one, decides, and the caller has the answer. The decision group has the others resolve. A coordinator
// that crashes leaves intents, which whoever meets them has settled.
package txn
