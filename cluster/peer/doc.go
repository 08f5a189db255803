// Package peer carries methods and streams between nodes, and knows the meaning of none. A room that has something to ask of
// other nodes declares a [Method], a [Merged] method or a [Stream], with its name, the share that its calls count against and
// the callers that it is for; it calls a [Remote], from a [Pool], and has the node's [Server] answer by a handler. A node calls
// itself by the same code, without a socket.
package peer
