package history

import (
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkTimeout bounds Porcupine's search for one key.
const checkTimeout = time.Minute

// Linearizable reports whether, for each key, the operations could have taken effect one at a time, each between its call
// and its return. It returns nil or a *[Violation]. A search that does not end within a minute is a violation too: a
// history that was not judged has not passed. Keep to about ten clients and 3,000 operations a key, and few unknown deletes.
func Linearizable(ops []Op) error {
	for _, part := range byKey(ops) {
		prepare := prepare
		if isCounter(part) {
			prepare = prepareCounter
		}
		p, v := prepare(part)
		if v != nil {
			return v
		}
		if v := p.search(part); v != nil {
			return v
		}
	}
	return nil
}

// search lets Porcupine look for an order.
func (p *prepared) search(part []*Op) *Violation {
	events := make([]porcupine.Operation, 0, len(p.steps))
	for i := range p.steps {
		s := &p.steps[i]
		if s.returned < s.call {
			return violation(s.op.Key, "the history is unusable: an operation returned before it was called", s.op)
		}
		events = append(events, porcupine.Operation{
			ClientId: s.op.Client, Input: s, Call: int64(s.call), Output: nil, Return: int64(s.returned),
		})
	}
	switch porcupine.CheckOperationsTimeout(p.model, events, checkTimeout) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return p.shorten(part[0])
	}
	return violation(part[0].Key, fmt.Sprintf("undecided after %v with %d operations: use fewer clients, operations or unknown outcomes a key",
		checkTimeout, len(p.steps)))
}

// register is one key: its state is the token of its value.
var register = porcupine.Model{
	Init: func() any { return absent },
	Step: func(state, input, _ any) (bool, any) {
		now, s := state.(token), input.(*step)
		switch {
		case s.kind == Get:
			return now == s.saw, now
		case s.refused:
			return (now == s.saw || s.saw == unknown) && now != s.expect, now
		case s.optional && now != s.expect:
			return true, now
		case s.op.conditional():
			return now == s.expect, s.wrote
		case s.op.Found != Untold:
			return (now != absent) == (s.op.Found == FoundValue), absent
		}
		return true, s.wrote
	},
	DescribeOperation: func(input, _ any) string { return input.(*step).op.String() },
}

// maxShown bounds the operations that a violation shows.
const maxShown = 40

// shorten is the violation of an illegal history, with the shortest beginning of it that is illegal already: operations
// that were called after the one at fault had returned say nothing about it.
func (p *prepared) shorten(first *Op) *Violation {
	lo, hi := 0, len(p.steps)
	ends := make([]time.Duration, 0, hi)
	for i := range p.steps {
		ends = append(ends, p.steps[i].returned)
	}
	slices.Sort(ends)
	for lo < hi {
		mid := (lo + hi) / 2
		if porcupine.CheckOperationsTimeout(p.model, p.until(ends[mid]), checkTimeout) == porcupine.Ok {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	v := &Violation{Key: first.Key, What: "no order of the operations explains the answers"}
	if lo == len(ends) {
		return v
	}
	shown := p.until(ends[lo])
	for _, e := range shown[max(0, len(shown)-maxShown):] {
		v.Ops = append(v.Ops, *e.Input.(*step).op)
	}
	return v
}

// until is what had been called by the time end; what had not returned by then may still happen.
func (p *prepared) until(end time.Duration) []porcupine.Operation {
	var events []porcupine.Operation
	for i := range p.steps {
		s := &p.steps[i]
		if s.call > end || s.returned > end && s.kind == Get {
			continue
		}
		returned := s.returned
		if returned > end {
			if s.refused {
				continue
			}
			returned = forever
		}
		events = append(events, porcupine.Operation{ClientId: s.op.Client, Input: s, Call: int64(s.call), Return: int64(returned)})
	}
	return events
}
