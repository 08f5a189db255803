package region

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

const (
	sweepEvery = 5 * time.Second
	trimEvery  = time.Minute // between two trims of tombstones or of dedup records
	trimLimit  = 10_000      // rows in one trim
	maxKilled  = 256         // sessions in one Kill
)

// sweep clears away, while this node leads, what has long ended: expired sessions that no write waits for, acknowledged
// leases, old tombstones, old results.
func (r *Region) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	s := sweeper{Region: r, epochSince: time.Now()}
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-ticker.C:
			s.pass()
		}
	}
}

// sweeper is the sweeper's own memory. A new leader's starts with what it has seen as a follower.
type sweeper struct {
	*Region
	epoch      uint64 // the dedup epoch, and since when, by this replica
	epochSince time.Time
	marks      []mark
	pending    pending
	trimmedAt  time.Time
	below      uint64 // where the last trim of tombstones went to
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
	s.trim(l, now, meta)
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
	var kill []api.SessionID
	alive := make(map[api.Nonce]bool, len(sessions))
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

func (s *sweeper) overLocked(l *lead, x *fsm.Session, now api.ClockSample) bool {
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
func (s *sweeper) renewedLocked(l *lead, x *fsm.Session, now api.ClockSample) bool {
	base, ok := l.extended[x.ID]
	if _, suspected := s.suspected[x.ID]; !ok || suspected {
		return false
	}
	h := l.holders[x.ID]
	return (h == nil || h.standing != refused) && now.GrantorElapsed(base) < api.GrantorWait(x.Term, x.Pause)+s.cfg.Linger
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

// trim ends what is too old: tombstones, dedup epochs, results. While there is much of it, at every pass.
func (s *sweeper) trim(l *lead, now time.Time, meta fsm.Meta) {
	if now.Sub(s.epochSince) >= s.cfg.DedupEpoch {
		s.try(fsm.AdvanceDedupEpoch{Term: l.term})
		return
	}
	if now.Sub(s.trimmedAt) < trimEvery && max(meta.Tombstones, meta.Records) <= trimLimit {
		return
	}
	s.trimmedAt = now
	old := s.marks[0]
	if now.Sub(old.at) >= s.cfg.TombstoneAge && (meta.Tombstones > trimLimit || meta.Tombstones > 0 && old.counter >= s.below) {
		s.below = old.counter + 1
		s.try(fsm.TrimTombstones{Term: l.term, Below: s.below, Limit: trimLimit})
	}
	if meta.Records > 0 && meta.DedupEpoch >= fsm.DedupEpochs {
		s.try(fsm.ExpireDedup{Term: l.term, Limit: trimLimit})
	}
}

// try proposes c. What fails now is tried again by a later pass.
func (s *sweeper) try(c fsm.Command) {
	if err := s.judgement(c); err != nil {
		s.cfg.Logger.Debug("a sweep could not be proposed", "group", s.cfg.Group, "error", err)
	}
}
