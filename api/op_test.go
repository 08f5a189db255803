package api

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"
)

func TestOpOn(t *testing.T) {
	const most, least = "9223372036854775807", "-9223372036854775808"
	full := strings.Repeat("x", MaxValueBytes)
	le := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	for _, c := range []struct {
		op     Op
		before string // "-" means absent
		after  string
		wrote  bool
		code   Code
	}{
		{op: Op{Kind: OpGet}, before: "a", after: "a"},
		{op: Op{Kind: OpGet}, before: "-", after: "-"},
		{op: Op{Kind: OpPut, Value: []byte("b")}, before: "a", after: "b", wrote: true},
		{op: Op{Kind: OpPut}, before: "-", after: "", wrote: true},
		{op: Op{Kind: OpDelete}, before: "a", after: "-", wrote: true},
		{op: Op{Kind: OpDelete}, before: "-", after: "-"},
		{op: Op{Kind: OpAdd, Delta: 5}, before: "-", after: "5", wrote: true},
		{op: Op{Kind: OpAdd}, before: "-", after: "0", wrote: true},
		{op: Op{Kind: OpAdd, Delta: -8}, before: "3", after: "-5", wrote: true},
		{op: Op{Kind: OpAdd}, before: "+007", after: "7", wrote: true},
		{op: Op{Kind: OpAdd, Delta: 1}, before: "9223372036854775806", after: most, wrote: true},
		{op: Op{Kind: OpAdd, Delta: -1 << 63}, before: "0", after: least, wrote: true},
		{op: Op{Kind: OpAdd, Delta: 1<<63 - 1}, before: least, after: "-1", wrote: true},
		{op: Op{Kind: OpAdd, Delta: 1}, before: most, code: CodePreconditionFailed},
		{op: Op{Kind: OpAdd, Delta: -1}, before: least, code: CodePreconditionFailed},
		{op: Op{Kind: OpAdd, Delta: -1 << 63}, before: "-1", code: CodePreconditionFailed},
		{op: Op{Kind: OpAdd, Delta: 1}, before: "", code: CodePreconditionFailed},
		{op: Op{Kind: OpAdd, Delta: 1}, before: " 1", code: CodePreconditionFailed},
		{op: Op{Kind: OpAdd, Delta: 1}, before: "1.0", code: CodePreconditionFailed},
		{op: Op{Kind: OpAdd, Delta: 1}, before: "0x1", code: CodePreconditionFailed},
		{op: Op{Kind: OpAdd, Delta: 1}, before: "1_0", code: CodePreconditionFailed},
		{op: Op{Kind: OpAdd, Delta: 1}, before: "9223372036854775808", code: CodePreconditionFailed},
		{op: Op{Kind: OpAppendIfAbsent, Value: []byte("<1>")}, before: "-", after: "<1>", wrote: true},
		{op: Op{Kind: OpAppendIfAbsent, Value: []byte("<1>")}, before: "<21>", after: "<21><1>", wrote: true},
		{op: Op{Kind: OpAppendIfAbsent, Value: []byte("<1>")}, before: "<1><2>", after: "<1><2>"},
		{op: Op{Kind: OpAppendIfAbsent, Value: []byte("<1>")}, before: "<2><1>", after: "<2><1>"},
		{op: Op{Kind: OpAppendIfAbsent}, before: "a", after: "a"},
		{op: Op{Kind: OpAppendIfAbsent}, before: "-", after: "", wrote: true},
		{op: Op{Kind: OpAppendIfAbsent, Value: []byte("x")}, before: full, after: full},
		{op: Op{Kind: OpAppendIfAbsent, Value: []byte("y")}, before: full[1:], after: full[1:] + "y", wrote: true},
		{op: Op{Kind: OpAppendIfAbsent, Value: []byte("y")}, before: full, code: CodeTooLarge},
		{op: Op{Kind: OpAppend, Value: []byte("1")}, before: "-", after: "1", wrote: true},
		{op: Op{Kind: OpAppend, Value: []byte("1")}, before: "1", after: "11", wrote: true},
		{op: Op{Kind: OpAppend}, before: "1", after: "1", wrote: true},
		{op: Op{Kind: OpAppend}, before: full, after: full, wrote: true},
		{op: Op{Kind: OpAppend, Value: []byte("y")}, before: full, code: CodeTooLarge},
		{op: Op{Kind: OpSum64, Value: le(5)}, before: "-", after: string(le(5)), wrote: true},
		{op: Op{Kind: OpSum64, Value: le(5)}, before: string(le(1 << 56)), after: string(le(1<<56 + 5)), wrote: true},
		{op: Op{Kind: OpSum64, Value: le(math.MaxUint64)}, before: string(le(5)), after: string(le(4)), wrote: true},
		{op: Op{Kind: OpSum64, Value: le(5)}, before: "1234567", code: CodePreconditionFailed},
		{op: Op{Kind: OpSum64, Value: le(5)}, before: "123456789", code: CodePreconditionFailed},
		{op: Op{Kind: OpMin64, Value: le(5)}, before: "-", after: string(le(5)), wrote: true},
		{op: Op{Kind: OpMin64, Value: le(256)}, before: string(le(255)), after: string(le(255)), wrote: true},
		{op: Op{Kind: OpMin64, Value: le(255)}, before: string(le(256)), after: string(le(255)), wrote: true},
		{op: Op{Kind: OpMin64, Value: le(5)}, before: "", code: CodePreconditionFailed},
		{op: Op{Kind: OpMax64, Value: le(5)}, before: "-", after: string(le(5)), wrote: true},
		{op: Op{Kind: OpMax64, Value: le(256)}, before: string(le(255)), after: string(le(256)), wrote: true},
		{op: Op{Kind: OpMax64, Value: le(1)}, before: string(le(1 << 63)), after: string(le(1 << 63)), wrote: true},
		{op: Op{Kind: OpMax64, Value: le(5)}, before: "5", code: CodePreconditionFailed},
	} {
		c.op.Key = "k"
		var value []byte
		if c.before != "-" {
			value = []byte(c.before)
		}
		got, err := c.op.On(value, c.before != "-")
		if CodeOf(err) != c.code {
			t.Errorf("%+v on %.20q gave %v, want %q", c.op, c.before, err, c.code)
		}
		if err != nil {
			if AsError(err).Key != "k" {
				t.Errorf("%v names no key", err)
			}
			continue
		}
		after := "-"
		if got.Exists {
			after = string(got.Value)
		}
		if after != c.after || got.Changed != c.wrote {
			t.Errorf("%+v on %.20q gave %.20q, changed %v; want %.20q, %v", c.op, c.before, after, got.Changed, c.after, c.wrote)
		}
		if c.before != "-" && string(value) != c.before {
			t.Errorf("%+v changed what it was given", c.op)
		}
	}
}

// TestAppendSharesNothing checks that appending never writes into the spare capacity of the old value.
func TestAppendSharesNothing(t *testing.T) {
	old := append(make([]byte, 0, 64), "<1>"...)
	for _, kind := range []OpKind{OpAppendIfAbsent, OpAppend} {
		op := Op{Kind: kind, Key: "k", Value: []byte("<2>")}
		one, _ := op.On(old, true)
		op.Value = []byte("<3>")
		if _, err := op.On(old, true); err != nil || string(one.Value) != "<1><2>" {
			t.Errorf("%q, %v", one.Value, err)
		}
	}
}

// TestCheckOp checks which fields go with which kind of step.
func TestCheckOp(t *testing.T) {
	for kind := OpGet; kind <= OpMax64; kind++ {
		op := Op{Kind: kind, Key: "k"}
		if kind >= OpSum64 {
			op.Value = make([]byte, 8)
		}
		ttl := map[OpKind]bool{OpPut: true, OpAppendIfAbsent: true, OpTouch: true, OpAppend: true, OpSum64: true, OpMin64: true, OpMax64: true}[kind]
		keep := ttl && kind != OpAppendIfAbsent && kind != OpTouch
		if kind == OpList {
			op.Limit = 1
		}
		with := func(d time.Duration, keep bool) Op {
			op := op
			op.TTL, op.KeepTTL = d, keep
			return op
		}
		for _, c := range []struct {
			op    Op
			valid bool
		}{
			{op, kind != OpTouch}, {with(time.Hour, false), ttl}, {with(0, true), keep}, {with(time.Hour, true), false}, {with(1, false), false},
		} {
			if err := (&Txn{Then: []Op{c.op}}).Check(); (err == nil) != c.valid || err != nil && CodeOf(err) != CodeInvalid {
				t.Errorf("%+v: %v", c.op, err)
			}
		}
	}
	for _, op := range []Op{{Kind: OpMax64 + 1}, {}, {Kind: OpSum64, Value: make([]byte, 7)}, {Kind: OpMin64}, {Kind: OpMax64, Value: make([]byte, 9)}} {
		op.Key = "k"
		if err := (&Txn{Else: []Op{op}}).Check(); CodeOf(err) != CodeInvalid {
			t.Errorf("%+v: %v", op, err)
		}
	}
}

// TestAnswer checks that an append answers its length, and that a write answers no value otherwise.
func TestAnswer(t *testing.T) {
	value := []byte(strings.Repeat("x", 12))
	for kind, want := range map[OpKind]string{OpGet: string(value), OpAdd: string(value), OpAppend: "12", OpPut: "", OpSum64: "", OpAppendIfAbsent: ""} {
		op := Op{Kind: kind}
		if got := string(op.Answer(value)); got != want || op.Answers() != (want != "") {
			t.Errorf("kind %d answers %q, %v; want %q", kind, got, op.Answers(), want)
		}
	}
}
