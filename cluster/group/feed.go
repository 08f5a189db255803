package group

import (
	"context"
	"io"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

const (
	// MaxFeeds bounds the feeds that a group serves at once.
	MaxFeeds = 4096
	// FeedQueueBytes bounds the events that wait for one feed. A feed that falls further behind reads the history instead.
	FeedQueueBytes = 256 << 10
	// FeedScans bounds the feeds of a group that read the history at once. The others wait.
	FeedScans = 4

	feedPage  = 256 << 10       // bytes of the history that a feed reads at once
	feedBatch = 1 << 20         // bytes of keys and values after which a batch ends with the command
	feedMark  = time.Second     // between two marks
	feedOpen  = 5 * time.Second // bounds the opening of a feed
	feedSure  = 2 * time.Second // bounds the confirm of a mark
)

// feedMachine is what feeds need of the group's machine.
type feedMachine interface {
	Position() fsm.Position
	History(after uint64, limit int) (fsm.History, error)
	Tenure(piece fsm.Shard) (fsm.Tenure, bool)
	Follows(earlier []fsm.Shard, after uint64) (uint64, bool)
	ReadBefore(keys []api.Key) ([]api.Entry, []uint64, error)
}

// Feed begins a feed of pieces that the group owns or has given up. It delivers only what this node's machine has applied while
// this node leads: it ends with the lead, before anything of a higher term applies, and Next returns CodeNotLeader then. Feed
// returns CodeWrongGroup if the group neither owns the piece nor has given it up, and CodeUnavailable if the group keeps no
// history or serves [MaxFeeds] feeds already.
func (a *Authority) Feed(ctx context.Context, r *words.FeedRequest) (words.Feed, error) {
	if err := a.ours(r.Group); err != nil {
		return nil, err
	}
	of, err := newFeedOf(r)
	if err != nil {
		return nil, err
	}
	opening, cancel := context.WithTimeout(ctx, feedOpen)
	defer cancel()
	l, err := a.leader(opening)
	if err != nil {
		return nil, err
	}
	if r.Now && guardFeedConfirm {
		if err := a.confirm(opening, l); err != nil {
			return nil, err
		}
	}
	h, err := a.hub(l)
	if err != nil {
		return nil, err
	}
	f := &feed{hub: h, machine: a.feeds, request: *of}
	f.ctx, f.cancel = context.WithCancel(ctx)
	f.queue.wake = make(chan struct{}, 1)
	p, err := h.attach(f)
	if err == nil {
		err = f.begin(opening, p)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// begin decides where the feed begins. p is the machine's position when the feed was attached.
func (f *feed) begin(ctx context.Context, p fsm.Position) error {
	a, r := f.hub.authority, &f.request
	if p.Max == 0 {
		return a.errNoHistory()
	}
	sure := r.Now
	tenures := make([]fsm.Tenure, len(r.parts))
	for i := range r.parts {
		x := &r.parts[i]
		t, known := f.machine.Tenure(shardOf(&x.Piece))
		if tenures[i] = t; !known {
			return a.refusal(ctx, f.hub.lead, api.Errorf(api.CodeWrongGroup,
				"the group %s does not own %v at epoch %d, and has not given it up", a.cfg.Group, x.Range, x.Epoch))
		}
		if !sure && x.After.Index > p.Counter {
			// A leader that is certain to lead has applied everything that any leader has delivered.
			if err := a.confirm(ctx, f.hub.lead); err != nil {
				return err
			}
			p, sure = f.machine.Position(), true
		}
	}
	gaps := make([]api.GapReason, len(r.parts))
	for i := range r.parts {
		x := &r.parts[i]
		x.from, gaps[i] = startOf(r.Now, x.After, p, tenures[i])
		if i == 0 || x.from < f.to {
			f.to = x.from
		}
	}
	f.incarnation = p.Incarnation
	f.first = f.batch(nil)
	f.gaps(f.first, gaps)
	f.look()
	f.finish(f.first)
	return nil
}

// startOf returns the position at which a feed of a piece begins, and why it does not begin at the one that was asked for.
func startOf(now bool, after words.Position, p fsm.Position, t fsm.Tenure) (start uint64, gap api.GapReason) {
	start = max(after.Index, t.Since)
	foreign := after.Index > 0 && after.Incarnation != p.Incarnation && guardFeedIncarnation
	switch {
	case now, after.Index == 0 && !guardFeedSince:
		return p.Counter, ""
	case foreign || after.Index > p.Counter:
		return max(p.Floor, t.Since), api.GapRestored
	case start < p.Floor:
		return p.Floor, api.GapTrimmed
	}
	return start, ""
}

// feed is one subscriber of a hub. Apart from Close, its methods belong to one goroutine.
type feed struct {
	ctx     context.Context
	cancel  context.CancelFunc
	hub     *hub
	machine feedMachine
	request feedOf
	queue   feedQueue
	// at is its place among the hub's feeds, and news what the hub is about to queue. Both are guarded by the hub's mutex.
	at   int
	news []visible

	incarnation uint64
	to          uint64           // everything up to there has been delivered
	first       *words.FeedBatch // nil once it was returned
	end         *feedEnd         // where the feed ends; nil if that is not known
	over        bool             // a batch has said so
}

// feedEnd is why a feed ends at a position: the group gave a part of it up there, or took over what the caller follows beside it.
type feedEnd struct {
	at    uint64
	moved *words.Moved // nil: the feed is halted
}

// Close ends the feed.
func (f *feed) Close() error {
	f.cancel()
	f.hub.detach(f)
	return nil
}

// Next returns the next batch.
func (f *feed) Next() (*words.FeedBatch, error) {
	if f.over {
		return nil, io.EOF
	}
	for {
		if err := f.ended(); err != nil {
			return nil, err
		}
		b, err := f.ready()
		if err != nil {
			return nil, err
		}
		if b != nil {
			f.over = b.Last()
			f.hub.authority.metrics.feedEvents(float64(len(b.Events)))
			return b, nil
		}
		if _, err := f.wait(nil); err != nil {
			return nil, err
		}
	}
}

// ready returns what can be delivered now, or nil.
func (f *feed) ready() (*words.FeedBatch, error) {
	if b := f.first; b != nil {
		f.first = nil
		return b, nil
	}
	for f.queue.behind(f.to) {
		if b, err := f.scan(); b != nil || err != nil {
			return b, err
		}
	}
	return f.take(), nil
}

// take returns what is queued, or nil if there is nothing to deliver.
func (f *feed) take() *words.FeedBatch {
	took := f.queue.take(f.to)
	if took.left {
		f.look()
	}
	events, to := f.before(f.request.after(took.events, f.to), max(f.to, took.to))
	if to < took.to {
		took.asOf = time.Time{} // of changes that the feed does not deliver any more
	}
	f.to = to
	b := f.batch(f.tell(events))
	if !took.asOf.IsZero() {
		b.AsOf, b.Age = took.asOf, words.AgeOf(took.asOf)
	}
	f.finish(b)
	if len(b.Events) == 0 && !b.Last() && !took.due {
		return nil
	}
	return b
}

// scan returns the events of a page of the history, or nil if the page has none for this feed.
func (f *feed) scan() (*words.FeedBatch, error) {
	f.queue.attach(f.machine)
	placed, err := f.enter()
	if err != nil {
		return nil, err
	}
	if !placed {
		return f.batch(nil), nil
	}
	page, err := f.machine.History(f.to, feedPage)
	<-f.hub.scans
	if err != nil {
		return nil, err
	}
	f.hub.authority.metrics.feedScans(1)
	f.look()
	if err := f.ended(); err != nil { // what was read may be of a higher term, unless the lead still stands afterwards
		return nil, err
	}
	if page.Position.Max == 0 {
		return nil, f.hub.authority.errNoHistory()
	}
	if floor := page.Position.Floor; f.to < floor {
		reason := api.GapTrimmed
		if page.Position.Incarnation != f.incarnation {
			reason = api.GapRestored
		}
		foreign := page.Position.Incarnation != f.incarnation
		f.to, f.incarnation = floor, page.Position.Incarnation
		b := f.batch(nil)
		f.gaps(b, f.request.lose(floor, reason, foreign))
		return b, nil
	}
	events, to := f.before(f.request.after(f.request.filter(page.Events), f.to), max(f.to, page.To))
	events, to = cut(events, to)
	f.to = max(f.to, to)
	b := f.batch(f.tell(events))
	f.finish(b)
	if len(b.Events) == 0 && !b.Last() && !f.queue.takeDue() {
		return nil, nil
	}
	return b, nil
}

// enter takes a place among the feeds that scan. It returns false if a mark is due before there is one.
func (f *feed) enter() (placed bool, err error) {
	for !placed && err == nil {
		if f.queue.takeDue() {
			return false, nil
		}
		placed, err = f.wait(f.hub.scans)
	}
	return placed, err
}

// wait waits for a change of the queue, or, if places is not nil, for a place there.
func (f *feed) wait(places chan<- struct{}) (placed bool, err error) {
	select {
	case places <- struct{}{}:
		return true, nil
	case <-f.queue.wake:
		return false, nil
	case <-f.lost():
	case <-f.hub.over:
	case <-f.hub.authority.ctx.Done():
	case <-f.ctx.Done():
	}
	return false, f.ended()
}

// lost is closed before anything of a higher term applies.
func (f *feed) lost() <-chan struct{} {
	if !guardFeedEndsWithLead {
		return nil
	}
	return f.hub.lead.ended
}

// ended returns why the feed has ended, or nil.
func (f *feed) ended() error {
	select {
	case <-f.lost():
		return f.hub.authority.otherLeader()
	case <-f.hub.over:
		return f.hub.authority.otherLeader()
	case <-f.hub.authority.ctx.Done():
		return unavailable("the node is shutting down")
	case <-f.ctx.Done():
		return &api.Error{Code: api.CodeUnavailable, Hint: "the feed was closed", Err: f.ctx.Err()}
	default:
		return nil
	}
}

// otherLeader is the refusal that names the leader which this node knows, if it is not this node.
func (a *Authority) otherLeader() error {
	node, _ := a.log().Leader()
	if node == string(a.cfg.Node) {
		node = ""
	}
	return notLeader(node)
}

// errNoHistory is the refusal of a group that has no feeds.
func (a *Authority) errNoHistory() error {
	if level := a.cfg.Machine.Level(); level < fsm.Level4 {
		return api.Errorf(api.CodeUnavailable,
			"the group %s is at level %d: it keeps a history from level %d on, when all nodes of the cluster know it", a.cfg.Group, level, fsm.Level4)
	}
	return api.Errorf(api.CodeUnavailable, "the group %s keeps no history: the setting history-max is 0", a.cfg.Group)
}

// batch returns a batch of the events, which ends where the feed is.
func (f *feed) batch(events []words.FeedEvent) *words.FeedBatch {
	return &words.FeedBatch{Events: events, To: words.Position{Incarnation: f.incarnation, Index: f.to}}
}

// gaps has the batch say where each piece is, and of which of them changes before it are missing.
func (f *feed) gaps(b *words.FeedBatch, reasons []api.GapReason) {
	for i, reason := range reasons {
		if reason == "" || !guardFeedGap {
			reasons[i] = ""
			continue
		}
		f.hub.authority.metrics.feedGaps(1, string(reason))
	}
	if len(reasons) == 1 {
		b.Gap = reasons[0]
		return
	}
	for i, reason := range reasons {
		to := words.Position{Incarnation: f.incarnation, Index: max(f.to, f.request.parts[i].from)}
		b.Parts = append(b.Parts, words.PartBegin{To: to, Gap: reason})
	}
}

// look finds out where the feed ends, as far as the machine knows by now.
func (f *feed) look() {
	for i := range f.request.parts {
		t, _ := f.machine.Tenure(shardOf(&f.request.parts[i].Piece))
		if x := t.Left; x != nil && (f.end == nil || x.At < f.end.at) {
			f.end = &feedEnd{x.At, &words.Moved{Range: x.Range, Epoch: x.Epoch, To: x.To, Part: uint32(i)}}
		}
	}
	if len(f.request.beside) == 0 || !guardFeedHalt {
		return
	}
	after := f.to
	if f.request.Now && guardFeedHaltNow {
		after = 0 // the caller, if it began here, would follow keys beside these through a tenure of this group that is over
	}
	if at, ok := f.machine.Follows(f.request.beside, after); ok && (f.end == nil || at < f.end.at) {
		f.end = &feedEnd{at: at}
	}
}

// before returns the events up to the end of the feed, of those up to a position, and the position behind them.
func (f *feed) before(events []fsm.Event, to uint64) ([]fsm.Event, uint64) {
	if f.end == nil || to <= f.end.at {
		return events, to
	}
	to = max(f.to, f.end.at)
	n := 0
	for n < len(events) && events[n].Index <= to {
		n++
	}
	return events[:n:n], to
}

// finish has the batch say that the feed ends, once everything before that has been delivered.
func (f *feed) finish(b *words.FeedBatch) {
	if f.end == nil || f.to < f.end.at {
		return
	}
	if b.Moved = f.end.moved; b.Moved == nil {
		b.Halted = true
	}
}
