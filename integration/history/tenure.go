package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Tenure is how long one client took a lock for held, in true time: from From until Until, which is when it stopped, lost it or began
// to release it.
type Tenure struct {
	Lock   string
	Client string
	Entry  api.Key     // that stands for it in the lock's directory
	Fence  uint64      // rises from tenure to tenure
	Made   api.Version // of the entry
	From   time.Duration
	Until  time.Duration
}

func (t *Tenure) String() string {
	return fmt.Sprintf("%s held %q from %v until %v, fence %d, entry %q at version %v", t.Client, t.Lock, t.From, t.Until, t.Fence, string(t.Entry), t.Made)
}

// Tenures judges locks that one client holds at a time. It returns how often a lock passed from one client to another, and nil or what
// is wrong. It demands:
//
//   - no two tenures of a lock overlap, and their fences rise;
//   - a tenure begins only when every older entry of the directory has ended, so the order is that of the entries;
//   - the entry is there for as long as the client believes that it holds the lock.
//
// entry reports whether a key is that of an entry of the lock.
func Tenures(all []Tenure, changed []Change, entry func(lock string, k api.Key) bool) (passed int, err error) {
	h, err := newChanges(changed)
	if err != nil {
		return 0, err
	}
	locks := map[string][]*Tenure{}
	for i := range all {
		t := &all[i]
		locks[t.Lock] = append(locks[t.Lock], t)
	}
	for _, lock := range slices.Sorted(maps.Keys(locks)) {
		ts := locks[lock]
		slices.SortStableFunc(ts, func(a, b *Tenure) int { return cmp.Compare(a.From, b.From) })
		for i, t := range ts {
			if i > 0 {
				passed++
				switch before := ts[i-1]; {
				case t.From < before.Until:
					return passed, fmt.Errorf("two clients held one lock at once:\n\t%v\n\t%v", before, t)
				case t.Fence <= before.Fence:
					return passed, fmt.Errorf("a fence did not rise:\n\t%v\n\t%v", before, t)
				}
			}
			if err := h.holds(t, entry); err != nil {
				return passed, err
			}
		}
	}
	return passed, nil
}

// holds demands that the tenure's entry was the oldest of the directory when it began, and was there until it ended.
func (h *changes) holds(t *Tenure, entry func(lock string, k api.Key) bool) error {
	at, ok := h.named[keyAt{t.Entry, t.Made}]
	if !ok || h.all[at].Kind != api.EventPut {
		return fmt.Errorf("a lock was held without an entry: %v", t)
	}
	if next := h.next(at); next != nil && next.At < t.Until {
		return fmt.Errorf("an entry ended while its client held the lock: %v\n\t%v", t, next)
	}
	for i := range h.all {
		c := &h.all[i]
		if c.Kind != api.EventPut || !entry(t.Lock, c.Key) || c.Version.Compare(t.Made) >= 0 {
			continue
		}
		if next := h.next(i); next == nil || next.At > t.From {
			return fmt.Errorf("a lock was taken before an older entry had ended: %v\n\t%v", t, c)
		}
	}
	return nil
}
