// Package api defines the types of Edgehold's API: keys, versions, reads, transactions, lists, errors and limits, and what
// operators ask of a cluster. It imports only the standard library.
//
// The central interface is [Store], with the methods Read and Do. A node's front end uses a Store, and so does a program with an
// embedded edge. Programs rarely call a Store directly: package client has a method for each operation, over a Store in the same
// process or over the network. [Lister] lists keys and [Admin] serves operators. Every Store passes the test suite in
// api/storetest.
//
// # Data
//
// A [Key] is 1 to 4096 bytes. A value is at most 1 MiB. Each write gives its key a new [Version], and versions of a key only
// grow. A [Range] is an interval of keys. [MaxKeyBytes] and the constants beside it are the limits.
//
// # Reads
//
// A [ReadRequest] names keys and a [Consistency]. Each key is read by itself, unless Snapshot asks for one common instant. The
// [ReadResult] says which kind of copy answered ([ServedBy]), and how old a stale answer may be.
//
// # Transactions
//
// A [Txn] is atomic: if all its conditions hold, the steps in Then are carried out, otherwise those in Else. With a [RequestID]
// it takes effect at most once, however often it is sent.
//
// # Errors
//
// Every error is or wraps an [*Error]. Its [Code] says what went wrong, and [Error.Applied] whether the request may have taken
// effect. Test for a code with errors.Is(err, CodeNotFound).
//
// The messages between nodes, including sessions and leases, are in other packages. No value of this package can carry them.
package api
