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
	// sweepRows bounds the rows that one command looks at or drops, so that no other waits long behind it; sweepCommands
	// bounds the commands of one kind in a pass.
	sweepRows     = 2_000
	sweepCommands = 100
)

// sweep clears away, while this node leads, what has long ended: expired sessions that no write waits for, acknowledged
// leases, old tombstones, old results.
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

// sweeper is the sweeper's own memory. A new leader's starts with what it has seen as a follower.
type sweeper struct {
	*Authority
	epoch      fsm.Epoch // the dedup epoch, and since when, by this replica
	epochSince time.Time
	marks      []mark
	pending    pending
	trim       trim
	round      round
}

// mark is what the machine's counter was at a time.
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
	s.expire(l, now, meta)
	s.pushTransactions(l, now) // last: it waits for other groups
}

// remember notes the counter once a minute and when the dedup epoch began.
func (s *sweeper) remember(now time.Time, meta fsm.Meta) {
	if meta.DedupEpoch != s.epoch {
		s.epoch, s.epochSince = meta.DedupEpoch, now
	}
	if n := len(s.marks); n == 0 || now.Sub(s.marks[n-1].at) >= s.cfg.TombstoneAge/32 {
		s.marks = append(s.marks, mark{now, meta.Counter})
	}
	for len(s.marks) > 1 && now.Sub(s.marks[1].at) >= s.cfg.TombstoneAge {
		s.marks = s.marks[1:]
	}
}

// endExpired kills the sessions whose expiry passed long ago, and those that were judged expired for a write that then
// did not come. Requests go on between two parts of it.
func (s *sweeper) endExpired(l *lead) {
	sessions := s.cfg.Machine.Sessions()
	now := s.cfg.Clock.Now()
	var kill []ident.SessionID
	alive := make(map[ident.Nonce]bool, len(sessions))
	for part := range slices.Chunk(sessions, 256) {
		s.mu.Lock()
		for i := range part {
			alive[part[i].Nonce] = true
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

// renewedLocked tells at a glance of most sessions that they are in good standing.
func (s *sweeper) renewedLocked(l *lead, x *fsm.Session, now words.ClockSample) bool {
	base, ok := l.extended[x.ID]
	if _, suspected := s.suspected[x.ID]; !ok || suspected {
		return false
	}
	h := l.holders[x.ID]
	return (h == nil || h.standing != refused) && now.GrantorElapsed(base) < words.GrantorWait(x.Term, x.Pause)+s.cfg.Linger
}

// release gives up the leases that were acknowledged after the writes that had asked for them had gone.
func (s *sweeper) release(l *lead) {
	s.mu.Lock()
	leases := l.returned
	l.returned = nil
	s.mu.Unlock()
	if len(leases) > 0 {
		s.try(fsm.Release{Leases: leases})
	}
}

// trim is how far the tombstones have been trimmed.
type trim struct {
	below uint64 // by index
	more  bool   // there were more than the pass had room for
}

// trimTombstones drops the tombstones that are older than Config.TombstoneAge: as many in a pass as there are, within reason.
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

// round is a walk through all that is remembered of requests and transactions. What is there can become too old only by the
// beginning of an epoch, so that one round in each epoch drops it all.
type round struct {
	of    *lead     // whose it is: another leader has moved the machine's place in the tables
	epoch fsm.Epoch // at its beginning; 0 if this leader has not seen the beginning
	done  fsm.Epoch // the epoch of the last one that was walked to the end
	rows  int       // that it has looked at
	last  int       // that the round before looked at
}

// expire begins a new dedup epoch when it is time, and goes on with the epoch's round: so fast that it is over in a quarter
// of an epoch, however much there is.
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

// share is how many commands of the epoch's round belong in one pass.
func (s *sweeper) share(meta fsm.Meta) int {
	rows := max(meta.Records+meta.Decisions+meta.Finished, s.round.last, s.round.rows) // clients have rows too, which are not counted
	passes := max(1, int(s.cfg.DedupEpoch/4/sweepEvery))
	return min(1+rows/(passes*sweepRows), sweepCommands)
}

// try proposes one of the group's own commands, and reports whether it was carried out. What fails now is tried again later.
func (a *Authority) try(c fsm.Command) (fsm.Result, bool) {
	ctx, cancel := context.WithTimeout(a.ctx, judgeTime)
	defer cancel()
	res, err := a.propose(ctx, c)
	if err != nil {
		a.cfg.Logger.Debug("a sweep could not be proposed", "group", a.cfg.Group, "command", fsm.Name(c), "error", err)
	}
	return res, err == nil
}
