package remote

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// The envelopes of calls between nodes, as package wire carries them, in the bytes of package codec.

type readEnvelope words.ReadRequest

func (q *readEnvelope) Append(b []byte) []byte {
	w := codec.Writer{B: b}
	w.Text(string(q.Group))
	putSession(&w, q.Session)
	w.Uint(q.Age)
	w.Byte(byte(q.Hold))
	return w.B
}

func (q *readEnvelope) parse(b []byte) error {
	r := codec.Reader{B: b, Message: true}
	q.Group, q.Session, q.Age, q.Hold = r.Group(), readSession(&r), r.Uint(), words.Hold(r.Byte())
	return end(&r)
}

// grants is what a ReadResult has beside the application's result: the leases, and behind them the deadlines. Nodes that know
// no deadlines read an answer without them, since there are none before every node knows them.
type grants words.ReadResult

func (x *grants) Append(b []byte) []byte {
	w := codec.Writer{B: b}
	for _, lid := range x.Leases {
		w.Uint(uint64(lid))
	}
	if len(x.Leases) == 0 {
		for range x.Deadlines {
			w.Uint(0)
		}
	}
	for _, d := range x.Deadlines {
		w.Uint(d)
	}
	return w.B
}

// parse reads one lease an entry, or none at all, and then one deadline an entry, or none at all.
func (x *grants) parse(b []byte) error {
	x.Leases, x.Deadlines = x.Leases[:0], x.Deadlines[:0]
	if len(b) == 0 {
		return nil
	}
	r := codec.Reader{B: b, Message: true}
	for range x.Entries {
		x.Leases = append(x.Leases, ident.LeaseID(r.Uint()))
	}
	if len(r.B) > 0 {
		for range x.Entries {
			x.Deadlines = append(x.Deadlines, r.Uint())
		}
	}
	return end(&r)
}

type txnEnvelope words.Txn

func (t *txnEnvelope) Append(b []byte) []byte {
	w := codec.Writer{B: b}
	w.Text(string(t.Group))
	w.Uint(t.Epoch.Count)
	if !t.Epoch.IsZero() {
		w.Text(string(t.Epoch.Group))
		w.Uint(t.Epoch.Incarnation)
	}
	w.Uint(uint64(len(t.Dropped)))
	for i := range t.Dropped {
		d := &t.Dropped[i]
		putSession(&w, d.Session)
		w.Text(string(d.Key))
		w.Uint(uint64(d.Lease))
		w.Text(string(d.Group))
	}
	return w.B
}

func (t *txnEnvelope) parse(b []byte) error {
	r := codec.Reader{B: b, Message: true}
	t.Group = r.Group()
	if t.Epoch.Count = r.Uint(); !t.Epoch.IsZero() {
		t.Epoch.Group, t.Epoch.Incarnation = r.Group(), r.Uint()
	}
	for range r.Length(api.MaxTxnOps, 5) {
		t.Dropped = append(t.Dropped, ident.DroppedLease{
			Session: readSession(&r), Key: r.Key(), Lease: ident.LeaseID(r.Uint()), Group: r.Group(),
		})
	}
	return end(&r)
}

func putSession(w *codec.Writer, s ident.SessionID) {
	w.Uint(s.Incarnation)
	w.Uint(s.Index)
}

func readSession(r *codec.Reader) ident.SessionID {
	return ident.SessionID{Incarnation: r.Uint(), Index: r.Uint()}
}

// end is an error unless all of the envelope has been read, and nothing in it was wrong.
func end(r *codec.Reader) error {
	if r.End(); r.Fault() != "" {
		return api.Errorf(api.CodeInvalid, "the envelope of a call between nodes cannot be read: %s", r.Fault())
	}
	return nil
}
