// Package notice decides which lines of a log are written: a change of state at once, the same state again after [Every], with
// a count of the lines that were left out.
package notice

import (
	"sync"
	"time"
)

// Every is the least time between two lines about the same state.
const Every = 10 * time.Minute

// maxSubjects bounds the subjects that are remembered. One more replaces the oldest, whose next line is written at once.
const maxSubjects = 1024

// Book remembers what was written last about each subject: a peer, an address, a task. Its zero value is ready. It is safe for
// concurrent use.
type Book struct {
	mu       sync.Mutex
	subjects map[string]*entry
}

type entry struct {
	state   string
	written time.Time
	omitted int
}

// Say reports whether a line about the subject is to be written, and how many lines about it were left out since the last one.
// A line is written when the subject enters the state, and then once each [Every].
func (b *Book) Say(subject, state string) (write bool, omitted int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	e := b.subjects[subject]
	if e == nil {
		e = b.add(subject)
	} else if e.state == state && now.Sub(e.written) < Every {
		e.omitted++
		return false, 0
	}
	omitted = e.omitted
	*e = entry{state: state, written: now}
	return true, omitted
}

// Clear forgets the subject, whose state is over. It reports whether the subject was known, and how many lines about it were
// left out since the last one.
func (b *Book) Clear(subject string) (was bool, omitted int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.subjects[subject]
	if e == nil {
		return false, 0
	}
	delete(b.subjects, subject)
	return true, e.omitted
}

func (b *Book) add(subject string) *entry {
	if b.subjects == nil {
		b.subjects = map[string]*entry{}
	}
	if len(b.subjects) >= maxSubjects {
		b.forgetOldest()
	}
	e := &entry{}
	b.subjects[subject] = e
	return e
}

func (b *Book) forgetOldest() {
	oldest, at := "", time.Time{}
	for s, e := range b.subjects {
		if at.IsZero() || e.written.Before(at) {
			oldest, at = s, e.written
		}
	}
	delete(b.subjects, oldest)
}
