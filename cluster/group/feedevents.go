package group

import (
	"encoding/binary"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// feedOf is what a feed is of. A machine owns each key at one epoch at a time, in one shard, so that range and epoch are enough to
// know the events of a piece.
type feedOf words.FeedRequest

func (r *feedOf) shard() fsm.Shard {
	return fsm.Shard{Range: r.Range, Epoch: r.Epoch, Index: r.Index, Of: r.Of}
}

func (r *feedOf) wants(e *fsm.Event) bool {
	return (e.Version.Epoch == r.Epoch || !guardFeedEpoch) && r.Range.Contains(e.Key)
}

// filter returns the events of the piece. It shares memory with events if these are all.
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

// tell returns the events as the feed tells them.
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
