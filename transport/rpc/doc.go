// Package rpc carries typed requests and streams between nodes: gRPC with a CBOR codec over the structs of api. Deadlines
// cross the wire, and so do errors: what a handler returned as *api.Error arrives as an equal one.
//
// A failure of the transport itself is told apart by what the caller needs to know: CodeUnavailable where the request
// certainly never left this node, CodeAmbiguous where it may have been carried out.
package rpc
