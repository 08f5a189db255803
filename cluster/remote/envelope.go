package remote

import (
	"encoding/binary"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// The envelopes of calls between nodes, as package wire carries them: integers are varints, texts have their length before them,
// lists their count.

type readEnvelope words.ReadRequest

func (q *readEnvelope) Append(b []byte) []byte {
	b = appendText(b, q.Group)
	b = appendSession(b, q.Session)
	b = binary.AppendUvarint(b, q.Age)
	return append(b, byte(q.Hold))
}

func (q *readEnvelope) parse(b []byte) error {
	r := envelopeReader{b: b}
	q.Group, q.Session, q.Age, q.Hold = api.GroupID(r.text()), r.session(), r.uint(), words.Hold(r.uint())
	return r.end()
}

type leases words.ReadResult

func (x *leases) Append(b []byte) []byte {
	for _, lid := range x.Leases {
		b = binary.AppendUvarint(b, uint64(lid))
	}
	return b
}

// parse reads one lease an entry, or none at all.
func (x *leases) parse(b []byte) error {
	x.Leases = x.Leases[:0]
	if len(b) == 0 {
		return nil
	}
	r := envelopeReader{b: b}
	for range x.Entries {
		x.Leases = append(x.Leases, ident.LeaseID(r.uint()))
	}
	return r.end()
}

type txnEnvelope words.Txn

func (t *txnEnvelope) Append(b []byte) []byte {
	b = appendText(b, t.Group)
	b = binary.AppendUvarint(b, t.Epoch.Count)
	if !t.Epoch.IsZero() {
		b = appendText(b, t.Epoch.Group)
		b = binary.AppendUvarint(b, t.Epoch.Incarnation)
	}
	b = binary.AppendUvarint(b, uint64(len(t.Dropped)))
	for i := range t.Dropped {
		d := &t.Dropped[i]
		b = appendSession(b, d.Session)
		b = appendText(b, d.Key)
		b = binary.AppendUvarint(b, uint64(d.Lease))
		b = appendText(b, d.Group)
	}
	return b
}

func (t *txnEnvelope) parse(b []byte) error {
	r := envelopeReader{b: b}
	t.Group = api.GroupID(r.text())
	if t.Epoch.Count = r.uint(); !t.Epoch.IsZero() {
		t.Epoch.Group, t.Epoch.Incarnation = api.GroupID(r.text()), r.uint()
	}
	n := r.uint()
	if n > uint64(len(r.b)/5) { // the bytes of the shortest
		return errEnvelope
	}
	for range n {
		t.Dropped = append(t.Dropped, ident.DroppedLease{
			Session: r.session(), Key: api.Key(r.text()), Lease: ident.LeaseID(r.uint()), Group: api.GroupID(r.text()),
		})
	}
	return r.end()
}

func appendText[T ~string](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendSession(b []byte, s ident.SessionID) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, s.Incarnation), s.Index)
}

var errEnvelope = &api.Error{Code: api.CodeInvalid, Op: "call", Hint: "the envelope of a call between nodes cannot be read"}

// envelopeReader reads an envelope. After the first fault everything that it reads is zero.
type envelopeReader struct {
	b   []byte
	bad bool
}

func (r *envelopeReader) uint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *envelopeReader) text() string {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return ""
	}
	x := string(r.b[:n])
	r.b = r.b[n:]
	return x
}

func (r *envelopeReader) session() ident.SessionID {
	return ident.SessionID{Incarnation: r.uint(), Index: r.uint()}
}

// end is an error unless everything has been read.
func (r *envelopeReader) end() error {
	if r.bad || len(r.b) > 0 {
		return errEnvelope
	}
	return nil
}
