package fsm

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// client is a row of tableDedup: one that sends Seqs.
type client struct {
	ackedBelow uint64
	epoch      Epoch // of its newest request
	count      int   // its records
}

func (c client) row() []byte {
	w := codec.Writer{B: make([]byte, 0, 16)}
	w.Uint(c.ackedBelow)
	w.Uint(uint64(c.epoch))
	w.Uint(uint64(c.count))
	return w.B
}

func readClient(r *codec.Reader) client { return client{r.Uint(), readEpoch(r), readLimit(r)} }

func (v *view) client(id api.ClientID) client {
	if v.windows != nil {
		return v.window(id).row
	}
	if k, ok := v.known[id]; ok {
		return k.row
	}
	row, ok := v.get(v.key.client(id))
	if !ok {
		return client{}
	}
	return parse(row, readClient)
}

// setClient stores the client's row.
func (t *tx) setClient(id api.ClientID, c client) {
	w := t.window(id)
	w.row = c
	t.windows.touched[id] = w
	t.set(t.key.client(id), c.row())
}

// delClient drops the row of a client that has no records.
func (t *tx) delClient(id api.ClientID) {
	w := t.window(id)
	w.row = client{}
	t.windows.touched[id] = w
	t.del(t.key.client(id))
}

// windows caches clients for Apply. Without it the row and the records of a client would be looked up for each of its writes. It
// is derived from the tables and changes with them, and is not part of the state. It belongs to the goroutine that applies.
type windows struct {
	clients map[api.ClientID]*window
	size    int // records of all clients
	// touched are the clients whose windows this Apply has changed.
	touched map[api.ClientID]*window
}

// window is one client's row, and the anchors of all its records by sequence.
type window struct {
	row     client
	anchors map[uint64]api.Key
	newest  uint64 // the greatest sequence that ever had a record since the window was made
}

// Bounds of the cache; one over, and all is looked up anew.
const (
	maxWindows       = 4096
	maxWindowRecords = 1 << 18
)

// known is a window as readers see it.
type known struct {
	row    client
	newest uint64
}

// window returns the client's window, looked up if it is not cached.
func (v *view) window(id api.ClientID) *window {
	if w := v.windows.clients[id]; w != nil {
		return w
	}
	if len(v.windows.clients) >= maxWindows || v.windows.size >= maxWindowRecords {
		v.windows.clear()
	}
	w := &window{anchors: map[uint64]api.Key{}}
	lo := append([]byte(nil), v.key.client(id)...)
	hi := append(append([]byte(nil), lo...), 0xff)
	hi = append(hi, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) // behind the record of the greatest sequence
	v.scan(lo, hi, func(k, row []byte) bool {
		d := readDedupRow(k, row)
		if d.isRow {
			w.row = d.row
		} else if d.seq > 0 {
			w.anchors[d.seq] = d.anchor
			w.newest = max(w.newest, d.seq)
		}
		return true
	})
	if v.windows.clients == nil {
		v.windows.clients, v.windows.touched = map[api.ClientID]*window{}, map[api.ClientID]*window{}
	}
	v.windows.clients[id] = w
	v.windows.size += len(w.anchors)
	v.windows.touched[id] = w
	return w
}

func (ws *windows) clear() {
	clear(ws.clients)
	ws.size = 0
}

// publish shows readers what this Apply has changed.
func (ws *windows) publish(to map[api.ClientID]known) {
	if len(to)+len(ws.touched) > 2*maxWindows {
		clear(to)
	}
	for id, w := range ws.touched {
		to[id] = known{w.row, w.newest}
	}
	clear(ws.touched)
}

// remember and drop keep the window in step with the records.
func (t *tx) remember(c *Record) {
	if c.Seq == 0 {
		return
	}
	w := t.window(c.Client)
	if _, known := w.anchors[c.Seq]; !known {
		t.windows.size++
	}
	w.anchors[c.Seq] = c.Anchor
	w.newest = max(w.newest, c.Seq)
	t.windows.touched[c.Client] = w
}

func (t *tx) dropFromWindow(id api.ClientID, seq uint64) {
	if w := t.windows.clients[id]; w != nil && seq > 0 {
		if _, known := w.anchors[seq]; known {
			t.windows.size--
		}
		delete(w.anchors, seq)
	}
}

// none reports whether the cache shows that a request has no record.
func (v *view) none(id api.ClientID, seq uint64) bool {
	if seq == 0 {
		return false
	}
	if v.windows != nil {
		_, has := v.window(id).anchors[seq]
		return !has
	}
	k, ok := v.known[id]
	return ok && seq > k.newest
}

// forgetClients is for a state that was replaced. The caller holds mu, and no Apply is under way.
func (m *Machine) forgetClients() {
	m.tx.room.windows, m.known = windows{}, map[api.ClientID]known{}
}
