package storetest

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
)

var _ api.Watcher = (*Memory)(nil)

// memoryFeed is the history of a Memory: what its watchers get. It is guarded by the Memory's mu.
type memoryFeed struct {
	events  []memoryEvent
	floor   uint64        // events at or below this index are gone
	changed chan struct{} // closed when there is more to deliver
}

type memoryEvent struct {
	index uint64
	api.Event
	deadline time.Time // of the key; the zero time is never
}

// tell adds an event that became visible at the present index. The caller holds mu.
func (m *Memory) tell(e memoryEvent) {
	e.index = m.index
	m.feed.events = append(m.feed.events, e)
	m.wake()
}

func (m *Memory) wake() {
	close(m.feed.changed)
	m.feed.changed = make(chan struct{})
}

// tellWritten adds the events of a transaction: of each key whose visible state it changed, in the order of the steps. The caller
// holds mu and has not yet applied written.
func (m *Memory) tellWritten(branch []api.Op, written map[api.Key]state) {
	told := map[api.Key]bool{}
	for i := range branch {
		e, ok := written[branch[i].Key]
		if !ok || told[e.Key] {
			continue
		}
		told[e.Key] = true
		switch {
		case e.Exists && e.Version != m.keys[e.Key].Version: // else it was touched
			m.tell(memoryEvent{Event: api.Event{Kind: api.EventPut, Key: e.Key, Version: e.Version, Value: e.Value}, deadline: e.deadline})
		case !e.Exists && m.keys[e.Key].Exists:
			m.tell(memoryEvent{Event: api.Event{Kind: api.EventDelete, Key: e.Key, Version: e.Version}})
		}
	}
}

// TrimHistory forgets all events so far, as a group does whose history is too long. A watch from an older cursor meets a gap.
func (m *Memory) TrimHistory() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.feed.events, m.feed.floor = nil, m.index
}

// Watch implements api.Watcher.
func (m *Memory) Watch(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error) {
	if err := enter(ctx, "watch", r.Check()); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &memoryStream{m: m, request: *r, after: m.index, list: r.List, ready: !r.List}
	switch {
	case r.From == api.Oldest:
		s.after = 0 // a history that does not reach back as far begins with a gap
	case r.From != "":
		of, at, err := parseMemoryCursor(r.From)
		switch {
		case err != nil:
			return nil, err
		case !of.ContainsRange(r.Range) || at > m.index:
			return nil, api.Errorf(api.CodeInvalid, "the cursor is one of %v, and not of %v", of, r.Range)
		}
		s.after = at
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s, nil
}

// memoryStream is one watch of a Memory.
type memoryStream struct {
	m       *Memory
	request api.WatchRequest
	ctx     context.Context
	cancel  context.CancelFunc
	after   uint64 // all events at or below this index have been delivered
	list    bool   // what there is comes next
	ready   bool   // Ready comes next
}

// memoryProgress is how long a watch of a Memory is silent.
const memoryProgress = 10 * time.Second

// Next implements api.WatchStream.
func (s *memoryStream) Next() (*api.WatchBatch, error) {
	quiet := time.NewTimer(memoryProgress)
	defer quiet.Stop()
	for {
		if err := s.ctx.Err(); err != nil {
			return nil, &api.Error{Code: api.CodeUnavailable, Op: "watch", Err: err}
		}
		b, changed := s.batch()
		if b != nil {
			return b, nil
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
		case <-quiet.C:
			return &api.WatchBatch{Cursor: s.cursor(), Age: time.Millisecond}, nil
		}
	}
}

// Close implements api.WatchStream.
func (s *memoryStream) Close() error {
	s.cancel()
	return nil
}

func (s *memoryStream) cursor() api.Cursor { return memoryCursor(s.request.Range, s.after) }

// batch returns what is to be delivered next; nil if there is nothing, and then a channel that is closed when there may be more.
func (s *memoryStream) batch() (*api.WatchBatch, <-chan struct{}) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	switch {
	case s.after < s.m.feed.floor && s.request.List:
		s.list, s.after = true, s.m.index
		return &api.WatchBatch{Reset: true}, nil
	case s.after < s.m.feed.floor:
		s.after = s.m.feed.floor
		return &api.WatchBatch{Gap: &api.Gap{Range: s.request.Range, Reason: api.GapTrimmed}, Cursor: s.cursor()}, nil
	case s.list:
		s.list, s.ready, s.after = false, true, s.m.index
		return &api.WatchBatch{Events: s.present()}, nil
	case s.ready:
		s.ready = false
		return &api.WatchBatch{Ready: true, Cursor: s.cursor()}, nil
	}
	for i, e := range s.m.feed.events {
		if e.index > s.after {
			if events := s.command(i); len(events) > 0 {
				return &api.WatchBatch{Events: events, Cursor: s.cursor()}, nil
			}
		}
	}
	return nil, s.m.feed.changed
}

// command returns the events of the range that became visible together with event i, and moves behind them. The caller holds mu.
func (s *memoryStream) command(i int) (events []api.Event) {
	s.after = s.m.feed.events[i].index
	for _, e := range s.m.feed.events[i:] {
		if e.index != s.after {
			break
		}
		if s.request.Range.Contains(e.Key) {
			events = append(events, s.seen(e))
		}
	}
	return events
}

// present returns what the range holds, as events. The caller holds mu.
func (s *memoryStream) present() (events []api.Event) {
	for _, k := range slices.Sorted(maps.Keys(s.m.keys)) {
		if e := s.m.keys[k]; e.Exists && s.request.Range.Contains(k) {
			put := api.Event{Kind: api.EventPut, Key: k, Version: e.Version, Value: e.Value}
			events = append(events, s.seen(memoryEvent{Event: put, deadline: e.deadline}))
		}
	}
	return events
}

// seen returns the event as the watcher may see it.
func (s *memoryStream) seen(e memoryEvent) api.Event {
	if s.request.KeysOnly {
		e.Value = nil
	}
	if !e.deadline.IsZero() {
		e.TTL = max(1, time.Until(e.deadline))
	}
	return e.Event
}

var memoryCursors = crc32.MakeTable(crc32.Castagnoli)

// memoryCursor returns the position of a range at an index: base64url of the bounds, the index and a sum.
func memoryCursor(of api.Range, index uint64) api.Cursor {
	var b []byte
	for _, k := range []api.Key{of.Start, of.End} {
		b = append(binary.AppendUvarint(b, uint64(len(k))), k...)
	}
	b = binary.AppendUvarint(b, index)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, memoryCursors))
	return api.Cursor(base64.RawURLEncoding.EncodeToString(b))
}

// parseMemoryCursor reads what memoryCursor made, and nothing else.
func parseMemoryCursor(c api.Cursor) (of api.Range, index uint64, err error) {
	bad := api.Errorf(api.CodeInvalid, "this is no cursor of a list or a watch, or a part of one: watch without one, or list first")
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(c))
	if err != nil || len(b) < crc32.Size {
		return of, 0, bad
	}
	b, sum := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
	if crc32.Checksum(b, memoryCursors) != sum {
		return of, 0, bad
	}
	for _, k := range []*api.Key{&of.Start, &of.End} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return of, 0, bad
		}
		*k, b = api.Key(b[size:size+int(n)]), b[size+int(n):]
	}
	index, size := binary.Uvarint(b)
	if size != len(b) {
		return of, 0, bad
	}
	return of, index, nil
}
