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
	ReadBefore(keys []api.Key) ([]api.Entry, []uint64, error)
}

// Feed begins a feed of a piece that the group owns or has given up. It tells only what this node's machine has applied while
// this node leads: it ends with the lead, before anything of a higher term applies, and Next returns CodeNotLeader then. Feed
// returns CodeWrongGroup if the group neither owns the piece nor has given it up, and CodeUnavailable if the group keeps no
// history or serves [MaxFeeds] feeds already.
func (a *Authority) Feed(ctx context.Context, r *words.FeedRequest) (words.Feed, error) {
	if err := a.ours(r.Group); err != nil {
		return nil, err
	}
	if r.Of == 0 || r.Index >= r.Of || r.Range.End != "" && r.Range.End <= r.Range.Start {
		return nil, api.Errorf(api.CodeInvalid, "a feed is of a range that is not empty, and of one of its shards")
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
	f := &feed{hub: h, machine: a.feeds, request: feedOf(*r)}
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
	t, known := f.machine.Tenure(r.shard())
	switch {
	case p.Max == 0:
		return a.errNoHistory()
	case !known:
		return a.refusal(ctx, f.hub.lead, api.Errorf(api.CodeWrongGroup,
			"the group %s does not own %v at epoch %d, and has not given it up", a.cfg.Group, r.Range, r.Epoch))
	case !r.Now && r.After.Index > p.Counter:
		// A leader that is certain to lead has applied whatever any leader has told.
		if err := a.confirm(ctx, f.hub.lead); err != nil {
			return err
		}
		p = f.machine.Position()
	}
	start, gap := startOf(r, p, t)
	f.to, f.incarnation = start, p.Incarnation
	f.first = f.batch(nil)
	f.gap(f.first, gap)
	f.leave(f.first, t)
	return nil
}

// startOf returns the position at which a feed begins, and why it does not begin at the one that was asked for.
func startOf(r *feedOf, p fsm.Position, t fsm.Tenure) (start uint64, gap api.GapReason) {
	start = max(r.After.Index, t.Since)
	foreign := r.After.Index > 0 && r.After.Incarnation != p.Incarnation && guardFeedIncarnation
	switch {
	case r.Now, r.After.Index == 0 && !guardFeedSince:
		return p.Counter, ""
	case foreign || r.After.Index > p.Counter:
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
	to          uint64           // everything up to there has been told
	first       *words.FeedBatch // nil once it was returned
	leaves      bool             // the group has given up a part of the piece
	over        bool             // a batch has said so
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
			f.over = b.Moved != nil
			f.hub.authority.metrics.feedEvents(float64(len(b.Events)))
			return b, nil
		}
		if _, err := f.wait(nil); err != nil {
			return nil, err
		}
	}
}

// ready returns what can be told now, or nil.
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

// take returns what is queued, or nil if there is nothing to tell.
func (f *feed) take() *words.FeedBatch {
	took := f.queue.take(f.to)
	f.to = max(f.to, took.to)
	b := f.batch(f.tell(took.events))
	if !took.asOf.IsZero() {
		b.AsOf, b.Age = took.asOf, words.AgeOf(took.asOf)
	}
	if f.leaves || took.left {
		t, _ := f.machine.Tenure(f.request.shard())
		f.leave(b, t)
	}
	if len(b.Events) == 0 && b.Moved == nil && !took.due {
		return nil
	}
	return b
}

// scan tells a page of the history. It returns nil if the page has nothing to tell.
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
	t, _ := f.machine.Tenure(f.request.shard())
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
		f.to, f.incarnation = floor, page.Position.Incarnation
		b := f.batch(nil)
		f.gap(b, reason)
		return b, nil
	}
	events, to := cut(f.request.filter(page.Events), page.To)
	f.to = max(f.to, to)
	b := f.batch(f.tell(events))
	f.leave(b, t)
	if len(b.Events) == 0 && b.Moved == nil && !f.queue.takeDue() {
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

// gap has the batch say that changes before it are missing.
func (f *feed) gap(b *words.FeedBatch, reason api.GapReason) {
	if reason == "" || !guardFeedGap {
		return
	}
	b.Gap = reason
	f.hub.authority.metrics.feedGaps(1, string(reason))
}

// leave has the batch say that the group gave up a part of the piece, once all that happened there has been told.
func (f *feed) leave(b *words.FeedBatch, t fsm.Tenure) {
	f.leaves = t.Left != nil
	if f.leaves && f.to >= t.Left.At {
		b.Moved = &words.Moved{Range: t.Left.Range, Epoch: t.Left.Epoch, To: t.Left.To}
	}
}
