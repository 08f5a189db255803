// Package transport is a node's one port. The first byte of a connection chooses its lane: Raft of a group, the peer
// lane, or HTTP. It moves bytes and knows no meaning.
//
// Connections that say nothing, too little or nonsense cost a bounded time and memory: at most [Config].MaxUnmatched of
// them are kept, each for at most [Config].Preface. Beyond that the oldest goes, since whoever means to talk says its
// first byte at once: those that keep silent cannot shut the others out.
package transport
