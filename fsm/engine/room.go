package engine

// room is where the keys and changes of a batch are kept, which is short-lived: the next batch has it again. A piece that is
// full is followed by another, twice as large: what is in it stays where it is, since others point there.
type room struct {
	keys []byte
	all  []change
}

// key is a copy of k.
func (r *room) key(k string) string {
	if len(k) > cap(r.keys)-len(r.keys) {
		r.keys = make([]byte, 0, max(1<<10, len(k), 2*cap(r.keys)))
	}
	r.keys = append(r.keys, k...)
	return text(r.keys[len(r.keys)-len(k):])
}

// change is a copy of c.
func (r *room) change(c change) *change {
	if len(r.all) == cap(r.all) {
		r.all = make([]change, 0, max(16, 2*cap(r.all)))
	}
	r.all = append(r.all, c)
	return &r.all[len(r.all)-1]
}

// great tells whether it takes more than is kept for the next batch.
func (r *room) great() bool { return cap(r.all) > 4096 || cap(r.keys) > 256<<10 }

// clear is called when nobody has any key or change of it any more.
func (r *room) clear() {
	clear(r.all)
	r.keys, r.all = r.keys[:0], r.all[:0]
}
