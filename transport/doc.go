// Package transport is a node's one port. The first byte of a connection chooses its lane: Raft of a group, the peer
// lane, or HTTP. It moves bytes and knows no meaning.
//
// Connections that say nothing, too little or nonsense cost a bounded time and memory: at most [Config].MaxUnmatched of
// them are waited for, each for at most [Config].Preface.
package transport
