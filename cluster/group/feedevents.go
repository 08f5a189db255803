package group

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// feedOf is what a feed is of: pieces of one group, whose ranges do not overlap.
type feedOf struct {
	words.FeedRequest
	parts  []feedPart
	beside []fsm.Shard
}

// feedPart is a piece of a feed. Its events up to from are left out. Only the feed's own goroutine uses from.
type feedPart struct {
	words.FeedPart
	from uint64
}

// newFeedOf checks what is asked for.
func newFeedOf(r *words.FeedRequest) (*feedOf, error) {
	of := &feedOf{FeedRequest: *r}
	if len(r.Also) >= words.MaxFeedPieces || len(r.Beside) > words.MaxFeedPieces {
		return nil, api.Errorf(api.CodeInvalid, "a feed has at most %d pieces, and as many beside it", words.MaxFeedPieces)
	}
	for _, p := range r.Parts() {
		if p.Group != r.Group || p.Of == 0 || p.Index >= p.Of || p.Range.End != "" && p.Range.End <= p.Range.Start {
			return nil, api.Errorf(api.CodeInvalid, "a feed takes ranges of one group, each not empty and with one of its shards")
		}
		for i := range of.parts {
			if of.parts[i].Range.Overlaps(p.Range) {
				return nil, api.Errorf(api.CodeInvalid, "the ranges %v and %v of a feed overlap", of.parts[i].Range, p.Range)
			}
		}
		of.parts = append(of.parts, feedPart{FeedPart: p})
	}
	for i := range r.Beside {
		of.beside = append(of.beside, shardOf(&r.Beside[i]))
	}
	return of, nil
}

func shardOf(p *words.Piece) fsm.Shard {
	return fsm.Shard{Range: p.Range, Epoch: p.Epoch, Index: p.Index, Of: p.Of}
}

// wants reports whether the event is of one of the pieces. A machine owns each key at one epoch at a time, in one shard, so that range
// and epoch are enough to know.
func (r *feedOf) wants(e *fsm.Event) bool { return r.part(e) != nil }

// part returns the piece that the event is of, or nil.
func (r *feedOf) part(e *fsm.Event) *feedPart {
	for i := range r.parts {
		if p := &r.parts[i]; (e.Version.Epoch == p.Epoch || !guardFeedEpoch) && p.Range.Contains(e.Key) {
			return p
		}
	}
	return nil
}

// after leaves out the events of those pieces that are beyond them, if the feed, which is at to, is behind some of its pieces.
func (r *feedOf) after(events []fsm.Event, to uint64) []fsm.Event {
	behind := slices.ContainsFunc(r.parts, func(p feedPart) bool { return p.from > to })
	if !behind || len(r.parts) == 1 {
		return events
	}
	return slices.DeleteFunc(slices.Clone(events), func(e fsm.Event) bool {
		p := r.part(&e)
		return p != nil && e.Index <= p.from
	})
}

// lose has no piece begin before the floor, and returns which of them lack changes for that reason: all if the positions are foreign.
func (r *feedOf) lose(floor uint64, reason api.GapReason, foreign bool) []api.GapReason {
	gaps := make([]api.GapReason, len(r.parts))
	for i := range r.parts {
		if p := &r.parts[i]; foreign || p.from < floor {
			p.from, gaps[i] = floor, reason
		}
	}
	return gaps
}

// filter returns the events of the pieces. It shares memory with events if these are all.
func (r *feedOf) filter(events []fsm.Event) []fsm.Event {
	n := 0
	for n < len(events) && r.wants(&events[n]) {
		n++
	}
	if n == len(events) {
		return events
	}
	wanted := append([]fsm.Event(nil), events[:n]...)
	for i := range events[n:] {
		if e := &events[n+i]; r.wants(e) {
			wanted = append(wanted, *e)
		}
	}
	return wanted
}

// cut returns as many of the events as fit into a batch, values that are not in the history included, and the position behind
// them: to, if these are all. It does not divide what one command made.
func cut(events []fsm.Event, to uint64) ([]fsm.Event, uint64) {
	size := 0
	for i := range events {
		if size > feedBatch && events[i].Index != events[i-1].Index {
			return events[:i], events[i-1].Index
		}
		if size += eventBytes(&events[i]); events[i].Elided {
			size += api.MaxValueBytes
		}
	}
	return events, to
}

// eventBytes is about what an event takes while it waits.
func eventBytes(e *fsm.Event) int { return 128 + len(e.Key) + len(e.Value) }

// tell returns the events as the feed delivers them.
func (f *feed) tell(events []fsm.Event) []words.FeedEvent {
	if len(events) == 0 {
		return nil
	}
	told := make([]words.FeedEvent, len(events))
	for i := range events {
		e := &events[i]
		told[i] = words.FeedEvent{Index: e.Index, Event: api.Event{
			Kind: e.Kind, Key: e.Key, Version: e.Version, TTL: f.ttl(e.Deadline), Txn: binary.BigEndian.Uint64(e.Txn[:])}}
		if !f.request.KeysOnly {
			told[i].Value, told[i].Elided = f.value(e)
		}
	}
	return told
}

// value returns the value that an event gave its key. If the history does not have it, it is that of the key, if no later version
// has replaced it.
func (f *feed) value(e *fsm.Event) (value []byte, elided bool) {
	if !e.Elided || len(e.Value) > 0 {
		return e.Value, false
	}
	now, _, err := f.machine.ReadBefore([]api.Key{e.Key})
	if err != nil || !now[0].Exists || guardFeedValue && now[0].Version != e.Version {
		return nil, true
	}
	return now[0].Value, false
}

// ttl returns what is left of a key's time to live, by this leader's time: at least 1 ms, or 0 if it has no deadline.
func (f *feed) ttl(deadline uint64) time.Duration {
	if deadline == 0 {
		return 0
	}
	if now := f.hub.authority.timeOf(f.hub.lead); deadline > now {
		return time.Duration(deadline-now) * time.Millisecond
	}
	return minLeft
}
