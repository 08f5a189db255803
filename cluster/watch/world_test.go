package watch

import (
	"context"
	"fmt"
	"maps"
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
	onList  func()                 // called in the middle of a list
	hold    chan struct{}          // if not nil, feeds begin once it is closed
	denied  func(r api.Range) bool // if not nil, whether feeds of a range are refused to this node
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

// newWorld has one range with the groups as its owners.
func newWorld(groups ...api.GroupID) *world {
	w := &world{groups: map[api.GroupID]*group{}, changed: make(chan struct{}), broken: make(chan struct{}), down: map[api.GroupID]bool{}}
	w.m = &placement.Map{Version: 1, Ranges: []placement.Span{{Epoch: 1, Groups: groups}}}
	for i, g := range groups {
		x := w.group(g)
		x.owned = []owned{{words.Piece{Index: uint32(i), Of: uint32(len(groups)), Epoch: 1, Group: g}, 1}}
	}
	return w
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
	var piece words.Piece
	for k := range values {
		g, p := w.owner(k)
		if g == nil || of != nil && (of != g || piece.Epoch != p.Epoch) {
			return false
		}
		of, piece = g, p
	}
	of.index++
	for _, k := range slices.Sorted(maps.Keys(values)) {
		v := api.Version{Epoch: piece.Epoch, Index: of.index}
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
	next := &placement.Map{Version: w.m.Version + 1}
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
	f := &feed{w: w, ctx: ctx, r: *r, at: r.After, broken: w.broken, opened: time.Now()}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

type feed struct {
	w      *world
	ctx    context.Context
	r      words.FeedRequest
	at     words.Position
	begun  bool
	broken chan struct{}
	opened time.Time
}

// check reports whether the group owns the piece or gave it up. The caller holds mu.
func (f *feed) check() error {
	g := f.w.groups[f.r.Group]
	if f.w.down[f.r.Group] {
		return &api.Error{Code: api.CodeUnavailable, Hint: "the group is down"}
	}
	if g != nil && (len(f.parts(g)) > 0 || len(f.receipts(g)) > 0) {
		return nil
	}
	return &api.Error{Code: api.CodeWrongGroup}
}

func (f *feed) is(p words.Piece) bool {
	return p.Epoch == f.r.Epoch && p.Index == f.r.Index && p.Of == f.r.Of && p.Range.Overlaps(f.r.Range)
}

func (f *feed) parts(g *group) (all []owned) {
	for _, o := range g.owned {
		if f.is(o.piece) {
			all = append(all, o)
		}
	}
	return all
}

func (f *feed) receipts(g *group) (all []given) {
	for _, o := range g.given {
		if f.is(o.piece) {
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
	if !f.begun {
		f.begun = true
		return f.begin(g), nil
	}
	if f.at.Index < g.floor {
		f.at.Index = g.floor
		return &words.FeedBatch{To: f.at, Gap: api.GapTrimmed}, nil
	}
	limit := g.index
	moved := f.moved(g)
	if moved != nil {
		limit = moved.at
	}
	b := &words.FeedBatch{To: words.Position{Incarnation: g.incarnation, Index: limit}}
	for _, e := range g.history {
		if e.index <= f.at.Index || e.index > limit || e.Version.Epoch != f.r.Epoch || !f.has(e.Key) {
			continue
		}
		if len(b.Events) >= 5 && e.index != b.Events[len(b.Events)-1].Index {
			b.To.Index, moved = b.Events[len(b.Events)-1].Index, nil // more next time
			break
		}
		x := e.Event
		if f.r.KeysOnly {
			x.Value = nil
		}
		b.Events = append(b.Events, words.FeedEvent{Event: x, Index: e.index})
	}
	if moved != nil {
		b.Moved = &words.Moved{Range: moved.piece.Range, Epoch: moved.epoch, To: moved.to}
	}
	f.at = b.To
	if len(b.Events) == 0 && b.Moved == nil {
		return nil, nil
	}
	return b, nil
}

func (f *feed) has(k api.Key) bool {
	return f.r.Range.Contains(k) && ident.ShardOf(k, f.r.Of) == f.r.Index
}

// begin is the first batch: where the feed begins, and a gap before.
func (f *feed) begin(g *group) *words.FeedBatch {
	if f.r.Now {
		f.at = words.Position{Incarnation: g.incarnation, Index: g.index}
		b := &words.FeedBatch{To: f.at, Age: time.Millisecond}
		if x := f.moved(g); x != nil {
			b.Moved = &words.Moved{Range: x.piece.Range, Epoch: x.epoch, To: x.to}
		}
		return b
	}
	at, inc := f.at.Index, f.at.Incarnation
	if at == 0 {
		at, inc = f.since(g), g.incarnation
	}
	reason := api.GapReason("")
	switch {
	case inc != g.incarnation:
		reason = api.GapRestored
	case at < g.floor:
		reason = api.GapTrimmed
	}
	f.at = words.Position{Incarnation: g.incarnation, Index: at}
	if reason == "" {
		return &words.FeedBatch{To: f.at}
	}
	f.at.Index = max(g.floor, f.since(g))
	return &words.FeedBatch{To: f.at, Gap: reason}
}

// since returns where the group took the piece over.
func (f *feed) since(g *group) (at uint64) {
	for _, o := range f.parts(g) {
		at = o.since
	}
	for _, o := range f.receipts(g) {
		at = o.since
	}
	return at
}

// moved returns the first receipt of a part of the piece.
func (f *feed) moved(g *group) (first *given) {
	for _, x := range f.receipts(g) {
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
	f := feed{w: w, r: words.FeedRequest{Piece: p}}
	if len(f.parts(g)) == 0 {
		return words.Listed{}, &api.Error{Code: api.CodeUnavailable, Hint: "it has moved"}
	}
	at := words.Listed{Piece: p, At: words.Position{Incarnation: g.incarnation, Index: g.index}}
	n := 0
	for _, k := range slices.Sorted(maps.Keys(g.keys)) {
		if !f.has(k) {
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
	whole  int // how many of log came before the cursor
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
		c.log, c.whole, c.resets, c.ready = nil, 0, c.resets+1, false
	}
	c.log = append(c.log, b.Events...)
	if b.Gap != nil {
		c.gaps = append(c.gaps, *b.Gap)
	}
	if b.Cursor != "" {
		c.cursor, c.whole = b.Cursor, len(c.log)
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
