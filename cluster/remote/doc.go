// Package remote is a group at another node: what nodes ask of each other about the keys, leases and transactions of one group.
// [Node] is the caller's side, [Register] the side that answers, which hands each call to the [Group] that it names. [Leases]
// are the streams that holders of leases keep open to the servers.
package remote
