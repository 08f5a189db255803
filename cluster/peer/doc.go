// Package peer is what nodes ask of each other: the list of methods, the stubs that call them ([Remote], from a [Pool]), and
// the [Server] that answers by handing each call to the group it names. A node calls itself by the same code, without a
// socket.
//
// Lease streams flow both ways: a holder opens one to every node with a voter, keep-alives and acknowledgements go up it,
// statuses, revocations and announcements of leaders come down.
package peer
