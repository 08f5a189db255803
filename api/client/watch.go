package client

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Event is what [Client.Watch] and [Client.Follow] yield: the change of a key, or word of the watch itself.
//
// A change has a Kind: [api.EventPut] with Key, Value and Version, or [api.EventDelete] or [api.EventExpire] with Key and Version. All
// other events have the Kind 0, and at most one of Gap, Reset and Ready. One with none of them is a mark: nothing has changed for a
// while, and Cursor may have moved on.
type Event struct {
	api.Event
	// Gap says that changes are missing at this place, because the history that is kept does not reach back as far. The watch goes on
	// behind the gap. A program that keeps what it has seen lists the keys of Gap.Range now, and takes the newer version of each key of
	// the list and of the watch. Follow does that by itself and yields no gaps.
	Gap *api.Gap
	// Reset says, in a Follow, that a list begins: forget what was seen before.
	Reset bool
	// Ready says that the watch has begun, or, in a Follow, that the list is complete. What follows are changes.
	Ready bool
	// Cursor is where a later Watch goes on, in this or another program, through any node. It misses nothing that comes after this
	// event, and may repeat some of the changes that came since the cursor moved last. It is empty in a Follow until Ready. Keep it
	// together with what was done about the event.
	Cursor api.Cursor
	// Age, of a mark, says that every change that was acknowledged longer ago has been yielded. It is the greatest Duration if that is
	// not known, as while an owner cannot be reached.
	Age time.Duration
}

// WatchOption is an option of [Client.Watch] and [Client.Follow].
type WatchOption func(*watchOptions)

type watchOptions struct{ withoutValues, collapse bool }

// WithoutValues leaves the values out. A token then needs no right to read the keys.
func WithoutValues() WatchOption { return func(o *watchOptions) { o.withoutValues = true } }

// Collapse yields only the newest change of each key if the watch is behind.
func Collapse() WatchOption { return func(o *watchOptions) { o.collapse = true } }

// Watch yields what changes among the keys that begin with prefix:
//
//	for ev, err := range c.Watch(ctx, "us-east/", cursor) {
//		switch {
//		case err != nil:
//			return err // also when ctx ends
//		case ev.Gap != nil: // changes are missing: list ev.Gap.Range
//		case ev.Kind == api.EventPut: // ev.Key has ev.Value
//		case ev.Kind != 0: // ev.Key is gone
//		}
//		cursor = ev.Cursor // goes on from here after a restart
//	}
//
// It begins behind the cursor from, which an earlier event, a [Page] or [CursorInto] gave; if from is empty, it begins now, and yields
// every change that becomes visible after its first event, which is Ready: also all that the loop's body writes. If from is
// [api.Oldest], it begins with the oldest changes that are kept, behind a Gap if there may have been older ones. Of each key every
// version comes once, in order. The changes of one transaction in one group come one after the other; changes of several groups come in
// no order. A change that was yielded can be read, at any node.
//
// The loop goes on until it is left, ctx ends, or a node refuses the watch for good, and it ends with an error in the last two cases,
// never silently. If a connection or a node fails, the watch goes on through the next endpoint, from where it was. It waits as long as
// ctx allows for one that works; only a watch that cannot begin within [Config].Timeout returns [api.CodeUnavailable]. Other errors are
// [api.CodeInvalid] if the cursor is not one, or does not cover the prefix, [api.CodeDenied] if the token lacks the right to list and
// read all keys with the prefix, also if it loses it later, and [api.CodeTooLarge] if the keys have too many owners for one watch.
//
// Values belong to the caller.
func (c *Client) Watch(ctx context.Context, prefix api.Key, from api.Cursor, opts ...WatchOption) iter.Seq2[Event, error] {
	return c.watch(ctx, prefix, from, false, collect(opts).request(prefix))
}

// Follow yields what the keys that begin with prefix hold now, and then what changes:
//
//	cache := map[api.Key][]byte{}
//	for ev, err := range c.Follow(ctx, "config/") {
//		switch {
//		case err != nil:
//			return err
//		case ev.Reset:
//			clear(cache)
//		case ev.Kind == api.EventPut:
//			cache[ev.Key] = ev.Value
//		case ev.Kind != 0:
//			delete(cache, ev.Key)
//		}
//	}
//
// The first event is a Reset. The present entries come as [api.EventPut], in no promised order, then an event that is Ready, then the
// changes. If changes are missing (see [Event].Gap), Follow yields a Reset and begins again with a list, so that a program that forgets
// what it had at each Reset always ends up with what there is. Apart from that, Follow is like [Client.Watch].
func (c *Client) Follow(ctx context.Context, prefix api.Key, opts ...WatchOption) iter.Seq2[Event, error] {
	return c.watch(ctx, prefix, "", true, collect(opts).request(prefix))
}

func (o *watchOptions) request(prefix api.Key) api.WatchRequest {
	return api.WatchRequest{Range: api.PrefixRange(prefix), Collapse: o.collapse, KeysOnly: o.withoutValues}
}

// watch watches the range of r, whose From and List are set for each stream. key is the one that errors name.
func (c *Client) watch(ctx context.Context, key api.Key, from api.Cursor, follow bool, r api.WatchRequest) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w := &watching{
			client: c, yield: yield, follow: follow, request: r, cursor: from, seen: map[api.Key]seen{},
			call: &call{op: "watch", key: key},
		}
		if err := w.run(ctx); err != nil {
			yield(Event{}, err)
		}
	}
}

// watching is one Watch or Follow. It belongs to one goroutine.
type watching struct {
	client  *Client
	yield   func(Event, error) bool
	follow  bool
	call    *call
	request api.WatchRequest
	begun   bool // a node has taken it
	left    bool // the loop was left
	// cursor is the newest, and seen has the changes that were yielded since, which come again after a break.
	cursor api.Cursor
	seen   map[api.Key]seen
	stream int  // counts the streams
	fresh  bool // a Reset was the last event
	told   int  // counts what was yielded, beside what each stream begins with
}

// seen is the newest version of a key that was yielded, and the stream that delivered it last.
type seen struct {
	version api.Version
	stream  int
}

// run watches until the loop is left, and then returns nil, or until it cannot go on.
func (w *watching) run(ctx context.Context) error {
	var last *failure // why the stream before has ended
	for round := 0; ; round++ {
		s, e, err := w.connect(ctx, last)
		if err != nil {
			return err
		}
		told := w.told
		err = w.drain(s)
		_ = s.Close() // the stream has ended, or is not wanted any more
		if w.left {
			return nil
		}
		if w.told != told {
			round = 0
		}
		if err != nil { // else it is to begin again with a list
			last = judge(w.call, api.AsError(err))
			if ctx.Err() == nil {
				w.client.endpoints.failed(e, time.Now(), false) // others come first for a while
			}
			pause(ctx, round, 0)
		}
	}
}

// connect begins the watch, or goes on with it, at the nearest node that takes it. last is why the stream before has ended, if it is
// known.
func (w *watching) connect(ctx context.Context, last *failure) (api.WatchStream, *endpoint, error) {
	c := w.client
	until := time.Now().Add(c.timeout) // for a watch that has not begun
	r := w.request
	if r.From = w.cursor; w.follow && r.From == "" {
		r.List = true
	}
	tried := map[*endpoint]bool{}
	for round := 0; ; {
		if ctx.Err() != nil || !w.begun && time.Now().After(until) {
			return nil, nil, w.over(ctx, last)
		}
		e := c.endpoints.next(time.Now(), tried)
		if e == nil {
			if !w.begun && last.verdict == elsewhere { // no node can
				return nil, nil, w.failed(last.err)
			}
			pause(ctx, round, last.err.RetryAfter)
			clear(tried)
			round++
			continue
		}
		tried[e] = true
		s, f := c.carrier.watch(ctx, e, w.call, &r, w.budget(until))
		if f == nil {
			w.begun = true
			w.stream++
			if r.List && !w.fresh {
				w.give(Event{Reset: true})
			}
			return s, e, nil
		}
		if f.verdict == final {
			return nil, nil, w.failed(f.err)
		}
		last = f
	}
}

// budget is how long one node has to begin the watch.
func (w *watching) budget(until time.Time) time.Duration {
	left := w.client.timeout
	if !w.begun {
		left = time.Until(until)
	}
	if len(w.client.endpoints.all) == 1 {
		return left
	}
	return max(left/2, min(left, leastBudget))
}

// over returns the error of a watch whose time is over.
func (w *watching) over(ctx context.Context, last *failure) error {
	h := history{}
	if last != nil {
		h.attempts, h.last = 1, *last
	}
	if ctx.Err() == nil { // the time to begin is
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, time.Unix(0, 0))
		defer cancel()
	}
	return h.timeOver(ctx, w.call)
}

func (w *watching) failed(err *api.Error) error {
	err.Op, err.Key = w.call.op, w.call.key
	return err
}

// give yields an event.
func (w *watching) give(e Event) {
	if w.left {
		return
	}
	e.Cursor = w.cursor
	w.fresh = e.Reset
	if !e.Ready && !e.Reset {
		w.told++
	}
	w.left = !w.yield(e, nil)
}

// drain yields what the stream delivers, until it ends. It returns nil if the loop was left, or if the watch must begin with a list.
func (w *watching) drain(s api.WatchStream) error {
	for !w.left {
		b, err := s.Next()
		if err != nil {
			return err
		}
		if b.Gap != nil && w.follow {
			w.forget()
			return nil
		}
		w.batch(b)
	}
	return nil
}

// forget begins anew: what was seen counts no more.
func (w *watching) forget() {
	w.cursor = ""
	clear(w.seen)
}

// batch yields the events of a batch. The last of them has the batch's cursor.
func (w *watching) batch(b *api.WatchBatch) {
	if b.Reset && !w.fresh {
		w.forget()
		w.give(Event{Reset: true})
	}
	if b.Gap != nil {
		clear(w.seen)
		w.moveOn(b.Cursor, len(b.Events) == 0 && !b.Ready)
		w.give(Event{Gap: b.Gap})
	}
	for i := range b.Events {
		e := b.Events[i]
		repeated := w.repeated(&e)
		w.moveOn(b.Cursor, i == len(b.Events)-1 && !b.Ready)
		if !repeated {
			e.Value = bytes.Clone(e.Value)
			w.give(Event{Event: e})
		}
	}
	if b.Ready {
		w.moveOn(b.Cursor, true)
		w.give(Event{Ready: true})
	}
	if len(b.Events) == 0 && !b.Ready && !b.Reset && b.Gap == nil {
		w.moveOn(b.Cursor, true)
		w.give(Event{Age: b.Age})
	}
}

// moveOn takes the cursor of a batch whose last event is about to be yielded. The cursor covers what this stream has delivered. What
// an earlier stream delivered behind the cursor from which this one began is still to come again.
func (w *watching) moveOn(to api.Cursor, last bool) {
	if to == "" || !last && guardCursorLast {
		return
	}
	w.cursor = to
	maps.DeleteFunc(w.seen, func(_ api.Key, s seen) bool { return s.stream == w.stream })
}

// repeated reports whether the change was yielded before. What a list delivers is not noted: a list that is cut off begins anew.
func (w *watching) repeated(e *api.Event) bool {
	if w.cursor == "" && w.follow {
		return false
	}
	s, ok := w.seen[e.Key]
	order := e.Version.Compare(s.version)
	if !ok || order >= 0 {
		w.seen[e.Key] = seen{e.Version, w.stream}
	}
	return ok && order <= 0 && guardRepeats
}
