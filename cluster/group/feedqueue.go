package group

import (
	"sync"
	"time"

	"github.com/edgehold/edgehold/fsm"
)

// feedQueue is what the hub has for one feed: all that the feed wants of the commands above from, up to upTo. If that gets too
// much, the queue is cut off: it lets go of all, and the feed reads the history until it can attach the queue again.
type feedQueue struct {
	wake chan struct{} // holds one signal: something has changed

	mu         sync.Mutex
	off        bool
	from, upTo uint64
	commands   []visible
	bytes      int
	left       bool // the feed has to look whether it ends
	due        bool // a mark is due
	// Everything that was acknowledged before asOf is at or below confirmed.
	asOf      time.Time
	confirmed uint64
}

// visible is what one command made visible, or what a feed wants of it.
type visible struct {
	index  uint64
	events []fsm.Event // shared: never changed
	// first is the place of the first event among those of the command, if the memory is shared with them, else -1.
	first int
}

// attach has the queue take what comes from now on, unless it does already.
func (q *feedQueue) attach(m feedMachine) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.off {
		q.off, q.from = false, m.Position().Counter
		q.upTo = q.from
	}
}

// behind reports whether a feed that has delivered all up to a position has to read the history.
func (q *feedQueue) behind(to uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.off || to < q.from
}

// offer queues what the feed wants of the commands up to a position.
func (q *feedQueue) offer(commands []visible, upTo uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.off {
		return
	}
	for _, c := range commands {
		if c.index <= q.from {
			continue
		}
		for i := range c.events {
			q.bytes += eventBytes(&c.events[i])
		}
		if q.bytes > FeedQueueBytes && len(q.commands) > 0 {
			q.cutLocked()
			return
		}
		q.commands = append(q.commands, c)
	}
	q.upTo = max(q.upTo, upTo)
	prompt(q.wake)
}

// leave has the feed look whether it ends because of what the group has given up, or taken over, by a command up to a position.
func (q *feedQueue) leave(upTo uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left, q.upTo = true, max(q.upTo, upTo)
	prompt(q.wake)
}

// cut has the queue let go of all.
func (q *feedQueue) cut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.cutLocked()
}

func (q *feedQueue) cutLocked() {
	q.off, q.commands, q.bytes = true, nil, 0
	prompt(q.wake)
}

// mark has the feed report its position, up to which the queue is complete, and what is known of its age.
func (q *feedQueue) mark(upTo uint64, asOf time.Time, confirmed uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.due, q.upTo, q.asOf, q.confirmed = true, max(q.upTo, upTo), asOf, confirmed
	prompt(q.wake)
}

// takeDue reports whether a mark is due, which it is no more then.
func (q *feedQueue) takeDue() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	due := q.due
	q.due = false
	return due
}

// taken is what was in a queue.
type taken struct {
	events    []fsm.Event
	to        uint64
	left, due bool
	asOf      time.Time // zero if it is not known how old the position is
}

// take empties the queue of a feed that has delivered all up to a position. If the queue is cut off, it returns nothing.
func (q *feedQueue) take(told uint64) (t taken) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.off {
		return taken{to: told}
	}
	t = taken{to: max(told, q.upTo), left: q.left, due: q.due}
	for len(q.commands) > 0 && q.commands[0].index <= told {
		q.commands = q.commands[1:]
	}
	if len(q.commands) == 1 {
		t.events = q.commands[0].events
	}
	if len(q.commands) > 1 {
		for _, c := range q.commands {
			t.events = append(t.events, c.events...)
		}
	}
	if t.to >= q.confirmed {
		t.asOf = q.asOf
	}
	q.commands, q.bytes, q.left, q.due = nil, 0, false, false
	return t
}
