package history

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/anishathalye/porcupine"

	"github.com/edgehold/edgehold/api"
)

// isCounter reports whether the operations are those of a counter: an Add is among them.
func isCounter(part []*Op) bool {
	return slices.ContainsFunc(part, func(o *Op) bool { return o.Kind == Add })
}

// count returns what a counter in the state holds: 0 if it is absent, else a decimal number, or an integer of 8 bytes, little
// endian, which is below 2^56 and so ends in a byte that is no digit.
func count(s State) (n int64, ok bool) {
	if !s.Exists {
		return 0, true
	}
	if v := s.Value; len(v) == 8 && v[7] == 0 {
		return int64(binary.LittleEndian.Uint64([]byte(v))), true // below 2^56
	}
	n, err := strconv.ParseInt(s.Value, 10, 64)
	return n, err == nil
}

// sees reports whether the answer of o, an operation on a counter, has its number.
func (o *Op) sees() bool {
	return o.Outcome == OK && (o.Kind == Get || o.Kind == Add && o.Result.Exists)
}

// counted is the state of a counter in a search: its number, and how many Adds with unknown outcomes have been carried out. These are
// all alike, and one that was called earlier can happen wherever a later one can. So they are taken in the order of their calls.
type counted struct {
	n    token
	used int
}

var counterModel = porcupine.Model{
	Init: func() any { return counted{} },
	Step: func(state, input, _ any) (bool, any) {
		now, s := state.(counted), input.(*step)
		if s.kind == Get {
			return now.n == s.saw, now
		}
		now.n++
		if s.rank > 0 {
			now.used++
			return now.used == s.rank, now
		}
		return s.saw == unknown || now.n == s.saw, now
	},
	DescribeOperation: register.DescribeOperation,
}

// prepareCounter is prepare for a counter. Adds with unknown outcomes that no number can show are left out.
func prepareCounter(ops []*Op) (*prepared, *Violation) {
	p := &prepared{model: counterModel}
	for _, o := range ops {
		if o.Kind != Get && o.Kind != Add {
			return nil, notACounter(o)
		}
		s := step{kind: o.Kind, call: o.Call, returned: o.Return, saw: unknown, op: o}
		if o.sees() {
			n, ok := count(o.Result)
			if !ok || n > int64(len(ops)) {
				return nil, violation(o.Key, "a counter was seen with what no adds can make", o)
			}
			s.saw = token(n)
		}
		switch {
		case o.Outcome == OK:
			p.steps = append(p.steps, s)
		case o.Outcome == Unknown && o.Kind == Add && slices.ContainsFunc(ops, func(by *Op) bool { return by.sees() && by.Return >= o.Call }):
			s.returned = forever
			p.steps = append(p.steps, s)
		}
	}
	slices.SortStableFunc(p.steps, func(a, b step) int { return int(a.call - b.call) })
	rank := 0
	for i := range p.steps {
		if p.steps[i].op.Outcome == Unknown {
			rank++
			p.steps[i].rank = rank
		}
	}
	return p, nil
}

func notACounter(o *Op) *Violation {
	return violation(o.Key, "the history is unusable: a counter is written by adds alone", o)
}

// countedVersions is Versions for a counter.
func countedVersions(part []*Op) *Violation {
	var txns []Txn
	byVersion := map[api.Version]*Op{}
	for _, o := range part {
		if o.Kind != Get && o.Kind != Add {
			return notACounter(o)
		}
		if o.Kind == Add && o.Outcome == OK && o.Result.Version.IsZero() {
			return violation(o.Key, "a write was acknowledged with the version of a key never written", o)
		}
		t := Txn{Client: o.Client, Call: o.Call, Return: o.Return, Outcome: o.Outcome}
		if o.Kind == Add {
			t.Steps = []Step{{Kind: Add, Key: o.Key, Arg: "1", State: State{Version: o.Result.Version}}}
			txns = append(txns, t)
		}
		if !o.sees() {
			continue
		}
		n, ok := count(o.Result)
		if !ok {
			return violation(o.Key, "a counter was seen with what no adds can make", o)
		}
		if first := byVersion[o.Result.Version]; first == nil {
			byVersion[o.Result.Version] = o
		} else if first.Result.Exists && o.Result.Exists && first.Result.Value != o.Result.Value {
			return violation(o.Key, "one version was seen with two states", first, o)
		}
		t.Steps = []Step{{Kind: Get, Key: o.Key, State: State{Exists: o.Result.Exists, Value: fmt.Sprint(n), Version: o.Result.Version}}}
		txns = append(txns, t)
	}
	if _, err := Counters(txns, []api.Key{part[0].Key}); err != nil {
		return violation(part[0].Key, err.Error())
	}
	return (&keyVersions{}).freshness(part)
}
