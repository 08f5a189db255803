package codec

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// txn has every kind of condition and step.
func txn() api.Txn {
	return api.Txn{
		ID: api.RequestID{
			Client: api.ClientID{1, 15: 2}, Seq: 9, AckedBelow: 8,
		},
		If: []api.Cond{
			{Kind: api.CondVersion, Key: "a", Version: api.Version{Epoch: 1, Index: 200}}, {Kind: api.CondExists, Key: "b"},
			{Kind: api.CondAbsent, Key: "\x00\xff"}, {Kind: api.CondValue, Key: "d", Value: []byte("v")}, {Kind: api.CondValue, Key: "e"},
		},
		Then: []api.Op{
			{Kind: api.OpPut, Key: "a", Value: []byte("1")}, {Kind: api.OpGet, Key: "b"}, {Kind: api.OpDelete, Key: "c"},
			{Kind: api.OpAdd, Key: "n", Delta: math.MinInt64}, {Kind: api.OpAppendIfAbsent, Key: "l", Value: []byte("<1>")},
		},
		Else: []api.Op{{Kind: api.OpPut, Key: "d"}},
	}
}

// timed are the steps that layouts of logs have from the fifth on, and functions those from the sixth on.
var (
	timed = []api.Op{
		{Kind: api.OpPut, Key: "a", Value: []byte("1"), TTL: time.Hour}, {Kind: api.OpAppendIfAbsent, Key: "l", Value: []byte("<1>"), TTL: 1},
		{Kind: api.OpTouch, Key: "a", TTL: time.Minute}, {Kind: api.OpList, Key: "a/", Limit: 1000},
	}
	functions = []api.Op{
		{Kind: api.OpPut, Key: "a", Value: []byte("1"), KeepTTL: true}, {Kind: api.OpAppend, Key: "l", Value: []byte("<1>")},
		{Kind: api.OpAppend, Key: "l"}, {Kind: api.OpSum64, Key: "n", Value: []byte("12345678"), KeepTTL: true},
		{Kind: api.OpMin64, Key: "n", Value: []byte("12345678"), TTL: time.Hour}, {Kind: api.OpMax64, Key: "n", Value: []byte("12345678")},
	}
)

// TestStepsOfLayouts checks that a log of an early layout has no step of a later one, and a message has all.
func TestStepsOfLayouts(t *testing.T) {
	for first, ops := range map[uint8][]api.Op{formatTTL: timed, formatFunctions: functions} {
		for _, op := range ops {
			var w Writer
			PutOp(&w, &op)
			for format := range uint8(8) {
				r := Reader{B: w.B, Format: format}
				got := readOp(&r)
				r.End()
				if has := format == 0 || format >= first; (r.Fault() == "") != has || has && !reflect.DeepEqual(got, op) {
					t.Errorf("layout %d: %+v came back as %+v, %q", format, op, got, r.Fault())
				}
			}
			m := Reader{B: w.B, Message: true}
			if got := readOp(&m); m.Fault() != "" || !reflect.DeepEqual(got, op) {
				t.Errorf("in a message %+v came back as %+v, %q", op, got, m.Fault())
			}
		}
	}
}

func putTxn(w *Writer, t *api.Txn) {
	PutRequestID(w, &t.ID)
	PutSteps(w, t)
}

func readTxn(r *Reader) (t api.Txn) {
	t.ID = r.RequestID()
	r.Steps(&t)
	r.End()
	return t
}

func TestTxn(t *testing.T) {
	for format := range uint8(3) {
		want := txn()
		w := Writer{Format: format}
		putTxn(&w, &want)
		r := Reader{B: w.B, Format: format}
		if got := readTxn(&r); r.Fault() != "" || !reflect.DeepEqual(got, want) {
			t.Errorf("format %d: %s, %+v came back as %+v", format, r.Fault(), want, got)
		}
		if size := len(w.B); size > 64+StepsSize(&want) {
			t.Errorf("it takes %d bytes, and %d were said to be enough", size, 64+StepsSize(&want))
		}
	}
}

func TestPrimitives(t *testing.T) {
	var w Writer
	for _, x := range []uint64{0, 1, 0x7f, 0x80, math.MaxUint32, math.MaxInt64, math.MaxUint64} {
		w.B = nil
		w.Uint(x)
		w.Fixed64(x)
		w.Int(int64(x))
		w.Int(-int64(x))
		w.Duration(time.Duration(x))
		r := Reader{B: w.B}
		if a, b, c, d := r.Uint(), r.Fixed64(), r.Int(), r.Int(); a != x || b != x || c != int64(x) || d != -int64(x) {
			t.Errorf("%d came back as %d, %d, %d, %d", x, a, b, c, d)
		}
		if d := r.Duration(); d != max(0, time.Duration(x)) || r.Fault() != "" || len(r.B) > 0 {
			t.Errorf("the duration %d came back as %d, %s", x, d, r.Fault())
		}
	}
	w.B = nil
	w.Flags(true, false, true)
	r := Reader{B: w.B}
	if f := r.Flags(3); !Flag(f, 0) || Flag(f, 1) || !Flag(f, 2) {
		t.Errorf("the flags came back as %b", f)
	}
	if r = (Reader{B: w.B}); r.Flags(2) != 0 || r.Fault() != "an unknown flag" {
		t.Errorf("of three flags two were read: %s", r.Fault())
	}
}

// TestFaults: what is wrong first is what is said, and nothing that follows is read.
func TestFaults(t *testing.T) {
	for want, c := range map[string]struct {
		b    []byte
		read func(r *Reader)
	}{
		"cut off":             {[]byte{5, 1, 2}, func(r *Reader) { r.Bytes(10) }},
		"bytes after the end": {[]byte{1, 2}, func(r *Reader) { r.Byte(); r.End() }},
		"a number that is cut off, too long or not in its shortest form": {[]byte{0x80, 0}, func(r *Reader) { r.Uint() }},
		"a number over 32 bits":          {[]byte{0xff, 0xff, 0xff, 0xff, 0x7f}, func(r *Reader) { r.Uint32() }},
		"a flag that is neither 0 nor 1": {[]byte{2}, func(r *Reader) { r.Bool() }},
		"a string over its limit":        {[]byte{3, 1, 2, 3}, func(r *Reader) { r.Text(2) }},
		"a list over its limit":          {[]byte{200, 1, 1, 1}, func(r *Reader) { List(r, 1000, 1, (*Reader).Byte) }},
		"an empty key":                   {[]byte{0}, func(r *Reader) { r.KeyName() }},
		"an unknown kind of condition":   {[]byte{1, 9, 1, 'k'}, func(r *Reader) { r.Conds() }},
		"an unknown kind of operation":   {[]byte{1, 12, 1, 'k'}, func(r *Reader) { r.Ops() }},
		"a request id without a client":  {append([]byte{1}, make([]byte, 19)...), func(r *Reader) { r.RequestID() }},
	} {
		r := Reader{B: c.b}
		c.read(&r)
		if r.Fail("another"); r.Fault() != want {
			t.Errorf("%x: %q, want %q", c.b, r.Fault(), want)
		}
		if x := r.Uint(); x != 0 || len(r.Take(1)) > 0 {
			t.Errorf("%x is read on after the fault", c.b)
		}
	}
}

// TestMessage: a message shares no memory with what is read from it, and what is over a limit of package api is read, for the check of
// the request to refuse it by name.
func TestMessage(t *testing.T) {
	long := api.Txn{If: []api.Cond{{Kind: 77, Key: "k"}}, Then: make([]api.Op, api.MaxTxnOps+1)}
	for i := range long.Then {
		long.Then[i] = api.Op{Kind: api.OpPut, Key: api.Key(strings.Repeat("k", api.MaxKeyBytes+1)), Value: []byte("v")}
	}
	var w Writer
	putTxn(&w, &long)
	r := Reader{B: w.B, Message: true}
	got := readTxn(&r)
	clear(w.B)
	if r.Fault() != "" || !reflect.DeepEqual(got, long) {
		t.Errorf("%s, %.200v", r.Fault(), got)
	}
	if err := got.Check(); api.CodeOf(err) != api.CodeTooLarge {
		t.Errorf("the check says %v", err)
	}
	w.B = nil
	putTxn(&w, &api.Txn{Then: make([]api.Op, overLimit*api.MaxTxnOps+1)})
	r = Reader{B: w.B, Message: true}
	if readTxn(&r); r.Fault() != "a list over its limit" {
		t.Errorf("a list of any length is read: %q", r.Fault())
	}
}

// TestOwnGroup: a name that is known takes no memory.
func TestOwnGroup(t *testing.T) {
	var w Writer
	w.Text("group")
	if n := testing.AllocsPerRun(100, func() {
		r := Reader{B: w.B, Own: "group"}
		if r.Group() != "group" {
			t.Error("another group was read")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzTxn: there is one encoding of each transaction.
func FuzzTxn(f *testing.F) {
	for format := range uint8(3) {
		t, w := txn(), Writer{Format: format}
		putTxn(&w, &t)
		f.Add(w.B, format)
	}
	late, w := api.Txn{Then: timed, Else: functions}, Writer{Format: formatFunctions}
	putTxn(&w, &late)
	f.Add(w.B, uint8(formatFunctions))
	f.Fuzz(func(t *testing.T, b []byte, format uint8) {
		r := Reader{B: b, Format: format}
		x := readTxn(&r)
		if r.Fault() != "" {
			return
		}
		w := Writer{Format: format}
		if putTxn(&w, &x); !bytes.Equal(w.B, b) {
			t.Fatalf("%x is taken for %x", b, w.B)
		}
		m := Reader{B: b, Format: format, Message: true}
		if got := readTxn(&m); m.Fault() != "" || !reflect.DeepEqual(got, x) {
			t.Fatalf("as a message %x is %+v, not %+v", b, got, x)
		}
	})
}
