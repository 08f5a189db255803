package ident

// The number of an attempt says which coordinator may decide it. Its low 32 bits are the number of the coordinator's node, as the
// placement map has it. Its high 32 bits rise: the upper half counts the attempts of a request, whichever nodes make
// them, and the lower half keeps apart the attempts of one node that count alike, such as those of two copies of a
// request. Numbers from before nodes had numbers are below 1<<32 as a rule, and their low bits say nothing.

// maxAttempts bounds the attempts of a request.
const maxAttempts = 1<<16 - 1

// NextAttempt returns the number of the attempt after last, of the node with that number. salt distinguishes the node's
// attempts. It returns false if the request has been tried too often. A node without a number, 0, gets a number of the
// kind from before.
func NextAttempt(last uint64, node uint32, salt uint16) (attempt uint64, ok bool) {
	if node == 0 {
		next := last>>16 + 1
		return next<<16 | uint64(salt), next < 1<<48
	}
	count := last>>48 + 1
	return count<<48 | uint64(salt)<<32 | uint64(node), count <= maxAttempts
}

// MadeBy reports whether the node with that number may have made the attempt. It is true of every node as long as nodes
// have no numbers.
func (id TxnID) MadeBy(node uint32) bool { return node == 0 || uint32(id.Attempt) == node }

// Numbered reports whether the attempt's number says which node has made it. Few attempts from before nodes had numbers
// look like that.
func (id TxnID) Numbered() bool { return id.Attempt>>48 > 0 }
