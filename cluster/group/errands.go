package group

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// errand is a call to another group that this group makes on its own: to send it the decision on a transaction, or to
// ask for one.
type errand struct {
	txn ident.TxnRef
	to  api.GroupID
}

// errands holds the errands to all groups. Each group has its own queue and its own slots, so errands to a lost or
// slow group take no slot of the others. The authority's mutex guards it.
type errands struct {
	atOnce  int // to one group
	known   map[errandKey]bool
	queues  map[api.GroupID][]errand
	running map[api.GroupID]int
}

type errandKey struct {
	txn ident.TxnID
	to  api.GroupID
}

// maxErrands bounds the queue of one group. An errand over the bound is added again by a later pass of the sweeper.
const maxErrands = 10_000

func newErrands(atOnce int) errands {
	return errands{
		atOnce: atOnce, known: map[errandKey]bool{}, queues: map[api.GroupID][]errand{}, running: map[api.GroupID]int{},
	}
}

// add queues the errand, unless it is queued or running already.
func (e *errands) add(x errand) {
	k := errandKey{x.txn.ID, x.to}
	if e.known[k] || len(e.queues[x.to]) >= maxErrands {
		return
	}
	e.known[k] = true
	e.queues[x.to] = append(e.queues[x.to], x)
}

// next returns an errand to a group that has a free slot. ok is false if there is none.
func (e *errands) next() (x errand, ok bool) {
	for to, queue := range e.queues {
		if e.running[to] >= e.atOnce {
			continue
		}
		if x = queue[0]; len(queue) > 1 {
			e.queues[to] = queue[1:]
		} else {
			delete(e.queues, to)
		}
		e.running[to]++
		return x, true
	}
	return errand{}, false
}

// done frees the errand's slot.
func (e *errands) done(x errand) {
	delete(e.known, errandKey{x.txn.ID, x.to})
	if e.running[x.to]--; e.running[x.to] == 0 {
		delete(e.running, x.to)
	}
}

// runLocked starts as many of l's errands as there are slots, and continues as slots become free, while l lasts. The
// duration of do must be bounded.
func (a *Authority) runLocked(l *lead, e *errands, do func(errand)) {
	for !a.closed && a.lead == l {
		x, ok := e.next()
		if !ok {
			return
		}
		a.wg.Go(func() {
			do(x)
			a.mu.Lock()
			defer a.mu.Unlock()
			e.done(x)
			a.runLocked(l, e, do)
		})
	}
}
