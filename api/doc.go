// Package api holds what an application's author needs of Edgehold: keys, versions, reads, transactions, lists, errors and limits,
// and what operators ask. It imports only the standard library.
//
// The one contract is [Store]: Read and Do. A front holds one and so does a program with an embedded edge; package client makes
// comfortable methods of it, for a store near or far. Beside it stand [Lister] and [Admin]. All stores pass the suite in
// api/storetest.
//
// What nodes say to each other, sessions and leases among it, is in other packages: no value of this one can carry it.
package api
