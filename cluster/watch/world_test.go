package watch

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// world is groups with their histories, in memory, and the map of who owns what. It serves feeds and lists as routers do.
type world struct {
	mu      sync.Mutex
	m       *placement.Map
	groups  map[api.GroupID]*group
	changed chan struct{}
	told    []told // all that became visible, in order
	feeds   int    // requests for feeds, but those for the present position
	nows    int
	broken  chan struct{} // closed when all feeds break
	down    map[api.GroupID]bool
	onNow   func()                 // called before the present position is told, if not nil
	onList  func()                 // called in the middle of a list
	hold    chan struct{}          // if not nil, feeds begin once it is closed
	denied  func(r api.Range) bool // if not nil, whether feeds of a range are refused to this node
	old     bool                   // the nodes serve one piece at a time
}

type told struct {
	api.Event
	group       api.GroupID
	incarnation uint64
	index       uint64
}

type group struct {
	id                 api.GroupID
	incarnation, index uint64
	floor              uint64
	owned              []owned
	given              []given
	history            []told
	keys               map[api.Key]api.Entry
}

type owned struct {
	piece words.Piece
	since uint64
}

// given is a receipt.
type given struct {
	owned
	at    uint64
	epoch uint64
	to    []api.GroupID
}

// allGroups are the groups that a world may have.
var allGroups = func() (all []placement.Group) {
	for _, id := range []api.GroupID{"g", "h", "i", "j", "k", "x", "y", "z"} {
		all = append(all, placement.Group{ID: id})
	}
	return all
}()

// newWorld has one range with the groups as its owners.
func newWorld(groups ...api.GroupID) *world {
	w := &world{groups: map[api.GroupID]*group{}, changed: make(chan struct{}), broken: make(chan struct{}), down: map[api.GroupID]bool{}}
	w.m = &placement.Map{Version: 1, Groups: allGroups, Ranges: []placement.Span{{Epoch: 1, Groups: groups}}}
	for i, g := range groups {
		x := w.group(g)
		x.owned = []owned{{words.Piece{Index: uint32(i), Of: uint32(len(groups)), Epoch: 1, Group: g}, 0}}
	}
	return w
}

// divide makes two ranges of the only one, with the same owners.
func (w *world) divide(at api.Key) {
	for _, g := range w.groups {
		o := g.owned[0]
		left, right := o, o
		left.piece.Range.End, right.piece.Range.Start = at, at
		g.owned = []owned{left, right}
	}
	w.learn()
}

func (w *world) group(g api.GroupID) *group {
	if w.groups[g] == nil {
		w.groups[g] = &group{id: g, incarnation: 1, index: 1, keys: map[api.Key]api.Entry{}}
	}
	return w.groups[g]
}

func (w *world) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) placement() *placement.Map {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.m
}

// owner returns the group that owns the key, and the piece.
func (w *world) owner(k api.Key) (*group, words.Piece) {
	for _, g := range w.groups {
		for _, o := range g.owned {
			if o.piece.Range.Contains(k) && ident.ShardOf(k, o.piece.Of) == o.piece.Index {
				return g, o.piece
			}
		}
	}
	return nil, words.Piece{}
}

// write is one command that puts the keys, or deletes those with an empty value; all must be of one group. It reports whether they are.
func (w *world) write(values map[api.Key]string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	var of *group
	pieces := map[api.Key]words.Piece{}
	for k := range values {
		g, p := w.owner(k)
		if g == nil || of != nil && of != g {
			return false
		}
		of, pieces[k] = g, p
	}
	of.index++
	for _, k := range slices.Sorted(maps.Keys(values)) {
		v := api.Version{Epoch: pieces[k].Epoch, Index: of.index}
		e := api.Event{Kind: api.EventPut, Key: k, Version: v, Value: []byte(values[k])}
		if values[k] == "" {
			if _, ok := of.keys[k]; !ok {
				continue
			}
			e.Kind, e.Value = api.EventDelete, nil
			delete(of.keys, k)
		} else {
			of.keys[k] = api.Entry{Key: k, Value: e.Value, Version: v, Exists: true}
		}
		x := told{e, of.id, of.incarnation, of.index}
		of.history = append(of.history, x)
		w.told = append(w.told, x)
	}
	w.wake()
	return true
}

func (w *world) put(k api.Key, v string) { w.write(map[api.Key]string{k: v}) }

// cede makes the owners of a range give it up to others, and adopt makes these take it; the map learns of it with the last.
func (w *world) cede(r api.Range, from api.GroupID, to ...api.GroupID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.groups[from]
	for i, o := range g.owned {
		x, ok := o.piece.Range.Intersect(r)
		if !ok {
			continue
		}
		g.owned = slices.Delete(slices.Clone(g.owned), i, i+1)
		g.index++
		part := o
		part.piece.Range = x
		g.given = append(g.given, given{part, g.index, o.piece.Epoch + 1, to})
		for _, rest := range minus(o.piece.Range, x) {
			p := o
			p.piece.Range = rest
			g.owned = append(g.owned, p)
		}
		w.wake()
		return true
	}
	return false
}

func (w *world) adopt(r api.Range, epoch uint64, to ...api.GroupID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, id := range to {
		g := w.group(id)
		g.index++
		p := words.Piece{Range: r, Index: uint32(i), Of: uint32(len(to)), Epoch: epoch, Group: id}
		g.owned = append(g.owned, owned{p, g.index})
		for _, o := range w.groups { // the keys come along with their versions, as no events
			for k, e := range o.keys {
				if o != g && r.Contains(k) && ident.ShardOf(k, p.Of) == p.Index {
					g.keys[k] = e
					delete(o.keys, k)
				}
			}
		}
	}
	w.wake()
}

// learn makes the map as the groups are.
func (w *world) learn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := &placement.Map{Version: w.m.Version + 1, Groups: allGroups}
	spans := map[api.Range]*placement.Span{}
	for _, g := range w.groups {
		for _, o := range g.owned {
			s := spans[o.piece.Range]
			if s == nil {
				s = &placement.Span{Range: o.piece.Range, Epoch: o.piece.Epoch, Groups: make([]api.GroupID, o.piece.Of)}
				spans[o.piece.Range] = s
			}
			s.Groups[o.piece.Index] = g.id
		}
	}
	for _, s := range spans {
		next.Ranges = append(next.Ranges, *s)
	}
	slices.SortFunc(next.Ranges, func(a, b placement.Span) int {
		if a.Range.Start < b.Range.Start {
			return -1
		}
		return 1
	})
	w.m = next
}

// move moves a range that the groups own at the epoch.
func (w *world) move(r api.Range, epoch uint64, from []api.GroupID, to ...api.GroupID) {
	for _, g := range from {
		w.cede(r, g, to...)
	}
	w.adopt(r, epoch, to...)
	w.learn()
}

// trim drops a group's history.
func (w *world) trim(g api.GroupID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.groups[g]
	x.history, x.floor = nil, x.index
}

// forget drops a group's receipts.
func (w *world) forget(g api.GroupID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.group(g).given = nil
	w.wake()
}

// restore makes a group that of an earlier index, in a new incarnation.
func (w *world) restore(g api.GroupID, index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.groups[g]
	x.incarnation++
	x.index, x.floor, x.history = index, index, nil
	close(w.broken)
	w.broken = make(chan struct{})
	w.wake()
}

// fail breaks all feeds, as changes of leaders do.
func (w *world) fail() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.broken)
	w.broken = make(chan struct{})
}

// Feed implements [words.Feeder].
func (w *world) Feed(ctx context.Context, r *words.FeedRequest) (words.Feed, error) {
	if w.hold != nil {
		<-w.hold
	}
	if r.Now && w.onNow != nil {
		w.onNow()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.Now {
		w.nows++
	} else {
		w.feeds++
	}
	if w.denied != nil && w.denied(r.Range) {
		return nil, &api.Error{Code: api.CodeDenied}
	}
	f := &feed{w: w, ctx: ctx, r: *r, parts: r.Parts(), broken: w.broken}
	if w.old && len(r.Also) > 0 {
		return nil, &api.Error{Code: words.Apart}
	}
	if w.old {
		f.r.Beside = nil
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

// feed is a feed of several pieces, which are at parts' positions. at is that of the first.
type feed struct {
	w      *world
	ctx    context.Context
	r      words.FeedRequest
	parts  []words.FeedPart
	at     words.Position
	begun  bool
	over   bool
	broken chan struct{}
}

// check reports whether the group owns the pieces or gave them up. The caller holds mu.
func (f *feed) check() error {
	g := f.w.groups[f.r.Group]
	if f.w.down[f.r.Group] {
		return &api.Error{Code: api.CodeUnavailable, Hint: "the group is down"}
	}
	for _, p := range f.parts {
		if g == nil || len(owns(g, p.Piece)) == 0 && len(gave(g, p.Piece)) == 0 {
			return &api.Error{Code: api.CodeWrongGroup}
		}
	}
	return nil
}

// is reports whether the piece p is one of the piece that is followed.
func is(p, followed words.Piece) bool {
	return p.Epoch == followed.Epoch && p.Index == followed.Index && p.Of == followed.Of && p.Range.Overlaps(followed.Range)
}

func owns(g *group, p words.Piece) (all []owned) {
	for _, o := range g.owned {
		if is(o.piece, p) {
			all = append(all, o)
		}
	}
	return all
}

func gave(g *group, p words.Piece) (all []given) {
	for _, o := range g.given {
		if is(o.piece, p) {
			all = append(all, o)
		}
	}
	return all
}

func (f *feed) Close() error { return nil }

func (f *feed) Next() (*words.FeedBatch, error) {
	quiet := time.NewTimer(time.Second)
	defer quiet.Stop()
	for {
		b, changed, err := f.step()
		if b != nil || err != nil {
			return b, err
		}
		select {
		case <-changed:
		case <-f.broken:
			return nil, &api.Error{Code: api.CodeNotLeader}
		case <-f.ctx.Done():
			return nil, ended(f.ctx)
		case <-quiet.C:
			f.w.mu.Lock()
			defer f.w.mu.Unlock()
			if b, _ := f.batch(); b != nil {
				return b, nil
			}
			return &words.FeedBatch{To: f.at, Age: time.Millisecond}, nil
		}
	}
}

func (f *feed) step() (*words.FeedBatch, <-chan struct{}, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	select {
	case <-f.broken:
		return nil, nil, &api.Error{Code: api.CodeNotLeader}
	default:
	}
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	b, err := f.batch()
	return b, f.w.changed, err
}

// batch returns what is there. The caller holds mu.
func (f *feed) batch() (*words.FeedBatch, error) {
	g := f.w.groups[f.r.Group]
	switch {
	case f.over:
		return nil, io.EOF
	case !f.begun:
		f.begun = true
		return f.end(f.begin(g), g), nil
	case f.at.Index < g.floor:
		return f.fall(g), nil
	}
	b := &words.FeedBatch{To: words.Position{Incarnation: g.incarnation, Index: max(f.at.Index, min(g.index, f.limit(g)))}}
	for _, e := range g.history {
		if e.index <= f.at.Index || e.index > b.To.Index || !f.has(&e) {
			continue
		}
		if len(b.Events) >= 5 && e.index != b.Events[len(b.Events)-1].Index {
			b.To.Index = b.Events[len(b.Events)-1].Index // more next time
			break
		}
		x := e.Event
		if f.r.KeysOnly {
			x.Value = nil
		}
		b.Events = append(b.Events, words.FeedEvent{Event: x, Index: e.index})
	}
	f.at = b.To
	if f.end(b, g); len(b.Events) == 0 && !b.Last() {
		return nil, nil
	}
	return b, nil
}

// limit returns where the feed ends.
func (f *feed) limit(g *group) uint64 {
	limit := f.halt(g)
	for _, p := range f.parts {
		if x := moved(g, p.Piece); x != nil {
			limit = min(limit, x.at)
		}
	}
	return limit
}

// halt returns from where the group owns what follows a piece beside the feed.
func (f *feed) halt(g *group) uint64 {
	at := uint64(math.MaxUint64)
	for _, p := range f.r.Beside {
		for _, o := range g.owned {
			if p.Epoch <= o.piece.Epoch && cursor.Overlap(p, o.piece) {
				at = min(at, o.since)
			}
		}
		for _, o := range g.given {
			if p.Epoch <= o.piece.Epoch && cursor.Overlap(p, o.piece) && (f.r.Now || o.at > f.at.Index) {
				at = min(at, o.since)
			}
		}
	}
	return at
}

// end has the batch say that the feed ends there, if it does.
func (f *feed) end(b *words.FeedBatch, g *group) *words.FeedBatch {
	if f.at.Index < f.limit(g) {
		return b
	}
	f.over = true
	for i, p := range f.parts {
		if x := moved(g, p.Piece); x != nil && x.at <= f.at.Index {
			b.Moved = &words.Moved{Range: x.piece.Range, Epoch: x.epoch, To: x.to, Part: uint32(i)}
			return b
		}
	}
	b.Halted = true
	return b
}

// has reports whether the event is of a piece that is not beyond it.
func (f *feed) has(e *told) bool {
	return slices.ContainsFunc(f.parts, func(p words.FeedPart) bool {
		return e.Version.Epoch == p.Epoch && has(p.Piece, e.Key) && e.index > p.After.Index
	})
}

func has(p words.Piece, k api.Key) bool {
	return p.Range.Contains(k) && ident.ShardOf(k, p.Of) == p.Index
}

// begin is the first batch: where the pieces begin, and the gaps before.
func (f *feed) begin(g *group) *words.FeedBatch {
	f.at = words.Position{Incarnation: g.incarnation, Index: g.index}
	if f.r.Now {
		f.parts[0].After = f.at
		return &words.FeedBatch{To: f.at, Age: time.Millisecond}
	}
	b := &words.FeedBatch{}
	for i := range f.parts {
		p := &f.parts[i]
		at, inc := p.After.Index, p.After.Incarnation
		if at == 0 {
			at, inc = since(g, p.Piece), g.incarnation
		}
		x := words.PartBegin{To: words.Position{Incarnation: g.incarnation, Index: at}}
		switch {
		case inc != g.incarnation:
			x.Gap = api.GapRestored
		case at < g.floor:
			x.Gap = api.GapTrimmed
		}
		if x.Gap != "" {
			x.To.Index = max(g.floor, since(g, p.Piece))
		}
		p.After, f.at.Index = x.To, min(f.at.Index, x.To.Index)
		b.Parts = append(b.Parts, x)
	}
	return f.single(b)
}

// fall is the batch of a feed that the history has overtaken.
func (f *feed) fall(g *group) *words.FeedBatch {
	f.at.Index = g.floor
	b := &words.FeedBatch{}
	for i := range f.parts {
		x := words.PartBegin{To: f.parts[i].After}
		if x.To.Index < g.floor {
			x = words.PartBegin{To: f.at, Gap: api.GapTrimmed}
		}
		f.parts[i].After = x.To
		b.Parts = append(b.Parts, x)
	}
	return f.single(b)
}

// single makes the batch what a feed of one piece tells, if there is one.
func (f *feed) single(b *words.FeedBatch) *words.FeedBatch {
	if b.To = f.at; len(f.parts) == 1 {
		b.To, b.Gap, b.Parts = b.Parts[0].To, b.Parts[0].Gap, nil
		f.at = b.To
	}
	return b
}

// since returns where the group took the piece over.
func since(g *group, p words.Piece) (at uint64) {
	for _, o := range owns(g, p) {
		at = o.since
	}
	for _, o := range gave(g, p) {
		at = o.since
	}
	return at
}

// moved returns the first receipt of a part of the piece.
func moved(g *group, p words.Piece) (first *given) {
	for _, x := range gave(g, p) {
		if first == nil || x.at < first.at {
			first = &x
		}
	}
	return first
}

// List implements Lister. Each group is asked by itself, so that writes come between.
func (w *world) List(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	limit := q.Limit
	if limit == 0 {
		limit = api.DefaultListLimit
	}
	res := &words.ListResult{}
	for i, p := range piecesOf(w.placement(), q.Range) {
		if w.onList != nil && i > 0 {
			w.onList()
		}
		at, err := w.listPiece(p.Piece, q, limit, res)
		if err != nil {
			return nil, err
		}
		res.At = append(res.At, at)
	}
	slices.SortFunc(res.Entries, func(a, b api.Entry) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	if len(res.Entries) > limit {
		res.Entries, res.More = res.Entries[:limit], true
	}
	return res, nil
}

func (w *world) listPiece(p words.Piece, q *words.ListRequest, limit int, res *words.ListResult) (words.Listed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.groups[p.Group]
	if len(owns(g, p)) == 0 {
		return words.Listed{}, &api.Error{Code: api.CodeUnavailable, Hint: "it has moved"}
	}
	at := words.Listed{Piece: p, At: words.Position{Incarnation: g.incarnation, Index: g.index}}
	n := 0
	for _, k := range slices.Sorted(maps.Keys(g.keys)) {
		if !has(p, k) {
			continue
		}
		if n == limit {
			res.More = true
			at.Range.End = res.Entries[len(res.Entries)-1].Key + "\x00"
			break
		}
		n++
		e := g.keys[k]
		if q.KeysOnly {
			e.Value = nil
		}
		res.Entries = append(res.Entries, e)
	}
	return at, nil
}

// hub is a node of the world.
func (w *world) hub(t *testing.T) *Hub {
	t.Helper()
	h, err := New(Config{Feeder: w, Lister: w, Map: w.placement})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// client is a watcher that keeps what it is told.
type client struct {
	t      *testing.T
	s      api.WatchStream
	cursor api.Cursor
	log    []api.Event
	whole  int   // how many of log came before the cursor
	cuts   []int // how long log was at each cursor
	gaps   []api.Gap
	ready  bool
	resets int
}

func watch(t *testing.T, h *Hub, r api.WatchRequest) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // of the simulated clock
	t.Cleanup(cancel)
	s, err := h.Watch(ctx, &r)
	if err != nil {
		t.Fatalf("watch %+v: %v", r, err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &client{t: t, s: s, cursor: r.From}
}

// next takes a batch.
func (c *client) next() *api.WatchBatch {
	c.t.Helper()
	b, err := c.s.Next()
	if err != nil {
		c.t.Fatalf("after %d events: %v", len(c.log), err)
	}
	c.keep(b)
	return b
}

func (c *client) keep(b *api.WatchBatch) {
	if b.Reset {
		c.log, c.whole, c.cuts, c.resets, c.ready = nil, 0, nil, c.resets+1, false
	}
	c.log = append(c.log, b.Events...)
	if b.Gap != nil {
		c.gaps = append(c.gaps, *b.Gap)
	}
	if b.Cursor != "" {
		c.cursor, c.whole = b.Cursor, len(c.log)
		c.cuts = append(c.cuts, c.whole)
	}
	c.ready = c.ready || b.Ready
}

// take takes batches until there are n events, and until returns them.
func (c *client) take(n int) {
	c.t.Helper()
	for len(c.log) < n {
		c.next()
	}
}

func (c *client) until(n int) string {
	c.t.Helper()
	c.take(n)
	return c.text()
}

func (c *client) text() (s string) {
	for _, e := range c.log {
		s += text(e)
	}
	return s
}

func text(e api.Event) string {
	if e.Kind == api.EventPut {
		return fmt.Sprintf("%s=%.20s ", e.Key, e.Value)
	}
	return fmt.Sprintf("%s- ", e.Key)
}

func decoded(t *testing.T, c api.Cursor) *cursor.Cursor {
	t.Helper()
	x, err := cursor.Decode(c)
	if err != nil {
		t.Fatal(err)
	}
	return x
}
