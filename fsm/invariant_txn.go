package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// intentRows checks that what is locked is owned, by transactions that have prepared and list it, and that one writer excludes
// all other transactions and every lease.
func (a *audit) intentRows() {
	a.each(tablePrepared, func(k, row []byte) bool {
		id := readAttempt(tablePrepared, &codec.Reader{B: k})
		p := parse(row, readPrepared)
		if p.index > a.meta.Counter || p.index == 0 {
			return a.broken("LockPoint", "%v has prepared at index %d of %d", id, p.index, a.meta.Counter)
		}
		if _, also := a.finished(&id); also {
			return a.broken("Atomic", "%v is prepared and finished", id)
		}
		a.prepared[id] = p
		a.counts.Prepared++
		return true
	})
	places := 0
	a.each(tableIntent, func(k, row []byte) bool {
		key, x := api.Key(k), parse(row, readIntents)
		o, ok := a.shardOf(key)
		if !ok {
			return a.broken("MoveClean", "%q is locked and not owned", k)
		}
		if x.exclusive && len(a.leased(key).holders) > 0 {
			return a.broken("NoGrantUnderLock", "%q is leased, and %v writes it", k, x.holders[0])
		}
		for _, id := range x.holders {
			p, ok := a.prepared[id]
			keys := p.reads
			if x.exclusive {
				keys = p.writes
			}
			if _, listed := slices.BinarySearch(keys, key); !ok || !listed {
				return a.broken("PreparedStays", "%q is locked by %v, which has not prepared it", k, id)
			}
			if ver := (api.Version{Epoch: o.Epoch, Index: p.index}); x.change.kind != changeNone && x.change.version != ver {
				return a.broken("VersionsRise", "%v writes %q at %v and has prepared at %v", id, k, x.change.version, ver)
			}
			if ver := a.written(key); ver.Epoch == o.Epoch && ver.Index > p.index {
				return a.broken("LockPoint", "%q was written at %v under the intent of %v", k, ver, id)
			}
			places++
		}
		a.counts.Intents++
		return true
	})
	for _, p := range a.prepared {
		places -= len(p.writes) + len(p.reads)
	}
	if a.err == nil && places != 0 {
		a.broken("PreparedStays", "intents are missing, or there are %d too many", places)
	}
}

// attemptRows checks that what is stored can still be asked for, and that a group that owes a resolution has prepared what was
// committed.
func (a *audit) attemptRows() {
	a.each(tableFinished, func(k, _ []byte) bool {
		id := readAttempt(tableFinished, &codec.Reader{B: k})
		a.counts.Finished++
		if a.below(&id, 0) {
			return a.broken("Forget", "%v is remembered as finished, and its client has acknowledged it", id)
		}
		return true
	})
	a.each(tableDecision, func(k, row []byte) bool {
		id := readAttempt(tableDecision, &codec.Reader{B: k})
		d := parse(row, readDecision)
		owing := a.owing(&id)
		if owing == nil && a.below(&id, 0) {
			return a.broken("Forget", "what was decided on %v is remembered, and its client has acknowledged it", id)
		}
		if len(owing) > 0 && d.outcome != ident.TxnCommitted {
			return a.broken("Decide1", "%v was aborted, and %v are to resolve it", id, owing)
		}
		for _, g := range owing {
			if _, ok := slices.BinarySearch(d.participants, g); !ok {
				return a.broken("Atomic", "%s is to resolve %v, and takes no part in it", g, id)
			}
		}
		a.counts.Decisions++
		return true
	})
	a.each(tableOwing, func(k, row []byte) bool {
		id := readAttempt(tableOwing, &codec.Reader{B: k})
		if _, ok := a.get(a.key.attempt(tableDecision, &id)); !ok || len(parse(row, readGroups)) == 0 {
			return a.broken("Decide1", "groups are to resolve %v, which was not decided, or none is", id)
		}
		a.counts.Unresolved++
		return true
	})
}
