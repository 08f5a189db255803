package history

import (
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/edgehold/edgehold/api"
)

const forever = time.Duration(math.MaxInt64)

// byKey divides a history into one for each key, in the order of the keys.
func byKey(ops []Op) [][]*Op {
	index := map[api.Key]int{}
	var parts [][]*Op
	for i := range ops {
		o := &ops[i]
		n, ok := index[o.Key]
		if !ok {
			n = len(parts)
			index[o.Key] = n
			parts = append(parts, nil)
		}
		parts[n] = append(parts[n], o)
	}
	slices.SortFunc(parts, func(a, b []*Op) int {
		if a[0].Key < b[0].Key {
			return -1
		}
		return 1
	})
	return parts
}

// token stands for a value of one key; absent for none.
type token int32

const (
	absent  token = 0
	unknown token = -1 // not known what the key was
)

// step is an operation as the model sees it.
type step struct {
	kind           Kind
	refused        bool
	wrote, expect  token // of what leaves no value, absent
	saw            token // what the key was, if known: of a Get, of a refusal, of a Delete that found nothing; of an Add, the number made
	optional       bool  // a write with a condition that may have happened, and was not seen: it changes nothing if its condition is false
	rank           int   // of an Add with an unknown outcome, among those, from 1
	call, returned time.Duration
	op             *Op
}

// prepared is one key's history made tractable: Porcupine's search explodes with writes that may happen at any later time.
// So reads without an answer and writes that were not seen are left out, and an unknown write ends when the first operation
// that saw it returned.
type prepared struct {
	model    porcupine.Model
	steps    []step
	tokens   map[string]token
	writers  []*Op // by token; [0] is unused
	versions map[api.Version]token
	// deletes holds when the first acknowledged delete of a version was called: a later one of the same absence changed
	// nothing. versioned: the history has versions at all.
	deletes   map[api.Version]time.Duration
	versioned bool
}

func prepare(ops []*Op) (*prepared, *Violation) {
	p := &prepared{model: register, tokens: map[string]token{}, writers: []*Op{nil}, versions: map[api.Version]token{},
		deletes: map[api.Version]time.Duration{}}
	for _, o := range ops {
		if v := p.nameWrite(o); v != nil {
			return nil, v
		}
	}
	for _, o := range ops {
		if v := p.nameRead(o); v != nil {
			return nil, v
		}
	}
	for _, o := range ops {
		if s, ok := p.step(o); ok {
			p.steps = append(p.steps, s)
		}
	}
	return p, p.bound()
}

// nameWrite gives the value that o writes a token.
func (p *prepared) nameWrite(o *Op) *Violation {
	if o.Kind == Put || o.Kind == CAS {
		if n, twice := p.tokens[o.Written]; twice {
			return violation(o.Key, "the history is unusable: a value was written twice", p.writers[n], o)
		}
		p.tokens[o.Written] = token(len(p.writers))
		p.writers = append(p.writers, o)
	}
	if v := o.Result.Version; o.wrote() && !v.IsZero() {
		p.versioned = true
		if o.leavesValue() {
			p.versions[v] = p.tokens[o.Written]
		} else {
			p.versions[v] = absent
			if first, again := p.deletes[v]; !again || o.Call < first {
				p.deletes[v] = o.Call
			}
		}
	}
	return nil
}

// nameRead finds out which write o saw; there must be one that may have happened.
func (p *prepared) nameRead(o *Op) *Violation {
	if o.Kind != Get || o.Outcome != OK {
		return nil
	}
	saw := absent
	if o.Result.Exists {
		n, ok := p.tokens[o.Result.Value]
		if !ok {
			return violation(o.Key, "a value was read that no operation wrote", o)
		}
		if w := p.writers[n]; w.Outcome == Failed || w.Refused {
			return violation(o.Key, "a write that was reported as not applied was read", w, o)
		}
		saw = n
	}
	if _, known := p.versions[o.Result.Version]; !known && !o.Result.Version.IsZero() {
		p.versions[o.Result.Version] = saw
	}
	return nil
}

// step is o for the model; not ok where o says nothing.
func (p *prepared) step(o *Op) (s step, ok bool) {
	s = step{kind: o.Kind, call: o.Call, returned: o.Return, op: o, saw: unknown}
	if o.Outcome == Failed || o.Outcome == Unknown && o.Kind == Get {
		return s, false
	}
	if o.Outcome == Unknown {
		s.returned = forever
	}
	switch o.Kind {
	case Get:
		if s.saw = absent; o.Result.Exists {
			s.saw = p.tokens[o.Result.Value]
		}
	case Put, CAS:
		s.wrote = p.tokens[o.Written]
	}
	if o.Found == FoundNothing {
		s.saw = absent
	}
	if !o.conditional() {
		return s, true
	}
	if s.expect = absent; o.Expect.Exists {
		n, known := p.tokens[o.Expect.Value]
		if !known {
			n = unknown
		}
		s.expect = n
	}
	if s.refused = o.Refused; s.refused {
		n, known := p.versions[o.Result.Version]
		switch {
		case known:
			s.saw = n
		case !o.Unversioned:
			// A write of unknown version was in the way. That is no contradiction by itself.
			return s, false
		}
	}
	return s, true
}

// bound ends unknown writes where they were first seen. It drops those that were not, unless an answer that came later says that there
// was a value, or another one than expected, but not which: that may have been theirs.
func (p *prepared) bound() *Violation {
	firstSeen := make([]time.Duration, len(p.writers))
	firstBy := make([]*Op, len(p.writers))
	see := func(n token, by *step) {
		if n > absent && (firstBy[n] == nil || by.returned < firstSeen[n]) {
			firstSeen[n], firstBy[n] = by.returned, by.op
		}
	}
	absence := time.Duration(math.MinInt64) // when an absence that may come of an unknown delete was last seen
	vague := time.Duration(math.MinInt64)   // when some value was last met that the answer does not name
	for i := range p.steps {
		s := &p.steps[i]
		see(s.saw, s)
		if s.op.conditional() && !s.refused && s.op.Outcome == OK {
			see(s.expect, s)
		}
		if p.unexplainedAbsence(s) {
			absence = max(absence, s.returned)
		}
		if s.op.Found == FoundValue || s.refused && s.saw == unknown {
			vague = max(vague, s.returned)
		}
		if s.refused && s.saw == unknown && s.expect != absent {
			absence = max(absence, s.returned)
		}
	}
	for i := range p.steps {
		if s := &p.steps[i]; s.kind == CAS && s.op.Outcome == Unknown && s.expect == absent && firstBy[s.wrote] != nil {
			absence = max(absence, firstSeen[s.wrote]) // it was seen, so it found the key absent
		}
	}
	kept := p.steps[:0]
	for _, s := range p.steps {
		switch {
		case s.op.Outcome != Unknown:
		case !s.op.leavesValue():
			if absence < s.call {
				continue
			}
			s.optional = s.op.conditional()
		case firstBy[s.wrote] == nil:
			if vague < s.call {
				continue
			}
			s.optional = s.op.conditional()
		default:
			s.returned = firstSeen[s.wrote]
			if s.returned < s.call {
				return violation(s.op.Key, "a value was seen before it was written", firstBy[s.wrote], s.op)
			}
		}
		kept = append(kept, s)
	}
	p.steps = kept
	return nil
}

// unexplainedAbsence reports whether s shows the key as absent for a reason that may be an unknown delete.
func (p *prepared) unexplainedAbsence(s *step) bool {
	if s.op.Outcome != OK || s.saw != absent && (s.kind != CAS || s.refused || s.expect != absent) {
		return false
	}
	v := s.op.Result.Version
	if s.kind == CAS && !s.refused {
		return true // its version is that of what it wrote
	}
	deleted, byKnown := p.deletes[v]
	return (!byKnown || deleted > s.returned) && (!v.IsZero() || !p.versioned)
}
