// Package api holds the words that every room of Edgehold shares: keys, versions, reads, transactions, leases, errors
// and limits. It has no behaviour beyond what the words themselves need, and imports only the standard library.
//
// The one contract is [Store]: Read and Do. A region's authority, a remote peer, the router, the edge cache and the SDK
// all implement it, each wrapping the next, and all pass the suite in api/storetest.
package api
