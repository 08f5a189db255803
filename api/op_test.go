package api

import (
	"strings"
	"testing"
)

func TestOpOn(t *testing.T) {
	const most, least = "9223372036854775807", "-9223372036854775808"
	full := strings.Repeat("x", MaxValueBytes)
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
	op := Op{Kind: OpAppendIfAbsent, Key: "k", Value: []byte("<2>")}
	one, _ := op.On(old, true)
	op.Value = []byte("<3>")
	if _, err := op.On(old, true); err != nil || string(one.Value) != "<1><2>" {
		t.Errorf("%q, %v", one.Value, err)
	}
}
