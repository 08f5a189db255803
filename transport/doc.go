// Package transport is a node's one port. The first byte of a connection chooses its lane: Raft of a group, the peer
// lane, the lane of calls, RESP, or HTTP. The package moves bytes and does not read them.
//
// Connections that send nothing, too little or nonsense cost a bounded time and memory: at most [Config].MaxUnmatched of
// them are kept, each for at most [Config].Preface. Beyond that the port closes the oldest. A client sends its first byte
// at once, so silent connections cannot shut others out.
package transport
