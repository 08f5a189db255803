// Package wire carries many concurrent calls of an [api.Store] over one connection, from the SDK to a node and between nodes.
// Messages that wait while others are being sent are sent together, so that under load one system call, one wake-up and one
// packet serve many calls. There is no timer: a single call is sent at once.
//
// # The bytes
//
// Each side sends messages. A message is a big-endian uint32, which is the number of bytes that follow; one byte, the kind; the
// id of the call as a varint; and the body of that kind, in the encoding of package codec.
//
//	up    1 read    timeout in microseconds (0: none), ReadRequest; between nodes the tries that the request has left plus one
//	                (0: not counted), and the rest is its envelope
//	      2 do      timeout in microseconds (0: none), Txn; between nodes as above
//	      3 cancel  the caller no longer waits
//	down  4 result  ReadResult or TxnResult, as the call was; between nodes the rest after a ReadResult is its envelope
//	      5 error   Error; between nodes then the tries that were used
//	      6 goodbye no body, id 0: new calls are not taken, calls under way are answered
//	      7 refused Error, for this call and others: for each the difference of its id to the previous one, zigzag
//
// Both sides must agree on [Version] first. Over HTTP this is an Upgrade to [Protocol]. A message that cannot be decoded ends the
// connection.
package wire

// Version is the version of the encoding. A changed encoding gets another one.
const Version = 2

// Protocol is the name of the encoding in an HTTP Upgrade.
const Protocol = "edgehold-calls/2"
