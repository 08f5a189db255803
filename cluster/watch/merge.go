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
// was told is at or below it, and no command is split.
type merge struct {
	hub      *Hub
	keysOnly bool
	emit     func(*round) error // takes a round; an error ends the merge
	arrivals chan arrival
	group    sync.WaitGroup

	at      *cursor.Cursor // of what was handed over; never changed in place
	pieces  []*follower    // of at, in its order
	started map[*follower]bool
	asOf    map[*follower]time.Time // all that was acknowledged by then has been told
}

// round is what a merge tells at once.
type round struct {
	before, after *cursor.Cursor
	parts         []part
	bytes         int
	asOf          time.Time // all that was acknowledged by then has been told; zero: it is not known
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
	m.started, m.asOf = map[*follower]bool{}, map[*follower]time.Time{}
	m.at = at
	for _, p := range at.Pieces {
		m.pieces = append(m.pieces, &follower{merge: m, piece: p})
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

// hand gives an arrival to the merge, which may take its time: that holds the feed back. It is false if ctx has ended.
func (m *merge) hand(ctx context.Context, a arrival) bool {
	select {
	case m.arrivals <- a:
		return true
	case <-ctx.Done():
		return false
	}
}

// start opens the feeds of the pieces that follow no other one.
func (m *merge) start(ctx context.Context) {
	for _, f := range m.pieces {
		if m.started[f] || cursor.Held(f.piece.Piece, m.at.Pieces) {
			continue
		}
		m.started[f] = true
		ctx, cancel := context.WithCancel(ctx)
		f.cancel = cancel
		m.hub.upstreams.Add(1)
		m.group.Go(func() {
			defer m.hub.upstreams.Add(-1)
			defer cancel()
			f.run(ctx)
		})
	}
}

// round takes the arrival and, if there are several pieces, what else is there, and hands it over.
func (m *merge) round(ctx context.Context, a arrival) error {
	r := &round{before: m.at}
	began := time.Now()
	for {
		if err := m.take(r, a); err != nil {
			return err
		}
		m.start(ctx)
		if len(m.pieces) == 1 || r.bytes >= roundBytes || time.Since(began) >= roundTime || ctx.Err() != nil {
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
	return m.emit(r)
}

// oldest returns the instant up to which all pieces are complete.
func (m *merge) oldest() (all time.Time) {
	for i, f := range m.pieces {
		at := m.asOf[f]
		if i == 0 || at.Before(all) {
			all = at
		}
	}
	return all
}

// take puts an arrival into the round, and moves the position behind it.
func (m *merge) take(r *round, a arrival) error {
	f, b := a.from, a.batch
	i := slices.Index(m.pieces, f)
	switch {
	case a.err != nil:
		return a.err
	case i < 0:
		return nil // of a feed that was given up
	case a.gone:
		m.lost(r, i)
		return nil
	}
	piece := m.at.Pieces[i]
	if b.Gap != "" {
		m.gap(r, i, b)
	}
	m.events(r, i, piece.Piece, b)
	if b.Age > 0 {
		m.hub.metrics.delay(b.Age.Seconds())
	}
	switch {
	case !b.AsOf.IsZero():
		m.asOf[f] = b.AsOf
	case b.Age > 0:
		m.asOf[f] = time.Now().Add(-b.Age)
	}
	m.move(i, b.To)
	if n := len(r.parts); n > 0 {
		r.parts[n-1].at = m.at
	}
	if b.Moved != nil {
		m.moved(i, b.Moved)
		if n := len(r.parts); n > 0 {
			r.parts[n-1].at = m.at
		}
	}
	return nil
}

// move makes to the position of piece i.
func (m *merge) move(i int, to words.Position) {
	next := *m.at
	next.Pieces = slices.Clone(next.Pieces)
	next.Pieces[i].At = to
	m.at = &next
}

// gap tells what the feed of piece i cannot. If events follow, it ends just before the first.
func (m *merge) gap(r *round, i int, b *words.FeedBatch) {
	end := b.To
	if len(b.Events) > 0 {
		end.Index = b.Events[0].Index - 1
	}
	m.move(i, end)
	p := m.at.Pieces[i]
	m.tellGap(r, gap{p.Piece, b.Gap, cursor.Origin{Epoch: p.Epoch, At: end}})
}

func (m *merge) tellGap(r *round, g gap) {
	m.hub.metrics.gaps(1, string(g.reason))
	if guardGap {
		r.parts = append(r.parts, part{gap: &g, at: m.at})
		r.bytes += eventBytes
	}
}

// events tells those of a batch of piece i. If it is the only piece, each command is a part of its own, with its position; else all
// that the round has since the last gap is one part.
func (m *merge) events(r *round, i int, p words.Piece, b *words.FeedBatch) {
	for n, e := range b.Events {
		origin := cursor.Origin{Epoch: p.Epoch, At: words.Position{Incarnation: b.To.Incarnation, Index: e.Index}}
		last := len(r.parts) - 1
		switch whole := n == 0 || b.Events[n-1].Index != e.Index; {
		case last < 0 || r.parts[last].gap != nil, !guardWhole, whole && len(m.pieces) == 1:
			r.parts = append(r.parts, part{})
			last++
		}
		x := &r.parts[last]
		x.events, x.origins = append(x.events, e.Event), append(x.origins, origin)
		r.bytes += len(e.Key) + len(e.Value) + eventBytes
		if end := n+1 == len(b.Events) || b.Events[n+1].Index != e.Index; end || !guardWhole {
			m.move(i, origin.At)
			x.at = m.at
		}
	}
}

// eventBytes is what an event takes beside its key and value.
const eventBytes = 200

// moved replaces piece i by what is left of it, at its position, and by the pieces of the new owners, from where they took over. These
// begin when all earlier owners of their keys have told all.
func (m *merge) moved(i int, to *words.Moved) {
	next := m.without(i)
	next.replace(m.at.Range, m.at.Pieces[i], to, m.asOf[m.pieces[i]])
	m.become(next)
}

// replace adds what is left of a piece of which a part has moved, and the pieces of the new owners.
func (n *plan) replace(within api.Range, p cursor.Piece, to *words.Moved, asOf time.Time) {
	for _, rest := range minus(p.Range, to.Range) {
		x := p
		x.Range = rest
		n.add(within, x, asOf)
	}
	part, ok := p.Range.Intersect(to.Range)
	for i, g := range to.To {
		x := words.Piece{Range: part, Index: uint32(i), Of: uint32(len(to.To)), Epoch: to.Epoch, Group: g}
		if ok && cursor.Overlap(p.Piece, x) {
			n.add(within, cursor.Piece{Piece: x}, asOf)
		}
	}
}

// lost replaces what the map has at a later epoch of piece i by the map's pieces, since no group knows what became of it, and tells a
// gap.
func (m *merge) lost(r *round, i int) {
	f, p := m.pieces[i], m.at.Pieces[i]
	next := m.without(i)
	now := m.hub.cfg.Map()
	var gaps []gap
	for _, s := range now.Spans(p.Range) {
		part := p
		part.Range = s.Range
		if s.Epoch <= p.Epoch {
			next.add(m.at.Range, part, m.asOf[f])
			continue
		}
		for _, x := range piecesOf(now, s.Range) {
			if cursor.Overlap(p.Piece, x.Piece) {
				next.add(m.at.Range, x, m.asOf[f])
			}
		}
		gaps = append(gaps, gap{part.Piece, api.GapGone, cursor.Origin{Epoch: s.Epoch}})
	}
	m.become(next)
	for _, g := range gaps {
		m.tellGap(r, g)
	}
}

// plan is the pieces that a merge is to have, with their followers.
type plan struct {
	pieces    []cursor.Piece
	followers []*follower
	asOf      []time.Time
}

// without is the pieces of the merge but piece i, whose feed ends.
func (m *merge) without(i int) *plan {
	m.pieces[i].cancel()
	next := &plan{}
	for n, f := range m.pieces {
		if n != i {
			next.pieces, next.followers = append(next.pieces, m.at.Pieces[n]), append(next.followers, f)
			next.asOf = append(next.asOf, m.asOf[f])
		}
	}
	return next
}

// add adds a piece unless it is there already: several pieces can have moved to the same owner.
func (n *plan) add(within api.Range, p cursor.Piece, asOf time.Time) {
	x, ok := cursor.Clip(p.Piece, within)
	if !ok {
		return
	}
	p.Piece = x
	for i, o := range n.pieces {
		same := o.Group == p.Group && o.Epoch == p.Epoch && o.Index == p.Index && o.Of == p.Of
		if same && o.Range.ContainsRange(p.Range) {
			n.asOf[i] = earlier(n.asOf[i], asOf)
			return
		}
		if same && o.At.Index == 0 && p.At.Index == 0 && o.Range.Overlaps(p.Range) {
			n.pieces[i].Range = union(o.Range, p.Range)
			if f := n.followers[i]; f != nil && f.cancel != nil {
				f.cancel()
			}
			n.followers[i] = nil
			n.asOf[i] = earlier(n.asOf[i], asOf)
			return
		}
	}
	n.pieces, n.followers, n.asOf = append(n.pieces, p), append(n.followers, nil), append(n.asOf, asOf)
}

// become makes the plan the pieces of the merge.
func (m *merge) become(n *plan) {
	m.at = &cursor.Cursor{Range: m.at.Range, Pieces: n.pieces}
	started, asOf := map[*follower]bool{}, map[*follower]time.Time{}
	for i, f := range n.followers {
		if f == nil {
			f = &follower{merge: m, piece: n.pieces[i], now: !guardMovedSince && n.pieces[i].At.Index == 0}
			n.followers[i] = f
		}
		started[f], asOf[f] = m.started[f], n.asOf[i]
	}
	m.pieces, m.started, m.asOf = n.followers, started, asOf
}

// minus returns what is left of a range without a part of it.
func minus(r, part api.Range) (rest []api.Range) {
	if !r.Overlaps(part) {
		return []api.Range{r}
	}
	if r.Start < part.Start {
		rest = append(rest, api.Range{Start: r.Start, End: part.Start})
	}
	if part.End != "" && (r.End == "" || part.End < r.End) {
		rest = append(rest, api.Range{Start: part.End, End: r.End})
	}
	return rest
}

// union returns the least range that has both.
func union(a, b api.Range) api.Range {
	u := api.Range{Start: min(a.Start, b.Start), End: max(a.End, b.End)}
	if a.End == "" || b.End == "" {
		u.End = ""
	}
	return u
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
