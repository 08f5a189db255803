package group

import (
	"time"

	"github.com/edgehold/edgehold/fsm"
)

// history is what the sweeper knows of the age of the group's history: marks in order of time, the first of which is the newest of
// those that have the age at which history is dropped, if any has.
type history struct {
	marks   []mark
	trimmed time.Time // when rows were last dropped for their age
}

// maxMarks bounds the marks of the history, however long they go on. If there are more, those are dropped without which the marks
// still give the age of an index within 1/markPrecision of it.
const (
	maxMarks      = 1024
	markPrecision = 64
)

// remember records the counter.
func (h *history) remember(x mark, age time.Duration) {
	h.marks = append(h.marks, x)
	for len(h.marks) > 1 && x.at.Sub(h.marks[1].at) >= age {
		h.marks = h.marks[1:]
	}
	if len(h.marks) <= maxMarks {
		return
	}
	sparse := h.marks[:1]
	for i := 1; i < len(h.marks); i++ {
		last := sparse[len(sparse)-1]
		if i == len(h.marks)-1 || h.marks[i+1].at.Sub(last.at) > x.at.Sub(h.marks[i].at)/markPrecision {
			sparse = append(sparse, h.marks[i])
		}
	}
	h.marks = sparse
}

// since returns a time from which on everything is above the floor: the earliest that is known.
func (h *history) since(floor uint64) time.Time {
	for _, m := range h.marks {
		if m.counter >= floor {
			return m.at
		}
	}
	return time.Time{}
}

// historySeconds returns for how many seconds the history reaches back, as far as this replica has seen it.
func (a *Authority) historySeconds() float64 {
	since := a.historySince.Load()
	if since == nil || since.IsZero() {
		return 0
	}
	return time.Since(*since).Seconds()
}

// boundHistory sets the bound of the history to what is wanted, and drops what is over the bound, and now and then what is too
// old. A pass drops up to the limit of sweepCommands commands.
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
	if old := s.history.marks[0]; now.Sub(old.at) >= age && now.Sub(s.history.trimmed) >= age/32 {
		c.Below = old.counter + 1
	}
	if meta.HistBytes == 0 || meta.HistFirst >= c.Below && meta.HistBytes <= bytes {
		return
	}
	for range sweepCommands {
		res, ok := s.try(c)
		if ok && res.Swept.End && c.Below > 0 {
			s.history.trimmed = now
		}
		if !ok || res.Swept.End {
			return
		}
	}
}
