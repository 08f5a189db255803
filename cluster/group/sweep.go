package group

import (
	"context"
	"slices"
	"time"

	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

const (
	sweepEvery = 5 * time.Second
	maxKilled  = 256 // sessions in one Kill
	// sweepRows bounds the rows that one command reads or drops, so that no other command waits long behind it.
	// sweepCommands bounds the commands of one kind in a pass.
	sweepRows     = 2_000
	sweepCommands = 100
)

// sweep removes, while this node leads, what ended long ago: expired sessions that no write waits for, acknowledged
// leases, old tombstones and old results.
func (a *Authority) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	s := sweeper{Authority: a, epochSince: time.Now()}
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-ticker.C:
			s.pass()
		}
	}
}

// sweeper is the state that only the sweeper's goroutine uses. A new leader starts with what it has seen as a
// follower.
type sweeper struct {
	*Authority
	epoch      fsm.Epoch // the dedup epoch; epochSince is when this replica first saw it
	epochSince time.Time
	marks      marks
	pending    pending
	trim       trim
	history    history
	round      round
}

// mark is the value of the machine's counter at a time.
type mark struct {
	at      time.Time
	counter uint64
}

func (s *sweeper) pass() {
	now, meta := time.Now(), s.cfg.Machine.Meta()
	s.remember(now, meta)
	s.mu.Lock()
	l, ready := s.lead, s.ready
	s.mu.Unlock()
	if l == nil || !ready {
		return
	}
	if node, _ := s.log().Leader(); node != string(s.cfg.Node) {
		return
	}
	s.endExpired(l)
	s.release(l)
	s.trimTombstones(l, now, meta)
	s.boundHistory(l, now, meta)
	s.expire(l, now, meta)
	s.pushTransactions(l, now) // last, since it calls other groups
}

// remember records the counter, and when the dedup epoch began.
func (s *sweeper) remember(now time.Time, meta fsm.Meta) {
	if meta.DedupEpoch != s.epoch {
		s.epoch, s.epochSince = meta.DedupEpoch, now
	}
	s.marks = s.marks.add(mark{now, meta.Counter}, s.cfg.TombstoneAge)
	_, age := s.cfg.History()
	s.history.remember(mark{now, meta.Counter}, age)
	since := s.history.since(s.cfg.Machine.Position().Floor)
	s.historySince.Store(&since)
}

// marks are in order of time. The first is the newest of those that have the age, if any has.
type marks []mark

// add adds a mark, once in age/32, and drops the marks before the first.
func (m marks) add(x mark, age time.Duration) marks {
	if n := len(m); n == 0 || x.at.Sub(m[n-1].at) >= age/32 {
		m = append(m, x)
	}
	for len(m) > 1 && x.at.Sub(m[1].at) >= age {
		m = m[1:]
	}
	return m
}

// endExpired kills the sessions that expired long ago, and those that were judged expired for a write that was then
// not applied. It releases the mutex between parts so that requests can proceed.
func (s *sweeper) endExpired(l *lead) {
	sessions := s.cfg.Machine.Sessions()
	now := s.cfg.Clock.Now()
	var kill []ident.SessionID
	alive := make(map[process]bool, len(sessions))
	for part := range slices.Chunk(sessions, 256) {
		s.mu.Lock()
		for i := range part {
			alive[process{part[i].Node, part[i].Nonce}] = true
			if len(kill) < maxKilled && s.overLocked(l, &part[i], now) {
				kill = append(kill, part[i].ID)
			}
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.forgetRatesLocked(alive)
	s.offenders.forget(time.Now())
	s.mu.Unlock()
	if len(kill) > 0 {
		s.try(fsm.Kill{Term: l.term, Sessions: kill})
	}
}

func (s *sweeper) overLocked(l *lead, x *fsm.Session, now words.ClockSample) bool {
	if s.renewedLocked(l, x, now) {
		return false
	}
	h, _ := s.holderLocked(l, x.ID)
	if h == nil {
		return false
	}
	if h.standing == refused {
		return time.Since(h.refusedAt) >= retry
	}
	return s.expiredLocked(l, h, now, s.cfg.Linger)
}

// renewedLocked reports whether a cheap check shows that the session is in good standing. It does for most sessions.
func (s *sweeper) renewedLocked(l *lead, x *fsm.Session, now words.ClockSample) bool {
	base, ok := l.extended[x.ID]
	if _, suspected := s.suspected[x.ID]; !ok || suspected {
		return false
	}
	h := l.holders[x.ID]
	return (h == nil || h.standing != refused) && now.GrantorElapsed(base) < words.GrantorWait(x.Term, x.Pause)+s.cfg.Linger
}

// release releases the leases that were acknowledged after the writes that asked for them had ended.
func (s *sweeper) release(l *lead) {
	s.mu.Lock()
	leases := l.returned
	l.returned = nil
	s.mu.Unlock()
	if len(leases) > 0 {
		s.try(fsm.Release{Leases: leases})
	}
}

// trim records how far the tombstones have been trimmed.
type trim struct {
	below uint64 // by index
	more  bool   // there were more than one pass could drop
}

// trimTombstones drops the tombstones that are older than Config.TombstoneAge. A pass drops all of them, up to the
// limit of sweepCommands commands.
func (s *sweeper) trimTombstones(l *lead, now time.Time, meta fsm.Meta) {
	old := s.marks[0]
	if meta.Tombstones == 0 || now.Sub(old.at) < s.cfg.TombstoneAge || old.counter < s.trim.below && !s.trim.more {
		return
	}
	s.trim = trim{below: old.counter + 1, more: true}
	for range sweepCommands {
		res, ok := s.try(fsm.TrimTombstones{Term: l.term, Below: s.trim.below, Limit: sweepRows})
		if !ok {
			return
		}
		if s.trim.more = res.Swept.Rows == sweepRows; !s.trim.more {
			return
		}
	}
}

// round is one pass through all that is remembered of requests and transactions. A row can become too old only when
// an epoch begins, so one round in each epoch drops all such rows.
type round struct {
	of    *lead     // the lead of the round; another leader has moved the machine's place in the tables
	epoch fsm.Epoch // the epoch when the round began; 0 if this leader has not seen that
	done  fsm.Epoch // the epoch of the last completed round
	rows  int       // rows read by this round
	last  int       // rows read by the previous round
}

// expire begins a new dedup epoch when it is due. Otherwise it continues the epoch's round, at a rate that completes
// the round in a quarter of an epoch, however many rows there are.
func (s *sweeper) expire(l *lead, now time.Time, meta fsm.Meta) {
	if now.Sub(s.epochSince) >= s.cfg.DedupEpoch {
		s.try(fsm.AdvanceDedupEpoch{Term: l.term})
		return
	}
	if s.round.of != l {
		s.round = round{of: l, done: s.round.done}
	}
	if s.round.done == meta.DedupEpoch || !s.cfg.Machine.Remembers() {
		return
	}
	for range s.share(meta) {
		res, ok := s.try(fsm.ExpireDedup{Term: l.term, Limit: sweepRows})
		if !ok {
			return
		}
		if s.round.rows += res.Swept.Rows; !res.Swept.End {
			continue
		}
		if s.round.epoch == meta.DedupEpoch {
			s.round.done = meta.DedupEpoch
		}
		if s.round = (round{of: l, epoch: meta.DedupEpoch, done: s.round.done, last: s.round.rows}); s.round.done == meta.DedupEpoch {
			return
		}
	}
}

// share returns how many commands of the epoch's round one pass proposes.
func (s *sweeper) share(meta fsm.Meta) int {
	rows := max(meta.Records+meta.Decisions+meta.Finished, s.round.last, s.round.rows) // clients have rows too, which Meta does not count
	passes := max(1, int(s.cfg.DedupEpoch/4/sweepEvery))
	return min(1+rows/(passes*sweepRows), sweepCommands)
}

// try proposes one of the group's own commands and reports whether it was carried out. A later pass repeats what
// fails now.
func (a *Authority) try(c fsm.Command) (fsm.Result, bool) {
	ctx, cancel := context.WithTimeout(a.ctx, judgeTime)
	defer cancel()
	res, err := a.propose(ctx, c)
	if err != nil {
		a.cfg.Logger.Debug("a sweep could not be proposed", "group", a.cfg.Group, "command", fsm.Name(c), "error", err)
	}
	return res, err == nil
}
