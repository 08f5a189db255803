package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
)

// Outcome is one entry of a stored result. Its key stands in the request. The values that the answer gave are kept, up to
// [MaxRecordBytes] of them in one record; version 1 kept none but the sum of an add.
type Outcome struct {
	Version api.Version `cbor:"1,keyasint,omitempty"`
	Exists  bool        `cbor:"2,keyasint,omitempty"`
	Value   []byte      `cbor:"3,keyasint,omitempty"`
	// Empty: the answer gave a value, and it was empty. Else a value of no length is one that was not kept.
	Empty bool `cbor:"4,keyasint,omitempty"`
}

// Outcomes is what is kept of a branch's result, to answer a repetition of the request: [Decide.Outcomes]. The entries are
// those of the branch's steps, in their order.
func Outcomes(branch []api.Op, entries []api.Entry) []Outcome { return outcomes(nil, branch, entries) }

// outcomes adds what is kept of the entries, which are of the branch's steps or of the tested keys.
func outcomes(to []Outcome, branch []api.Op, entries []api.Entry) []Outcome {
	first := len(to)
	for i := range entries {
		e := &entries[i]
		o := Outcome{Version: e.Version, Exists: e.Exists}
		if i < len(branch) && answers(&branch[i]) && e.Exists && guardReplayValues {
			o.Value, o.Empty = e.Value, len(e.Value) == 0 && !e.Elided
		}
		to = append(to, o)
	}
	fit(to[first:], MaxRecordBytes)
	return to
}

// fit drops values until the rest are at most limit bytes. Short ones stay, as sums are: all of them together are less.
func fit(outcomes []Outcome, limit int) {
	for i := range outcomes {
		if n := len(outcomes[i].Value); n <= maxSum {
			limit -= n
		}
	}
	for i := range outcomes {
		n := len(outcomes[i].Value)
		switch {
		case n <= maxSum:
		case n <= limit:
			limit -= n
		default:
			outcomes[i].Value = nil
		}
	}
}

// replayed is the entry that repeats the outcome of a step; op is nil for a tested key.
func (o *Outcome) replayed(k api.Key, op *api.Op) api.Entry {
	e := api.Entry{Key: k, Version: o.Version, Exists: o.Exists, Value: slices.Clone(o.Value)}
	e.Elided = op != nil && op.Kind == api.OpGet && o.Exists && len(o.Value) == 0 && !o.Empty
	return e
}
