package group

import (
	"time"

	"github.com/edgehold/edgehold/fsm"
)

// history is what the sweeper knows of the age of the group's history.
type history struct {
	marks marks
}

// remember records the counter, as far as that is of use.
func (h *history) remember(x mark, wanted func() (uint64, time.Duration)) {
	_, age := wanted()
	h.marks = h.marks.add(x, age)
}

// boundHistory sets the bound of the history to what is wanted, and drops what is too old or over the bound. A pass drops up to
// the limit of sweepCommands commands.
func (s *sweeper) boundHistory(l *lead, now time.Time, meta fsm.Meta) {
	if meta.Level < fsm.Level4 {
		return
	}
	bytes, age := s.cfg.History()
	if bytes = min(bytes, fsm.MaxHistory); bytes != meta.HistMax {
		if _, ok := s.try(fsm.HistoryMax{Term: l.term, Bytes: bytes}); !ok {
			return
		}
	}
	c := fsm.TrimHistory{Term: l.term, Limit: sweepRows}
	if old := s.history.marks[0]; now.Sub(old.at) >= age {
		c.Below = old.counter + 1
	}
	if meta.HistBytes == 0 || meta.HistFirst >= c.Below && meta.HistBytes <= bytes {
		return
	}
	for range sweepCommands {
		if res, ok := s.try(c); !ok || res.Swept.End {
			return
		}
	}
}
