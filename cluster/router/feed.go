package router

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Feed follows pieces of a group at its leader, on whichever node that is. If the leader changes, the connection breaks or the node
// falls silent, the feed goes on at its position at another node, until ctx ends. It does not wait: the first Next finds the
// leader, and returns CodeUnavailable after [api.DefaultTimeout] if none answers or the group has no feeds. Next returns
// CodeWrongGroup only if the newest map says that the piece has moved and the group still says, later, that it does not own the
// piece and never gave it up: the group has forgotten that it did. Of several pieces, and of one in which the group has told a position,
// it returns that at once: the caller asks for each alone, and the group will not adopt the piece.
func (r *Router) Feed(ctx context.Context, q *words.FeedRequest) (words.Feed, error) {
	f := &feed{router: r, request: *q}
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f, nil
}

// feed is a feed over all its attachments. Apart from Close, its methods belong to one goroutine.
type feed struct {
	router  *Router
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	request words.FeedRequest // from where the feed is now
	begun   bool              // a batch was returned
	over    bool              // a batch has said that the piece has moved
	at      *attached         // nil between two nodes
	breaks  int               // attachments that ended, since a batch came
}

// attached is a feed at one node.
type attached struct {
	words.Feed
	watch  watch
	cancel context.CancelFunc
}

// Close ends the feed.
func (f *feed) Close() error {
	f.cancel()
	return nil
}

// Next returns the next batch, from whichever node.
func (f *feed) Next() (*words.FeedBatch, error) {
	if f.over {
		return nil, io.EOF
	}
	for {
		b, err := f.next()
		if err != nil {
			f.detach()
			return nil, err
		}
		if b == nil {
			continue
		}
		f.over = b.Last()
		f.told(b)
		if f.over {
			f.detach()
		}
		return b, nil
	}
}

// told moves the pieces to the position of a batch.
func (f *feed) told(b *words.FeedBatch) {
	if f.request.Now { // whatever After was
		f.request.After = b.To
	}
	f.begun, f.request.Now = true, false
	f.request.After = b.After(0, f.request.After)
	for i := range f.request.Also {
		p := &f.request.Also[i]
		p.After = b.After(i+1, p.After)
	}
}

// news reports whether the first batch at another node says more than that the feed goes on where it was.
func (f *feed) news(b *words.FeedBatch) bool {
	if !f.begun || b.Gap != "" || b.Last() {
		return true
	}
	for i, p := range f.request.Parts() {
		if b.After(i, p.After) != p.After || len(b.Parts) > 0 && b.Parts[i].Gap != "" {
			return true
		}
	}
	return false
}

// next returns a batch, or nil if the feed has to be attached again or has nothing new.
func (f *feed) next() (*words.FeedBatch, error) {
	if f.at == nil {
		b, err := f.attach()
		if err != nil || f.news(b) {
			return b, err
		}
		return nil, nil
	}
	silent := time.AfterFunc(f.router.cfg.FeedSilence, f.at.cancel)
	b, err := f.at.Next()
	silent.Stop()
	if err == nil {
		f.breaks = 0
		return b, nil
	}
	if leader := api.AsError(err).Leader; leader != "" {
		f.router.hints.set(f.request.Group, leader)
	}
	f.detach()
	f.breaks++
	return nil, f.pause(f.ctx)
}

// detach leaves the node.
func (f *feed) detach() {
	if f.at == nil {
		return
	}
	f.router.hints.unwatch(f.request.Group, &f.at.watch)
	f.at.cancel()
	_ = f.at.Close() // what it delivered counts
	f.at = nil
}

// attach begins the feed at the group's leader and returns the first batch.
func (f *feed) attach() (*words.FeedBatch, error) {
	r, ctx := f.router, f.ctx
	if !f.begun {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, api.DefaultTimeout)
		defer cancel()
	}
	var why error // what a node that may lead has said
	for {
		m := r.cfg.Map()
		if err := f.removed(ctx, m); err != nil {
			return nil, err
		}
		var first *words.FeedBatch
		c := r.call("feed", true)
		c.timeout = r.cfg.ReadTimeout
		c.send = func(ctx context.Context, node api.NodeID) (err error) {
			if first, err = f.open(ctx, node); err != nil && ctx.Err() == nil && api.CodeOf(err) != api.CodeNotLeader {
				why = err
			}
			return err
		}
		round, cancel := context.WithTimeout(ctx, api.DefaultTimeout) // then the map may say otherwise
		err := r.toGroup(admission.WithTries(round, admission.MaxTries+1), c, f.request.Group)
		cancel()
		switch code := api.CodeOf(err); {
		case err == nil:
			return first, nil
		case code == api.CodeWrongGroup && (len(f.request.Also) > 0 || f.forgotten() || movedOn(m, &f.request.Piece)), code == words.Apart:
			return nil, err
		case code == api.CodeWrongGroup, code == api.CodeUnavailable:
			fresh, cancel := context.WithTimeout(ctx, api.DefaultTimeout)
			_ = r.cfg.Refresh(fresh) // if it fails, the next round is by the old map
			cancel()
		case code != api.CodeUnavailable && code != api.CodeNotLeader && judge(err) == final:
			return nil, err
		}
		f.breaks++
		if f.pause(ctx) == nil {
			continue
		}
		if why != nil {
			c.last = why
		}
		return nil, c.timeUp(ctx)
	}
}

// forgotten reports whether a group that does not know the piece knew it once: it has told a position in it.
func (f *feed) forgotten() bool { return f.request.After.Index > 0 && !f.request.Now }

// removed returns CodeWrongGroup if there is no such group any more: the newest map does not have it, and has a later owner of the keys.
func (f *feed) removed(ctx context.Context, m *placement.Map) error {
	r, g := f.router, f.request.Group
	if m == nil {
		return nil
	}
	if _, known := m.Group(g); known {
		return nil
	}
	if r.cfg.Refresh(ctx) == nil {
		m = r.cfg.Map()
	}
	if _, known := m.Group(g); known || !f.forgotten() && !slices.ContainsFunc(f.request.Parts(), func(p words.FeedPart) bool { return movedOn(m, &p.Piece) }) {
		return nil
	}
	return api.Errorf(api.CodeWrongGroup, "there is no group %s any more", g)
}

// open begins the feed at a node, and takes the first batch before ctx ends.
func (f *feed) open(ctx context.Context, node api.NodeID) (*words.FeedBatch, error) {
	r := f.router
	long, cancel := context.WithCancel(f.ctx)
	stop := context.AfterFunc(ctx, cancel)
	q := f.request
	q.Also = slices.Clone(q.Also)
	x, err := r.cfg.Remote(node).Feed(long, &q)
	if err != nil {
		stop()
		cancel()
		return nil, readError(err)
	}
	b, err := x.Next()
	if !stop() && err == nil {
		err = &api.Error{Code: api.CodeUnavailable, Op: "feed", Hint: "the time was up", Err: ctx.Err()}
	}
	if err == nil && len(q.Also) > 0 && len(b.Parts) != 1+len(q.Also) {
		err = &api.Error{Code: words.Apart, Op: "feed", Hint: "the node serves one piece at a time: an older version runs there; upgrade it"}
	}
	if err != nil {
		cancel()
		_ = x.Close() // it has delivered nothing
		return nil, readError(err)
	}
	f.at = &attached{Feed: x, watch: watch{node: node, cancel: cancel}, cancel: cancel}
	r.hints.watch(f.request.Group, &f.at.watch)
	return b, nil
}

// pause waits before the feed is attached again: not at all after the first break, longer with each one that follows.
func (f *feed) pause(ctx context.Context) error {
	if f.breaks > 1 {
		r := f.router
		d := min(r.cfg.MinBackoff<<min(f.breaks-2, 10), r.cfg.MaxBackoff)
		t := time.NewTimer(d/2 + time.Duration(r.cfg.Rand()*float64(d/2)))
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	if err := ctx.Err(); err != nil {
		return &api.Error{Code: api.CodeUnavailable, Op: "feed", Hint: "the feed was closed", Err: err}
	}
	return nil
}

// movedOn reports whether the map has a part of the piece at a later epoch.
func movedOn(m *placement.Map, p *words.Piece) bool {
	return m != nil && slices.ContainsFunc(m.Spans(p.Range), func(s placement.Span) bool { return s.Epoch > p.Epoch })
}
