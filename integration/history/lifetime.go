package history

import (
	"fmt"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Lifetime is what a client knows of when one version of a key may end by its time to live.
type Lifetime struct {
	Key     api.Key
	Version api.Version
	// NotBefore is the earliest end: the client's requests that were answered promise it.
	NotBefore time.Duration
	// NotAfter is the latest end of a key that meets no trouble on the way; 0 if a request with an unknown outcome may have moved it.
	NotAfter time.Duration
}

// Clocks says how far the clocks of the history may be from true time, and what a store may take for it to notice that a time is over.
type Clocks struct {
	Rate  float64       // a clock's rate is at most 1 + Rate
	Slow  float64       // and at least 1 - Slow, as slewed clocks are
	Grain time.Duration // time is counted in such steps
	Late  time.Duration // from when a key's time is over until it has ended, dead holders of leases included
}

// Give notes a request that gave the key the ttl from when it was carried out: between call and ret, if the outcome is OK.
func (l *Lifetime) Give(ttl, call, ret time.Duration, outcome Outcome, c Clocks) {
	switch outcome {
	case OK:
		l.NotBefore = max(l.NotBefore, call+time.Duration(float64(ttl)/(1+c.Rate))-c.Grain)
		if l.NotAfter >= 0 {
			l.NotAfter = max(l.NotAfter, ret+time.Duration(float64(ttl)/(1-c.Slow))+c.Grain+c.Late)
		}
	case Unknown:
		l.NotAfter = -1
	}
}

// Lived judges how versions with a time to live ended. It returns how many ended by it, and nil or what is wrong. It demands:
//
//   - only a key with a deadline ends by one, and no version ends by it before NotBefore;
//   - each has ended at NotAfter, plus what stalled returns: for how long between two instants the key's group did not count time;
//   - no operation that was called after that shows the version.
//
// end is when the history ends.
func Lived(lives []Lifetime, all []Change, ops []Op, end time.Duration, stalled func(k api.Key, from, to time.Duration) time.Duration) (ended int, err error) {
	h, err := newChanges(all)
	if err != nil {
		return 0, err
	}
	late := map[keyAt]time.Duration{}
	for n := range lives {
		l := &lives[n]
		at, ok := h.named[keyAt{l.Key, l.Version}]
		if !ok {
			return ended, fmt.Errorf("%q at version %v is not in the history", string(l.Key), l.Version)
		}
		next, over := h.next(at), end
		if next != nil {
			over = next.At
		}
		if next != nil && next.Kind == api.EventExpire {
			if ended++; next.At < l.NotBefore {
				return ended, fmt.Errorf("ended %v too early:\n\t%v\n\t%v", l.NotBefore-next.At, &h.all[at], next)
			}
		}
		if l.NotAfter <= 0 {
			continue
		}
		// The bound moves with what stalls until the key has ended, or until the history does.
		bound := l.NotAfter + stalled(l.Key, h.all[at].At, over)
		if over > bound {
			return ended, fmt.Errorf("ended %v too late, or not at all: %v\n\tit was over at %v, bound %v", over-bound, &h.all[at], over, bound)
		}
		late[keyAt{l.Key, l.Version}] = max(bound, over)
	}
	for i := range ops {
		o := &ops[i]
		if o.Kind != Get || o.Outcome != OK || !o.Result.Exists {
			continue
		}
		if bound, ok := late[keyAt{o.Key, o.Result.Version}]; ok && o.Call > bound+stalled(o.Key, bound, o.Call) {
			return ended, fmt.Errorf("read %v after its time was over: %v", o.Call-bound, o)
		}
	}
	return ended, ExpiredWithDeadline(all)
}

// ExpiredWithDeadline demands that what ended by its time to live was there.
func ExpiredWithDeadline(all []Change) error {
	h, err := newChanges(all)
	if err != nil {
		return err
	}
	for i := range all {
		if before := h.before(i); all[i].Kind == api.EventExpire && (before == nil || before.Kind != api.EventPut || before.Deadline == 0) {
			return fmt.Errorf("ended by a time to live that it did not have: %v", &all[i])
		}
	}
	return nil
}
