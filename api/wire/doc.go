// Package wire carries many calls of an [api.Store] over one connection at once: from the SDK to a node, and from node to
// node. Messages that wait while others are being sent travel together, so that under load a system call, a wake-up and a
// packet serve many calls; there is no timer, and a lone call leaves at once.
//
// # The bytes
//
// Each side sends messages: a big-endian uint32, the number of bytes that follow; one byte, the kind; the call's id as
// varint; and the kind's body, in the encoding of package codec.
//
//	up    1 read    timeout in microseconds (0: none), ReadRequest, between nodes the rest: its envelope
//	      2 do      timeout in microseconds (0: none), Txn, between nodes the rest: its envelope
//	      3 cancel  the caller has left
//	down  4 result  ReadResult or TxnResult, as the call was; between nodes behind a ReadResult the rest: its envelope
//	      5 error   Error
//	      6 goodbye no body, id 0: new calls are not taken any more, those under way are answered
//	      7 refused Error, for the call and for others: of each the difference of its id to the one before, zigzag
//
// The sides agree on [Version] before, in a way of their own: over HTTP by an Upgrade to [Protocol]. A message that cannot
// be read ends the connection.
package wire

// Version is that of the encoding; one that changes gets another.
const Version = 2

// Protocol is how HTTP names it.
const Protocol = "edgehold-calls/2"
