package watch

import "sync"

// turns lets a limited number of watchers catch up at once, in the order in which they came.
type turns struct {
	mu      sync.Mutex
	taken   int
	waiting []chan struct{}
}

// ask returns a channel that is closed when it is the caller's turn. The caller must give it back.
func (t *turns) ask() chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	turn := make(chan struct{})
	if t.taken < MaxCatchUps {
		t.taken++
		close(turn)
	} else {
		t.waiting = append(t.waiting, turn)
	}
	return turn
}

// giveBack ends the turn, or the wait for it.
func (t *turns) giveBack(turn chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, x := range t.waiting {
		if x == turn {
			t.waiting = append(t.waiting[:i], t.waiting[i+1:]...)
			return
		}
	}
	if len(t.waiting) == 0 {
		t.taken--
		return
	}
	close(t.waiting[0])
	t.waiting = t.waiting[1:]
}

// wanted reports whether there are watchers that wait for their turn.
func (t *turns) wanted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting) > 0
}
