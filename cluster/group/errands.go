package group

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// errand is a call to another group that the group makes of its own accord: to tell it what was decided of a transaction, or
// to ask it.
type errand struct {
	txn ident.TxnRef
	to  api.GroupID
}

// errands are those to all groups. Each group has a queue and places of its own: what waits for a lost or slow group holds
// no place of the others. The authority's mutex guards it.
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

// maxErrands bounds what waits for one group. What is over comes again with a later pass of the sweeper.
const maxErrands = 10_000

func newErrands(atOnce int) errands {
	return errands{
		atOnce: atOnce, known: map[errandKey]bool{}, queues: map[api.GroupID][]errand{}, running: map[api.GroupID]int{},
	}
}

// add queues the errand, unless it waits already or is under way.
func (e *errands) add(x errand) {
	k := errandKey{x.txn.ID, x.to}
	if e.known[k] || len(e.queues[x.to]) >= maxErrands {
		return
	}
	e.known[k] = true
	e.queues[x.to] = append(e.queues[x.to], x)
}

// next takes an errand to a group that has a free place; false if there is none.
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

// done gives the errand's place free.
func (e *errands) done(x errand) {
	delete(e.known, errandKey{x.txn.ID, x.to})
	if e.running[x.to]--; e.running[x.to] == 0 {
		delete(e.running, x.to)
	}
}

// runLocked begins as many of l's errands as there are places for, and goes on as places get free, while l lasts. do is bounded
// in time.
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
