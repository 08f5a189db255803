package engine

// room is memory for the keys and changes of one batch, which the next batch uses again. A full piece is followed by another
// one, twice as large, and does not move: pointers into it stay valid.
type room struct {
	keys []byte
	all  []change
}

// key returns a copy of k.
func (r *room) key(k string) string {
	if len(k) > cap(r.keys)-len(r.keys) {
		r.keys = make([]byte, 0, max(1<<10, len(k), 2*cap(r.keys)))
	}
	r.keys = append(r.keys, k...)
	return text(r.keys[len(r.keys)-len(k):])
}

// change returns a copy of c.
func (r *room) change(c change) *change {
	if len(r.all) == cap(r.all) {
		r.all = make([]change, 0, max(16, 2*cap(r.all)))
	}
	r.all = append(r.all, c)
	return &r.all[len(r.all)-1]
}

// great reports whether the room is larger than what the next batch should keep.
func (r *room) great() bool { return cap(r.all) > 4096 || cap(r.keys) > 256<<10 }

// clear empties the room. No key or change of it may be in use.
func (r *room) clear() {
	clear(r.all)
	r.keys, r.all = r.keys[:0], r.all[:0]
}
