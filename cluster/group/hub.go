package group

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/fsm"
)

// hubIntake bounds the bytes of events that wait for a hub's goroutine. If there are more, it reads the history instead.
const hubIntake = 4 << 20

// hub passes what becomes visible in a group to the feeds of one lead. The goroutine that applies the log hands it the results,
// and waits for nothing; without feeds that costs it a look at a flag. Another goroutine gives each feed what it wants. The hub
// ends with the lead.
type hub struct {
	authority *Authority
	lead      *lead
	scans     chan struct{} // has an element for each feed that reads the history
	wake      chan struct{} // holds one signal for run
	over      chan struct{} // closed when this node is known not to lead any more
	open      atomic.Bool   // there are feeds

	intake struct {
		sync.Mutex
		commands []visible
		bytes    int
		lost     bool   // there was more than could be kept
		left     bool   // a command may have given up a range, or taken one over
		to       uint64 // the newest command of which the hub has heard
	}

	mu    sync.Mutex
	feeds []*feed
	index *feedIndex // of feeds; nil if they have changed
	to    uint64     // the feeds' queues have all up to there
	// Everything that was acknowledged before asOf is at or below confirmed. marks says that the feeds have yet to hear of it.
	asOf      time.Time
	confirmed uint64
	marks     bool
}

// hub returns the lead's hub.
func (a *Authority) hub(l *lead) (*hub, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return nil, unavailable("the node is shutting down")
	case a.lead != l:
		return nil, notLeader("")
	case l.hub == nil:
		l.hub = &hub{
			authority: a, lead: l,
			scans: make(chan struct{}, FeedScans), wake: make(chan struct{}, 1), over: make(chan struct{}),
		}
		a.wg.Go(l.hub.run)
		a.wg.Go(l.hub.confirmMarks)
	}
	return l.hub, nil
}

// attach adds a feed, whose queue has all above the position that it returns.
func (h *hub) attach(f *feed) (fsm.Position, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.feeds) >= MaxFeeds {
		return fsm.Position{}, unavailable("the group serves as many feeds as it can")
	}
	f.at = len(h.feeds)
	h.feeds, h.index = append(h.feeds, f), nil
	h.open.Store(true)
	// What applies from now on is offered to the hub.
	p := f.machine.Position()
	f.queue.from, f.queue.upTo = p.Counter, p.Counter
	if f.at == 0 {
		h.to = p.Counter // there was no feed to queue anything for
	}
	h.intake.Lock()
	h.intake.to = max(h.intake.to, p.Counter)
	h.intake.Unlock()
	return p, nil
}

// detach removes a feed. It may be called again.
func (h *hub) detach(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.at >= len(h.feeds) || h.feeds[f.at] != f {
		return
	}
	last := len(h.feeds) - 1
	h.feeds[f.at] = h.feeds[last]
	h.feeds[f.at].at = f.at
	h.feeds[last] = nil
	h.feeds, h.index = h.feeds[:last], nil
	if last == 0 {
		h.open.Store(false)
	}
}

// count returns the number of feeds.
func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.feeds)
}

// offer takes the results of an entry that has applied in this lead. It does not wait.
func (h *hub) offer(results []fsm.Result) {
	if !h.open.Load() || len(results) == 0 {
		return
	}
	p := h.authority.feeds.Position()
	h.intake.Lock()
	defer h.intake.Unlock()
	in := &h.intake
	// If the floor is above what the hub has heard of, the history was off meanwhile, or is so short that it has lost this entry.
	in.lost = in.lost || p.Max == 0 || p.Floor > in.to
	for i := range results {
		res := &results[i]
		in.to = res.Index
		if in.left = in.left || res.Receipt != nil || res.Took; in.lost || len(res.Events) == 0 {
			continue
		}
		for j := range res.Events {
			in.bytes += eventBytes(&res.Events[j])
		}
		in.commands = append(in.commands, visible{index: res.Index, events: res.Events})
	}
	in.lost = in.lost || in.bytes > hubIntake
	if in.lost {
		in.commands, in.bytes = nil, 0
	}
	prompt(h.wake)
}

// run gives the feeds what the hub has heard, until the lead ends.
func (h *hub) run() {
	var spare []visible
	for {
		select {
		case <-h.wake:
			spare = h.distribute(spare)
		case <-h.lead.ended:
			return
		case <-h.authority.ctx.Done():
			return
		}
	}
}

// distribute queues for each feed what it wants. It returns memory for the next commands.
func (h *hub) distribute(spare []visible) []visible {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.intake.Lock()
	in := &h.intake
	commands, lost, left, to := in.commands, in.lost, in.left, in.to
	in.commands, in.lost, in.left, in.bytes = spare, false, false, 0
	h.intake.Unlock()
	if left {
		h.leave()
	}
	if lost {
		h.reread(to)
	} else {
		h.pass(commands, to)
	}
	marks := h.marks && h.to >= h.confirmed
	for _, f := range h.feeds {
		if left {
			f.queue.leave(h.to)
		}
		if marks {
			f.queue.mark(h.to, h.asOf, h.confirmed)
		}
		if !left && !marks {
			break
		}
	}
	h.marks = h.marks && !marks
	clear(commands)
	return commands[:0]
}

// leave has all feeds look whether they end: one that is to end before a command must know before it is given that.
func (h *hub) leave() {
	for _, f := range h.feeds {
		f.queue.leave(0)
	}
}

// pass queues for each feed what it wants of the commands up to a position, unless its queue has them from the history already.
func (h *hub) pass(commands []visible, to uint64) {
	if h.index == nil {
		h.index = newFeedIndex(h.feeds)
	}
	var touched []*feed
	for i := range commands {
		if commands[i].index > h.to {
			touched = h.index.pass(&commands[i], touched)
		}
	}
	for _, f := range touched {
		f.queue.offer(f.news, to)
		clear(f.news)
		f.news = f.news[:0]
	}
	h.to = max(h.to, to)
}

// reread passes on the history up to a position, once for all feeds, since the hub could not keep what it heard. If the history does
// not have it any more, each feed finds out for itself.
func (h *hub) reread(to uint64) {
	for h.to < to {
		page, err := h.authority.feeds.History(h.to, hubIntake)
		select {
		case <-h.lead.ended: // what was read may be of a higher term
			return
		default:
		}
		if err != nil || page.Position.Max == 0 || page.Position.Floor > h.to {
			for _, f := range h.feeds {
				f.queue.cut()
			}
			h.to = to
			return
		}
		h.leave() // the page may go beyond what the hub has heard
		h.pass(commandsOf(page.Events), page.To)
	}
}

// confirmMarks confirms the lead once a second while there are feeds, and has each feed report how old its position is. The confirm
// shares its round with reads.
func (h *hub) confirmMarks() {
	ticker := time.NewTicker(feedMark)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-h.lead.ended:
			return
		case <-h.authority.ctx.Done():
			return
		}
		if h.open.Load() && !h.confirmMark() {
			close(h.over)
			return
		}
	}
}

// confirmMark reports whether this node may still lead.
func (h *hub) confirmMark() bool {
	a := h.authority
	ctx, cancel := context.WithTimeout(a.ctx, feedSure)
	defer cancel()
	asOf := time.Now()
	err := a.confirm(ctx, h.lead)
	if node, term := a.log().Leader(); node != string(a.cfg.Node) || term != uint64(h.lead.term) {
		return false
	}
	// What was acknowledged before the confirm began had applied here by then.
	counter := a.feeds.Position().Counter
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.marks = true; err == nil {
		h.asOf, h.confirmed = asOf, counter
	}
	prompt(h.wake)
	return true
}
