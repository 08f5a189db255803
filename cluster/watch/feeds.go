package watch

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
)

// apartTime is how long a group's leader is believed to serve one piece at a time.
const apartTime = 30 * time.Second

// start opens a feed for the pieces of each group that follow no other ones, unless there is one for just these.
func (m *merge) start(ctx context.Context) {
	if !m.stale {
		return
	}
	m.stale = false
	all := make([]words.Piece, len(m.at.Pieces))
	for i := range all {
		all[i] = m.at.Pieces[i].Piece
	}
	sets := m.sets()
	m.alone = len(sets) == 1 && len(sets[0]) == len(all)
	for _, set := range sets {
		if !m.served(set, all) {
			m.open(ctx, set, all)
		}
	}
}

// sets divides the pieces that have begun, or can begin, into those that are to have one feed: the ones of one group. A piece of which
// the group has yet to say that it knows it has a feed of its own: the others do not wait for it. Of two shards of a range that a group
// had one after the other, the earlier one is with the group's other pieces: these wait for the later one, and it waits for them.
func (m *merge) sets() (sets [][]int) {
	order := make([]int, len(m.pieces))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(m.at.Pieces[i].Epoch, m.at.Pieces[j].Epoch) })
	for _, i := range order {
		p := &m.at.Pieces[i]
		if m.pieces[i].by == nil && cursor.Held(p.Piece, m.at.Pieces) {
			continue
		}
		if n := slices.IndexFunc(sets, func(set []int) bool { return m.joins(i, set) }); n >= 0 {
			sets[n] = append(sets[n], i)
		} else {
			sets = append(sets, []int{i})
		}
	}
	return sets
}

// joins reports whether piece i is to have one feed with others.
func (m *merge) joins(i int, set []int) bool {
	p := &m.at.Pieces[i]
	if _, apart := m.apart[p.Group]; apart || !guardOneFeed || !m.pieces[i].known || len(set) == words.MaxFeedPieces {
		return false
	}
	for _, n := range set {
		if o := &m.at.Pieces[n]; o.Group != p.Group || !m.pieces[n].known || o.Range.Overlaps(p.Range) {
			return false
		}
	}
	return true
}

// served reports whether just these pieces have one feed. One that was halted counts until there are other pieces beside it.
func (m *merge) served(set []int, all []words.Piece) bool {
	f := m.pieces[set[0]].by
	if f == nil || len(f.parts) != len(set) || f.halted && !slices.Equal(f.all, all) {
		return false
	}
	return !slices.ContainsFunc(set, func(i int) bool { return m.pieces[i].by != f })
}

// open opens one feed for the pieces, at their positions, in place of those that they have.
func (m *merge) open(ctx context.Context, set []int, all []words.Piece) {
	f := &follower{merge: m, all: all}
	for i, p := range m.at.Pieces {
		switch {
		case !slices.Contains(set, i):
			f.beside = append(f.beside, p.Piece)
			continue
		case m.pieces[i].by != nil:
			m.pieces[i].by.cancel()
		}
		m.pieces[i].by = f
		f.parts = append(f.parts, words.FeedPart{Piece: p.Piece, After: p.At})
	}
	f.beside = f.beside[:min(len(f.beside), words.MaxFeedPieces)]
	f.now = !guardMovedSince && f.parts[0].After.Index == 0
	ctx, f.cancel = context.WithCancel(ctx)
	m.hub.upstreams.Add(1)
	m.group.Go(func() {
		defer m.hub.upstreams.Add(-1)
		defer f.cancel()
		f.run(ctx)
	})
}

// known notes that the group knows the pieces. If it has halted the feed, it serves several at a time.
func (m *merge) known(places []int, halted bool) {
	group := m.at.Pieces[places[0]].Group
	if until, apart := m.apart[group]; apart && (halted || time.Now().After(until)) {
		delete(m.apart, group)
		m.stale = true
	}
	for _, i := range places {
		if !m.pieces[i].known {
			m.pieces[i].known, m.stale = true, true
		}
	}
}

// split gives each of the pieces of a feed one of its own: because the group does not know one of them, or serves one at a time.
func (m *merge) split(places []int, apart bool) {
	m.stale = true
	if apart {
		m.apart[m.at.Pieces[places[0]].Group] = time.Now().Add(apartTime)
		return
	}
	for _, i := range places {
		m.pieces[i].known = false
	}
}

// equalize has the pieces of each group begin at one position, the earliest that it has said since it was asked: what one command
// changed in several pieces is then told as a whole, or not at all. A later one may be beyond what a piece was given up by, and then the
// group, to which its keys have come back, tells of that piece what it does not tell of the others.
func equalize(pieces []cursor.Piece) {
	earliest := map[api.GroupID]words.Position{}
	for _, p := range pieces {
		at, ok := earliest[p.Group]
		earlier := p.At.Index < at.Index
		if !guardEarliest {
			earlier = p.At.Index > at.Index
		}
		if !ok || at.Incarnation == p.At.Incarnation && earlier {
			earliest[p.Group] = p.At
		}
	}
	for i := range pieces {
		if at := &pieces[i].At; guardOneFeed && at.Incarnation == earliest[pieces[i].Group].Incarnation {
			*at = earliest[pieces[i].Group]
		}
	}
}
