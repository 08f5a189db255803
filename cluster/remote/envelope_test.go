package remote

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// fill sets every field of a struct, also of those within, to something else than zero.
func fill(v reflect.Value, n *uint64) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field, n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.String:
		v.SetString(string(rune('a' + *n%26)))
	case reflect.Uint8:
		v.SetUint(*n % 8)
	case reflect.Uint64:
		v.SetUint(*n << 20)
	}
}

// TestEnvelopesTravel: every field of an envelope does, also one that is added later; the application's own words are not in it,
// and neither is what does not leave the node. What is cut off or too long is refused.
func TestEnvelopesTravel(t *testing.T) {
	var read words.ReadRequest
	var txn words.Txn
	n := uint64(0)
	fill(reflect.ValueOf(&read).Elem(), &n)
	fill(reflect.ValueOf(&txn).Elem(), &n)
	read.ReadRequest, txn.Txn, txn.Leased = api.ReadRequest{}, api.Txn{}, nil
	for _, c := range []struct {
		name  string
		want  any
		bytes []byte
		parse func(b []byte) (any, error)
	}{
		{"read", read, (*readEnvelope)(&read).Append(nil), parseRead},
		{"read without anything", words.ReadRequest{}, new(readEnvelope).Append(nil), parseRead},
		{"txn", txn, (*txnEnvelope)(&txn).Append(nil), parseTxn},
		{"txn without anything", words.Txn{}, new(txnEnvelope).Append(nil), parseTxn},
	} {
		if got, err := c.parse(c.bytes); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", c.name, err, got, c.want)
		}
		for n := range c.bytes {
			if _, err := c.parse(c.bytes[:n]); !errors.Is(err, api.CodeInvalid) {
				t.Errorf("%s: %d of %d bytes: %v", c.name, n, len(c.bytes), err)
			}
		}
		if _, err := c.parse(append(c.bytes, 0)); !errors.Is(err, api.CodeInvalid) {
			t.Errorf("%s: with a byte more: %v", c.name, err)
		}
	}
	many := append(make([]byte, 2), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1) // leases without end
	if _, err := parseTxn(many); !errors.Is(err, api.CodeInvalid) {
		t.Errorf("%d leases: %v", uint64(math.MaxUint64), err)
	}
}

func parseRead(b []byte) (any, error) {
	var q words.ReadRequest
	err := (*readEnvelope)(&q).parse(b)
	return q, err
}

func parseTxn(b []byte) (any, error) {
	var q words.Txn
	err := (*txnEnvelope)(&q).parse(b)
	return q, err
}

// TestLeasesTravel: one an entry, or none at all.
func TestLeasesTravel(t *testing.T) {
	entries := make([]api.Entry, 3)
	for _, want := range [][]ident.LeaseID{nil, {1, 0, math.MaxUint64}, {0, 0, 0}} {
		b := (&grants{Leases: want}).Append(nil)
		got := words.ReadResult{ReadResult: api.ReadResult{Entries: entries}, Leases: []ident.LeaseID{7}}
		if err := (*grants)(&got).parse(b); err != nil || len(got.Leases) != len(want) {
			t.Errorf("%v came back as %v, %v", want, got.Leases, err)
		}
		for i := range want {
			if got.Lease(i) != want[i] {
				t.Errorf("%v came back as %v", want, got.Leases)
			}
		}
		for n := 1; n < len(b); n++ {
			if err := (*grants)(&got).parse(b[:n]); !errors.Is(err, api.CodeInvalid) {
				t.Errorf("%d of %d bytes: %v", n, len(b), err)
			}
		}
	}
}

// TestDeadlinesTravel: one an entry behind the leases, with leases or without any. Without deadlines the bytes are those of leases
// alone, which older nodes read.
func TestDeadlinesTravel(t *testing.T) {
	entries := make([]api.Entry, 2)
	for _, lids := range [][]ident.LeaseID{nil, {5, 0}} {
		want := []uint64{0, 1 << 41}
		b := (&grants{Leases: lids, Deadlines: want}).Append(nil)
		got := words.ReadResult{ReadResult: api.ReadResult{Entries: entries}, Deadlines: []uint64{7}}
		if err := (*grants)(&got).parse(b); err != nil || !slices.Equal(got.Deadlines, want) {
			t.Errorf("%v came back as %v, %v", want, got.Deadlines, err)
		}
		for i := range entries {
			if lid := (&words.ReadResult{Leases: lids}).Lease(i); got.Lease(i) != lid {
				t.Errorf("lease %d came back as %v", lid, got.Lease(i))
			}
		}
		if err := (*grants)(&got).parse(b[:len(b)-1]); !errors.Is(err, api.CodeInvalid) {
			t.Errorf("%d of %d bytes: %v", len(b)-1, len(b), err)
		}
		if err := (*grants)(&got).parse(append(b, 0)); !errors.Is(err, api.CodeInvalid) {
			t.Errorf("with a byte more: %v", err)
		}
	}
}

// TestEnvelopesAsMethods: requests that are called as methods, as large transactions and lists are, bring all of their envelopes, too.
func TestEnvelopesAsMethods(t *testing.T) {
	w := newWorld(t)
	g := newGroup("g")
	var txn words.Txn
	var read words.ReadRequest
	g.do = func(_ context.Context, q *words.Txn) (*api.TxnResult, error) { txn = *q; return &api.TxnResult{}, nil }
	g.read = func(_ context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
		read = *q
		return &words.ReadResult{ReadResult: api.ReadResult{Entries: []api.Entry{{Key: "k", Exists: true}}}, Leases: []ident.LeaseID{9}}, nil
	}
	s, c := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}}), w.start("c", config{})
	defer s.close()
	defer c.close()
	sid := ident.SessionID{Incarnation: 1, Index: 2}
	sent := words.Txn{
		Txn: api.Txn{
			ID: api.RequestID{Client: api.ClientID{1}, Seq: 2}, Age: 7,
			Then: []api.Op{{Kind: api.OpPut, Key: "k", Value: make([]byte, peer.MaxCallBytes)}},
		},
		Group: "g", Epoch: ident.DedupEpoch{Group: "g", Incarnation: 3, Count: 4},
		Dropped: []ident.DroppedLease{{Session: sid, Key: "k", Lease: 5, Group: "g"}},
	}
	if _, err := c.node("s").Do(t.Context(), &sent); err != nil || !reflect.DeepEqual(txn, sent) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, txn, sent)
	}
	q := words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}, Group: "g", Session: sid, Age: 6, Hold: words.HoldTxn}
	for _, at := range []*station{c, s} { // in a call, and as a method of the node itself
		res, err := words.Read(t.Context(), at.node("s"), &q)
		if err != nil || res.Lease(0) != 9 || !res.Entries[0].Exists || !reflect.DeepEqual(read, q) {
			t.Errorf("%+v, %v\ngot  %+v\nwant %+v", res, err, read, q)
		}
	}
}
