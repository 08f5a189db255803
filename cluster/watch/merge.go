package watch

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
)

// merge joins the feeds of the pieces of a range into one. It hands over rounds, and after each has a position that is whole: all that
// was told is at or below it, and no command is split. The pieces of one group have one feed, so that what a command changed in several
// of them comes together.
type merge struct {
	hub      *Hub
	keysOnly bool
	emit     func(*round) error // takes a round; an error ends the merge
	arrivals chan arrival
	group    sync.WaitGroup

	at     *cursor.Cursor            // of what was handed over; never changed in place
	pieces []followed                // those of at, in its order
	apart  map[api.GroupID]time.Time // groups whose leader serves one piece at a time, and until when that is believed
	stale  bool                      // the pieces have changed since start looked at them
	alone  bool                      // all pieces have one feed
}

// followed is what a merge knows of a piece.
type followed struct {
	by    *follower // its feed; nil: it has none yet
	known bool      // its group knows it, or did when the position was told
	asOf  time.Time // all that was acknowledged by then has been told
}

// round is what a merge tells at once.
type round struct {
	before, after *cursor.Cursor
	parts         []part
	bytes         int
	asOf          time.Time // all that was acknowledged by then has been told; zero: it is not known
	halted        bool      // a feed waits for an earlier owner of a range that its group took over
}

// part is what becomes one batch of a watch: events, or a gap.
type part struct {
	events  []api.Event
	origins []cursor.Origin // of each event
	gap     *gap
	at      *cursor.Cursor // behind the part
}

type gap struct {
	piece  words.Piece
	reason api.GapReason
	end    cursor.Origin
}

// run merges from the position until ctx ends, emit refuses a round or a feed is refused. It waits for what it started.
func (m *merge) run(ctx context.Context, at *cursor.Cursor) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer m.group.Wait()
	defer cancel()
	defer m.hub.cfg.Faults.Catch("watch", &err)
	m.arrivals = make(chan arrival)
	m.apart = map[api.GroupID]time.Time{}
	m.at, m.stale = at, true
	for _, p := range at.Pieces {
		m.pieces = append(m.pieces, followed{known: knows(p.At)})
	}
	for {
		m.start(ctx)
		select {
		case a := <-m.arrivals:
			if err := m.round(ctx, a); err != nil {
				return err
			}
		case <-ctx.Done():
			return ended(ctx)
		}
	}
}

// knows reports whether a group has named the position. The zero position is where the group is to take over.
func knows(at words.Position) bool { return at != words.Position{} }

// hand gives an arrival to the merge, which may take its time: that holds the feed back. It is false if ctx has ended.
func (m *merge) hand(ctx context.Context, a arrival) bool {
	select {
	case m.arrivals <- a:
		return true
	case <-ctx.Done():
		return false
	}
}

// round takes the arrival and, if there are several feeds, what else is there, and hands it over.
func (m *merge) round(ctx context.Context, a arrival) error {
	r := &round{before: m.at}
	began := time.Now()
	for {
		if err := m.take(r, a); err != nil {
			return err
		}
		m.start(ctx)
		if m.alone || r.bytes >= roundBytes || time.Since(began) >= roundTime || ctx.Err() != nil {
			break
		}
		more := false
		select {
		case a, more = <-m.arrivals:
		default:
		}
		if !more {
			break
		}
	}
	r.after = m.at
	r.asOf = m.oldest()
	r.halted = slices.ContainsFunc(m.pieces, func(p followed) bool { return p.by != nil && p.by.halted })
	return m.emit(r)
}

// oldest returns the instant up to which all pieces are complete.
func (m *merge) oldest() (all time.Time) {
	for i := range m.pieces {
		if at := m.pieces[i].asOf; i == 0 || at.Before(all) {
			all = at
		}
	}
	return all
}

// take puts an arrival into the round, and moves the position behind it.
func (m *merge) take(r *round, a arrival) error {
	f, b := a.from, a.batch
	places := m.places(f)
	switch {
	case len(places) == 0:
		return nil // of a feed that was given up
	case a.err != nil:
		return a.err
	case a.gone:
		m.lost(r, places[0])
		return nil
	case a.split || a.apart:
		m.split(places, a.apart)
		return nil
	case len(b.Parts) > 0 && len(b.Parts) != len(places), b.Moved != nil && int(b.Moved.Part) >= len(places):
		return api.Errorf(api.CodeInternal, "the feed of %d pieces of the group %s tells of others", len(places), f.parts[0].Group)
	}
	m.known(places, b.Halted)
	m.gaps(r, places, b)
	m.events(r, places, b)
	m.note(places, b)
	m.move(places, b.To)
	if n := len(r.parts); n > 0 {
		r.parts[n-1].at = m.at
	}
	if b.Moved != nil {
		m.moved(places[b.Moved.Part], b.Moved)
		if n := len(r.parts); n > 0 {
			r.parts[n-1].at = m.at
		}
	}
	if b.Halted {
		f.halted, m.stale = true, true
	}
	return nil
}

// places returns which pieces have the feed, in the order in which the feed has them. There are none if it was given up.
func (m *merge) places(f *follower) (all []int) {
	for i := range m.pieces {
		if m.pieces[i].by == f {
			all = append(all, i)
		}
	}
	return all
}

// note notes how old the position of the pieces is.
func (m *merge) note(places []int, b *words.FeedBatch) {
	if b.Age > 0 {
		m.hub.metrics.delay(b.Age.Seconds())
	}
	asOf := b.AsOf
	if asOf.IsZero() && b.Age > 0 {
		asOf = time.Now().Add(-b.Age)
	}
	if asOf.IsZero() {
		return
	}
	for _, i := range places {
		m.pieces[i].asOf = asOf
	}
}

// move makes to the position of the pieces that are not beyond it.
func (m *merge) move(places []int, to words.Position) {
	next := *m.at
	next.Pieces = slices.Clone(next.Pieces)
	for _, i := range places {
		if at := &next.Pieces[i].At; at.Incarnation != to.Incarnation || at.Index < to.Index {
			*at = to
		}
	}
	m.at = &next
}

// set makes to the position of piece i.
func (m *merge) set(i int, to words.Position) {
	next := *m.at
	next.Pieces = slices.Clone(next.Pieces)
	next.Pieces[i].At = to
	m.at = &next
}

// gaps tells what the feed of the pieces cannot tell, and has them go on behind that.
func (m *merge) gaps(r *round, places []int, b *words.FeedBatch) {
	if b.Gap != "" && len(b.Parts) == 0 {
		end := b.To
		if len(b.Events) > 0 { // it ends just before the first
			end.Index = b.Events[0].Index - 1
		}
		m.gap(r, places[0], b.Gap, end)
	}
	for n, p := range b.Parts {
		if m.set(places[n], p.To); p.Gap != "" {
			m.gap(r, places[n], p.Gap, p.To)
		}
	}
}

func (m *merge) gap(r *round, i int, reason api.GapReason, end words.Position) {
	m.set(i, end)
	p := m.at.Pieces[i]
	m.tellGap(r, gap{p.Piece, reason, cursor.Origin{Epoch: p.Epoch, At: end}})
}

func (m *merge) tellGap(r *round, g gap) {
	m.hub.metrics.gaps(1, string(g.reason))
	if guardGap {
		r.parts = append(r.parts, part{gap: &g, at: m.at})
		r.bytes += eventBytes
	}
}

// events tells those of a batch of the pieces. If these are all, each command is a part of its own, with its position; else all that the
// round has since the last gap is one part.
func (m *merge) events(r *round, places []int, b *words.FeedBatch) {
	for n, e := range b.Events {
		at := words.Position{Incarnation: b.To.Incarnation, Index: e.Index}
		last := len(r.parts) - 1
		switch whole := n == 0 || b.Events[n-1].Index != e.Index; {
		case last < 0 || r.parts[last].gap != nil, !guardWhole, whole && m.alone:
			r.parts = append(r.parts, part{})
			last++
		}
		x := &r.parts[last]
		x.events, x.origins = append(x.events, e.Event), append(x.origins, cursor.Origin{Epoch: m.epochOf(places, e.Key), At: at})
		r.bytes += len(e.Key) + len(e.Value) + eventBytes
		if end := n+1 == len(b.Events) || b.Events[n+1].Index != e.Index; end || !guardWhole {
			m.move(places, at)
			x.at = m.at
		}
	}
}

// epochOf returns the epoch of that of the pieces which has the key.
func (m *merge) epochOf(places []int, k api.Key) uint64 {
	for _, i := range places[1:] {
		if m.at.Pieces[i].Range.Contains(k) {
			return m.at.Pieces[i].Epoch
		}
	}
	return m.at.Pieces[places[0]].Epoch
}

// eventBytes is what an event takes beside its key and value.
const eventBytes = 200
