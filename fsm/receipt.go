package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Shard is a part of the keyspace with one owner: the keys of Range whose [ident.ShardOf] (of Of) is Index.
type Shard struct {
	Range api.Range `cbor:"1,keyasint,omitempty"`
	Epoch uint64    `cbor:"2,keyasint,omitempty"` // first part of the versions written under this ownership
	Index uint32    `cbor:"3,keyasint,omitempty"`
	Of    uint32    `cbor:"4,keyasint,omitempty"`
}

// Owns tells whether the key is the shard's.
func (s Shard) Owns(k api.Key) bool {
	return s.Range.Contains(k) && (s.Of < 2 || ident.ShardOf(k, s.Of) == s.Index)
}

func (s Shard) check() *api.Error {
	switch {
	case s.Range.End != "" && s.Range.End <= s.Range.Start:
		return api.Errorf(api.CodeInvalid, "the range %v is empty", s.Range)
	case s.Of == 0 || s.Of > maxShards || s.Index >= s.Of:
		return api.Errorf(api.CodeInvalid, "there is no shard %d of %d", s.Index, s.Of)
	case len(s.Range.Start) > api.MaxKeyBytes || len(s.Range.End) > api.MaxKeyBytes:
		return api.Errorf(api.CodeTooLarge, "a bound of a range is over the limit of %d bytes", api.MaxKeyBytes)
	}
	return nil
}

// Receipt proves that groups gave a range up. It is kept by each of them, and carries the at-most-once records anchored in
// the range, so that a retry finds at the new owner what its first attempt did.
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

// Client is what a machine knows of a client of at-most-once writes.
type Client struct {
	ID         api.ClientID `cbor:"1,keyasint"`
	AckedBelow uint64       `cbor:"2,keyasint,omitempty"`
	// Epoch is that of its newest write, in the count of the group that gave the receipt: for a taker at level 1. Age is how
	// long ago it was then.
	Epoch Epoch `cbor:"3,keyasint,omitempty"`
	Age   Age   `cbor:"4,keyasint,omitempty"`
}

// Record is the stored result of one write; or, where Decider is set, the attempt of a transaction across groups that is
// under way or was: its result is at that group.
type Record struct {
	Client api.ClientID `cbor:"1,keyasint"`
	Seq    uint64       `cbor:"2,keyasint,omitempty"`
	// Anchor is the smallest key that the transaction names: the record is where that key is.
	Anchor api.Key `cbor:"3,keyasint"`
	// Body tells transactions with the same id apart.
	Body [16]byte `cbor:"4,keyasint"`
	// Epoch is that in which it was written, in the count of the group that has it. Age is how long ago that was when the group
	// gave it away, in a receipt.
	Epoch     Epoch       `cbor:"5,keyasint,omitempty"`
	Age       Age         `cbor:"12,keyasint,omitempty"`
	Committed bool        `cbor:"6,keyasint,omitempty"`
	Version   api.Version `cbor:"7,keyasint,omitempty"`
	Outcomes  []Outcome   `cbor:"8,keyasint,omitempty"` // one for each entry of the result
	// Attempt, Decider and DeciderEpoch are of the attempt: TxnID's, and TxnRef's Epoch, which only the decider can compare.
	Attempt      uint64      `cbor:"9,keyasint,omitempty"`
	Decider      api.GroupID `cbor:"10,keyasint,omitempty"`
	DeciderEpoch uint64      `cbor:"11,keyasint,omitempty"`
}

// Complete tells whether every group that had owned a shard of the range has joined.
func (r *Receipt) Complete() bool {
	for i, s := range r.From {
		if s.Index != uint32(i) || s.Of != uint32(len(r.From)) {
			return false
		}
	}
	return len(r.From) > 0
}

// Join returns the receipt of both: of one range, for the same epoch and takers, from different groups. Where a range had
// several owners, Adopt needs the receipts of all joined. CodeInvalid where they do not fit together.
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
