package api

import (
	"bytes"
	"math"
	"strconv"
)

// OpKind is what an Op does.
type OpKind uint8

// What a step does: OpGet reads, the others write. From OpAdd on they are the functions: what they write follows from what the key
// holds at the transaction's own place, so that the writer need not read it first.
const (
	OpGet OpKind = iota + 1
	OpPut
	OpDelete
	// OpAdd adds Delta to the key's value, a decimal integer of 64 bits (an optional sign and digits; an absent key counts
	// as 0), and writes the sum in its shortest form. Its Entry's Value is the sum. CodePreconditionFailed where the value
	// is no such integer, or the sum would be none.
	OpAdd
	// OpAppendIfAbsent appends Value to the key's value unless that contains it already, anywhere: then the key stays as it
	// is, at its version. An absent key becomes Value. CodeTooLarge where the two together are over [MaxValueBytes]. Bytes
	// are compared and nothing else: elements must be such that none is found within another or across two neighbours, as
	// where each begins and ends with a delimiter that is nowhere else: "<17>".
	OpAppendIfAbsent
)

// Op is one step of a transaction.
type Op struct {
	Kind  OpKind `cbor:"1,keyasint"`
	Key   Key    `cbor:"2,keyasint"`
	Value []byte `cbor:"3,keyasint,omitempty"`
	Delta int64  `cbor:"4,keyasint,omitempty"` // of OpAdd
}

// Writes tells whether the step may change its key.
func (o Op) Writes() bool { return o.Kind != OpGet }

// Function tells whether what the step writes follows from what the key holds.
func (o *Op) Function() bool { return o.Kind == OpAdd || o.Kind == OpAppendIfAbsent }

// Step is what a key holds after a step.
type Step struct {
	Value  []byte // shared with the step or with what the key held before
	Exists bool
	// Changed tells whether the step wrote, be it the same value. A delete of an absent key did not.
	Changed bool
}

// On carries the step out on a key that holds value, or is absent. CodePreconditionFailed and CodeTooLarge as the functions
// say; the error names the key.
func (o *Op) On(value []byte, exists bool) (Step, error) {
	switch o.Kind {
	case OpPut:
		return Step{o.Value, true, true}, nil
	case OpDelete:
		return Step{Changed: exists}, nil
	case OpAdd:
		sum, err := o.add(value, exists)
		return Step{sum, true, true}, err
	case OpAppendIfAbsent:
		return o.append(value, exists)
	}
	return Step{value, exists, false}, nil
}

func (o *Op) add(value []byte, exists bool) ([]byte, error) {
	var n int64
	if exists {
		var err error
		if n, err = strconv.ParseInt(string(value), 10, 64); err != nil {
			return nil, &Error{Code: CodePreconditionFailed, Op: "add", Key: o.Key, Hint: "the value is not a decimal integer of 64 bits"}
		}
	}
	if o.Delta > 0 && n > math.MaxInt64-o.Delta || o.Delta < 0 && n < math.MinInt64-o.Delta {
		return nil, &Error{Code: CodePreconditionFailed, Op: "add", Key: o.Key, Hint: "the sum is over 64 bits"}
	}
	return strconv.AppendInt(nil, n+o.Delta, 10), nil
}

func (o *Op) append(value []byte, exists bool) (Step, error) {
	switch {
	case !exists:
		return Step{o.Value, true, true}, nil
	case bytes.Contains(value, o.Value):
		return Step{value, true, false}, nil
	}
	if n := len(value) + len(o.Value); n > MaxValueBytes {
		e := Errorf(CodeTooLarge, "value of %d bytes is over the limit of %d bytes", n, MaxValueBytes)
		e.Op, e.Key = "append_if_absent", o.Key
		return Step{}, e
	}
	return Step{append(append(make([]byte, 0, len(value)+len(o.Value)), value...), o.Value...), true, true}, nil
}
