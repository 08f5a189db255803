// Package rpc carries typed requests and streams between nodes: gRPC with a CBOR codec over the structs of api. Deadlines
// cross the wire, and so do errors: what a handler returned as *api.Error arrives as an equal one.
//
// A failure of the transport itself has one of two codes: CodeUnavailable if the request certainly never left this node,
// CodeAmbiguous if it may have been carried out.
package rpc
