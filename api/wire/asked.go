package wire

import (
	"unsafe"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// Asked is what is known of a call before it is decoded: enough to refuse it at very low cost.
type Asked struct {
	// Bytes is the size of its message.
	Bytes int64
	// Key is the first key that the call names. It is valid until Enter returns and must not be kept. It is "" if the call names
	// no key, or if the key cannot be determined.
	Key api.Key
	// Writes means that the call is a transaction. If it is false, Consistency is that of the read.
	Writes      bool
	Consistency api.Consistency
}

// asked examines a call whose timeout has been read.
func asked(m *message) Asked {
	a := Asked{Bytes: int64(m.size), Writes: m.kind == kindDo}
	r := m.body // a copy: what is read from it here is read again later
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
		a.Key = "" // the decoder reports the error
	}
	return a
}

// shared returns b as a key without copying it, so that a refused call costs no copy.
func shared(b []byte) api.Key { return api.Key(unsafe.String(unsafe.SliceData(b), len(b))) }

// firstKey returns the key of a transaction's first condition or, if it has none, of the first step of either branch.
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
