package codec

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// fill sets every field below v to something that is not zero: what a codec leaves out shows.
func fill(v reflect.Value, n *uint64) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("cbor") != "-" {
				fill(v.Field(i), n)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(*n%200 + 1)
	case reflect.Uint64, reflect.Uint32:
		v.SetUint(*n << 7)
	case reflect.Int64, reflect.Int:
		v.SetInt(int64(*n) << 9)
	default:
		panic("no value for a " + v.Kind().String())
	}
}

// word is one word's way to bytes and back.
type word struct {
	name string
	zero func() any
	put  func(w *Writer, v any)
	read func(r *Reader, v any)
}

func wordOf[T any](put func(*Writer, *T), read func(*Reader, *T)) word {
	return word{
		name: reflect.TypeFor[T]().Name(),
		zero: func() any { return new(T) },
		put:  func(w *Writer, v any) { put(w, v.(*T)) },
		read: func(r *Reader, v any) { read(r, v.(*T)) },
	}
}

// full is a word with every field set, but that a condition and a step have one field beside their keys.
func (x word) full() any {
	v := x.zero()
	fill(reflect.ValueOf(v).Elem(), new(uint64))
	if t, ok := v.(*api.Txn); ok {
		steps := txn()
		t.If, t.Then, t.Else = steps.If, steps.Then, steps.Else
	}
	return v
}

var calls = []word{
	wordOf(PutReadRequest, (*Reader).ReadRequest), wordOf(PutReadResult, (*Reader).ReadResult),
	wordOf(PutTxn, (*Reader).Txn), wordOf(PutTxnResult, (*Reader).TxnResult),
	wordOf(PutError, func(r *Reader, e *api.Error) { *e = *r.Error() }),
}

// TestEveryFieldTravels: also one that is added to a word later.
func TestEveryFieldTravels(t *testing.T) {
	for _, x := range calls {
		for _, want := range []any{x.full(), x.zero()} {
			var w Writer
			x.put(&w, want)
			r, got := Reader{B: w.B, Message: true}, x.zero()
			if x.read(&r, got); r.Fault() != "" || len(r.B) > 0 || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %q, %d bytes left\ngot  %+v\nwant %+v", x.name, r.Fault(), len(r.B), got, want)
			}
			for n := range w.B { // cut off anywhere it is refused
				r := Reader{B: w.B[:n], Message: true}
				if x.read(&r, x.zero()); r.Fault() == "" {
					t.Errorf("%s: %d of %d bytes are accepted", x.name, n, len(w.B))
				}
			}
		}
	}
}

// TestReadResultUsesMemoryAgain: a second result that is no larger takes no memory for its entries.
func TestReadResultUsesMemoryAgain(t *testing.T) {
	var w Writer
	PutReadResult(&w, &api.ReadResult{Entries: make([]api.Entry, 3)})
	out := api.ReadResult{Entries: make([]api.Entry, 3, 5)}
	out.Entries[0] = api.Entry{Key: "old", Value: []byte("old"), Exists: true}
	var r Reader
	if n := testing.AllocsPerRun(100, func() {
		r = Reader{B: w.B, Message: true}
		r.ReadResult(&out)
	}); n != 0 || !reflect.DeepEqual(out.Entries, make([]api.Entry, 3)) {
		t.Errorf("%v allocations, %+v", n, out.Entries)
	}
}

// FuzzCalls: nothing that comes makes a reader fail in another way than it should, or take memory for what is not there; and what is
// read is written in the same bytes.
func FuzzCalls(f *testing.F) {
	for i, x := range calls {
		var w Writer
		x.put(&w, x.full())
		f.Add(byte(i), w.B)
	}
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		x := calls[int(which)%len(calls)]
		r, v := Reader{B: b, Message: true}, x.zero()
		if x.read(&r, v); r.Fault() != "" {
			return
		}
		var w Writer
		if x.put(&w, v); string(w.B) != string(b[:len(b)-len(r.B)]) {
			t.Errorf("%x is taken for %x", b, w.B)
		}
	})
}
