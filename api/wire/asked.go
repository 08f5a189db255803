package wire

import (
	"unsafe"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// Asked is what is known of a call before it is taken apart: enough to refuse it at next to no cost.
type Asked struct {
	// Bytes is the size of its message.
	Bytes int64
	// Key is the first key that the call names; it is valid until Enter returns, and not to be kept. "" if it names none,
	// or none that can be told.
	Key api.Key
	// Writes: it is a transaction. Else Consistency is the read's.
	Writes      bool
	Consistency api.Consistency
}

// asked looks at a call of which the timeout has been read.
func asked(m *message) Asked {
	a := Asked{Bytes: int64(m.size), Writes: m.kind == kindDo}
	r := m.body // a copy: what is read of it here is read again
	if a.Writes {
		a.Key = shared(firstKey(&r))
	} else {
		for i := range r.Uint() {
			k := r.Take(r.Uint())
			if r.Fault() != "" {
				break
			}
			if i == 0 {
				a.Key = shared(k)
			}
		}
		a.Consistency = api.Consistency(r.Byte())
	}
	if r.Fault() != "" {
		a.Key = "" // the decoder will say so
	}
	return a
}

// shared is b as a key, without a copy for each call that is refused.
func shared(b []byte) api.Key { return api.Key(unsafe.String(unsafe.SliceData(b), len(b))) }

// firstKey is the key of a transaction's first condition, or if it has none of its first step, in whichever branch.
func firstKey(r *codec.Reader) []byte {
	r.RequestID()
	for range 3 { // If, Then and Else: an empty list is its length alone
		if r.Uint() > 0 {
			r.Byte() // the kind
			return r.Take(r.Uint())
		}
	}
	return nil
}
