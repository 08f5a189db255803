package fsm

import (
	"bytes"
	"cmp"
	"iter"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// Receipt proves that groups gave a range up. Each of them stores it. It carries the at-most-once records anchored in the range,
// so that a retry finds the result of its first attempt at the new owner.
type Receipt struct {
	Range      api.Range     `cbor:"1,keyasint"`
	Epoch      uint64        `cbor:"2,keyasint"` // at which To may own the range
	To         []api.GroupID `cbor:"3,keyasint,omitempty"`
	From       []Source      `cbor:"4,keyasint,omitempty"` // by Index
	DedupEpoch Epoch         `cbor:"5,keyasint,omitempty"` // of the group that gave it, then; of those that did, the greatest
	Clients    []Client      `cbor:"6,keyasint,omitempty"` // by ID
	Records    []Record      `cbor:"7,keyasint,omitempty"` // by Client, then Seq
}

// Source is a group that gave its shard of the range up.
type Source struct {
	Group api.GroupID `cbor:"1,keyasint"`
	Index uint32      `cbor:"2,keyasint,omitempty"`
	Of    uint32      `cbor:"3,keyasint,omitempty"`
}

// Client is what a machine stores about a client of at-most-once writes.
type Client struct {
	ID         api.ClientID `cbor:"1,keyasint"`
	AckedBelow uint64       `cbor:"2,keyasint,omitempty"`
	// Epoch is that of its newest write, in the count of the group that gave the receipt: for a taker at level 1. Age is how
	// long ago it was then.
	Epoch Epoch `cbor:"3,keyasint,omitempty"`
	Age   Age   `cbor:"4,keyasint,omitempty"`
}

// Complete reports whether every group that had owned a shard of the range has joined.
func (r *Receipt) Complete() bool {
	for i, s := range r.From {
		if s.Index != uint32(i) || s.Of != uint32(len(r.From)) {
			return false
		}
	}
	return len(r.From) > 0
}

// Join returns the combined receipt of both. They must be of one range, for the same epoch and takers, from different groups. If
// a range had several owners, Adopt needs the joined receipts of all. The error is CodeInvalid if they do not fit together.
func (r *Receipt) Join(o *Receipt) (*Receipt, error) {
	if r.Range != o.Range || r.Epoch != o.Epoch || !slices.Equal(r.To, o.To) {
		return nil, api.Errorf(api.CodeInvalid, "the receipts of %v at epoch %d and %v at epoch %d are not for one move",
			r.Range, r.Epoch, o.Range, o.Epoch)
	}
	j := &Receipt{
		Range: r.Range, Epoch: r.Epoch, To: r.To, DedupEpoch: max(r.DedupEpoch, o.DedupEpoch),
		From:    slices.SortedFunc(both(r.From, o.From), compareSources),
		Clients: slices.SortedFunc(both(r.Clients, o.Clients), compareClients),
		Records: slices.SortedFunc(both(r.Records, o.Records), compareRecords),
	}
	j.From = slices.Compact(j.From)
	for i := 1; i < len(j.From); i++ {
		if j.From[i].Index == j.From[i-1].Index || j.From[i].Of != j.From[0].Of {
			return nil, api.Errorf(api.CodeInvalid, "two groups gave up the same shard of %v", r.Range)
		}
	}
	j.Clients = mergeClients(j.Clients)
	j.Records = slices.CompactFunc(j.Records, func(a, b Record) bool { return compareRecords(a, b) == 0 })
	return j, nil
}

// mergeClients makes one of neighbours that are the same client.
func mergeClients(sorted []Client) []Client {
	var out []Client
	for _, c := range sorted {
		if n := len(out); n > 0 && out[n-1].ID == c.ID {
			out[n-1].AckedBelow = max(out[n-1].AckedBelow, c.AckedBelow)
			out[n-1].Epoch, out[n-1].Age = max(out[n-1].Epoch, c.Epoch), min(out[n-1].Age, c.Age)
			continue
		}
		out = append(out, c)
	}
	return out
}

func compareSources(a, b Source) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Of, b.Of), cmp.Compare(a.Group, b.Group))
}

func compareClients(a, b Client) int { return bytes.Compare(a.ID[:], b.ID[:]) }

func compareRecords(a, b Record) int {
	return cmp.Or(bytes.Compare(a.Client[:], b.Client[:]), cmp.Compare(a.Seq, b.Seq))
}

// both yields the elements of a, then those of b.
func both[T any](a, b []T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, s := range [2][]T{a, b} {
			for _, x := range s {
				if !yield(x) {
					return
				}
			}
		}
	}
}

func putReceipt(w *codec.Writer, x *Receipt) {
	codec.PutRange(w, x.Range)
	w.Uint(x.Epoch)
	codec.PutList(w, x.To, codec.PutGroup)
	codec.PutList(w, x.From, func(w *codec.Writer, s *Source) {
		w.Text(string(s.Group))
		w.Uint(uint64(s.Index))
		w.Uint(uint64(s.Of))
	})
	w.Uint(uint64(x.DedupEpoch))
	codec.PutList(w, x.Clients, func(w *codec.Writer, c *Client) {
		w.Raw(c.ID[:])
		w.Uint(c.AckedBelow)
		w.Uint(uint64(c.Epoch))
	})
	codec.PutList(w, x.Records, func(w *codec.Writer, c *Record) {
		w.Raw(c.Client[:])
		w.Uint(c.Seq)
		putRecord(w, c)
	})
}

func readSources(r *codec.Reader) []Source {
	return codec.List(r, maxShards, 3, func(r *codec.Reader) Source {
		return Source{Group: r.Group(), Index: r.Uint32(), Of: r.Uint32()}
	})
}

func readReceipt(r *codec.Reader) Receipt {
	return Receipt{
		Range: r.Range(), Epoch: r.Uint(), To: codec.List(r, maxGroups, 1, (*codec.Reader).Group),
		From:       readSources(r),
		DedupEpoch: readEpoch(r),
		Clients: codec.List(r, maxReceiptRecords, 18, func(r *codec.Reader) Client {
			return Client{ID: r.Array16(), AckedBelow: r.Uint(), Epoch: readEpoch(r)}
		}),
		Records: codec.List(r, maxReceiptRecords, 39, func(r *codec.Reader) Record {
			c := Record{Client: r.Array16(), Seq: r.Uint()}
			readRecord(r, &c)
			return c
		}),
	}
}

// putAges writes what a receipt of level 2 says beyond one of level 1: one age for each client, and for each record.
func putAges(w *codec.Writer, x *Receipt) {
	for i := range x.Clients {
		w.Uint(uint64(x.Clients[i].Age))
	}
	for i := range x.Records {
		w.Uint(uint64(x.Records[i].Age))
	}
}

func readAges(r *codec.Reader, x *Receipt) {
	for i := range x.Clients {
		x.Clients[i].Age = Age(r.Uint())
	}
	for i := range x.Records {
		x.Records[i].Age = Age(r.Uint())
	}
}

// left is a row of tableMoved: a receipt, and the tenure that ended with it.
type left struct {
	Receipt
	// at is the index of the command that gave the range up, and since that of the one that had taken it over, or 0 if the group
	// was founded with it. epoch is that at which the group owned it. All are 0 if the group kept no history.
	at, since, epoch uint64
}

// row returns the row. Those of level 1 have no ages, unless there was a history.
func (x *left) row(level Level) []byte {
	var w codec.Writer
	putReceipt(&w, &x.Receipt)
	if level > Level1 || x.at > 0 {
		putAges(&w, &x.Receipt)
	}
	if x.at > 0 {
		w.Uint(x.at)
		w.Uint(x.since)
		w.Uint(x.epoch)
	}
	return w.B
}

func readLeft(r *codec.Reader) left {
	x := left{Receipt: readReceipt(r)}
	if len(r.B) > 0 {
		readAges(r, &x.Receipt)
	}
	if len(r.B) > 0 {
		if x.at, x.since, x.epoch = r.Uint(), r.Uint(), r.Uint(); x.at <= x.since {
			r.Fail("a range that was given up before it was taken over")
		}
	}
	return x
}
