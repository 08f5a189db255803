package fsm

import "github.com/edgehold/edgehold/api"

// Outcomes is what is kept of a branch's result, for whoever sends its request again: [Decide.Outcomes]. The entries are
// those of the branch's steps, in their order.
func Outcomes(branch []api.Op, entries []api.Entry) []Outcome { return outcomes(nil, branch, entries) }
