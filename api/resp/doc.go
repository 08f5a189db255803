// Package resp is the front for clients of Redis: it turns RESP, the protocol of Redis, into reads, lists and transactions of a
// store. Keys hold strings; docs/fronts/resp.md lists the commands. A key of database N is the key redis/N/KEY of the cluster, with
// the same value.
//
// A connection carries out its commands in order. The commands that have come together are taken in runs: reads in one read, whose
// answers are all of one instant, and writes without conditions in one transaction. A run of reads whose read is refused, or of
// writes whose transaction is refused, is carried out command by command, so that no command fails because of another. What is
// answered is what Redis promises at the least: each command takes effect at one instant between its arrival and its answer, in the
// order of the connection.
//
// A file is a concept: the reader and the writer know the protocol, the table names the commands, actions are what commands do with
// keys, and a view carries out those that must read before they write. Nothing is read from a connection while commands are carried
// out, and what a client may make a node keep is bounded before it is kept.
package resp

// Name is the front's name in configuration and metrics.
const Name = "resp"
