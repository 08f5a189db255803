package api

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// OpKind is the kind of an Op.
type OpKind uint8

// The kinds of a step. OpGet and OpList read, the others write. OpAdd, OpAppendIfAbsent, OpAppend, OpSum64, OpMin64 and OpMax64 are
// the functions: what they write is computed from the value that the key holds when the transaction is carried out, so the caller
// need not read it first.
const (
	OpGet OpKind = iota + 1
	OpPut
	OpDelete
	// OpAdd adds Delta to the key's value and writes the sum in its shortest form. The value is a decimal integer of 64 bits: an
	// optional sign and digits. An absent key counts as 0. The step's Entry has the sum as its Value. The transaction is refused
	// with CodePreconditionFailed if the value is not such an integer or the sum does not fit.
	OpAdd
	// OpAppendIfAbsent appends Value to the key's value, unless the key's value contains Value anywhere. In that case the key
	// stays as it is and keeps its version. An absent key gets Value. The transaction is refused with CodeTooLarge if the result
	// would be over [MaxValueBytes].
	//
	// Only bytes are compared. So no element may occur within another element, or across two neighbouring ones. Elements that
	// begin and end with delimiters used nowhere else, such as "<17>", satisfy this.
	OpAppendIfAbsent
	// OpTouch moves the key's deadline to TTL from now, if that is later than the one it has. The key keeps its value and its
	// version, and leases on it stay. A key that is absent, or has no deadline, stays as it is. The step's Entry has the key's
	// version and what is left until its deadline. All keys of the transaction must be of one group.
	OpTouch
	// OpList lists the keys that begin with Key, at most Limit of them, in order. The keys, with their versions and without values,
	// are the next element of TxnResult.Lists. All keys that begin with Key must be of one group, as must be all keys of the
	// transaction: CodeInvalid says so otherwise. The list shows what the steps before it have made. The step's Entry has only the
	// Key. What it lists counts, with the values, against [MaxTxnWorkBytes].
	OpList
	// OpAppend appends Value to the key's value. An absent key gets Value. The step's Entry has the new length in bytes, in decimal,
	// as its Value. The transaction is refused with CodeTooLarge if the result would be over [MaxValueBytes].
	OpAppend
	// OpSum64 adds Value to the key's value. Both are unsigned integers of exactly 8 bytes, little endian, and the sum wraps at 64
	// bits. An absent key gets Value. The key gets a new version in any case, and the step's Entry has no Value. The transaction is
	// refused with CodeInvalid if Value has another length, and with CodePreconditionFailed if the key's value has.
	OpSum64
	// OpMin64 is like OpSum64, but writes the lesser of the two.
	OpMin64
	// OpMax64 is like OpSum64, but writes the greater of the two.
	OpMax64
)

// MinTTL and MaxTTL bound the time to live of a key.
const (
	MinTTL = 100 * time.Millisecond
	MaxTTL = 10 * 365 * 24 * time.Hour
)

// Op is one step of a transaction.
type Op struct {
	Kind  OpKind `cbor:"1,keyasint"`
	Key   Key    `cbor:"2,keyasint"`
	Value []byte `cbor:"3,keyasint,omitempty"`
	Delta int64  `cbor:"4,keyasint,omitempty"` // for OpAdd
	// TTL is how long the key lives from when the leader of its group took the step: from [MinTTL] to [MaxTTL]. 0 is for ever, for
	// OpPut and the functions, which set the deadline or clear it, but for OpAdd, which keeps the deadline of its key. OpTouch needs
	// one. Other kinds have none.
	TTL time.Duration `cbor:"5,keyasint,omitempty"`
	// Limit bounds what an OpList lists: 1 to [MaxListLimit].
	Limit int `cbor:"6,keyasint,omitempty"`
	// KeepTTL means that the key keeps its deadline, and has none if it is absent or has none. It excludes TTL. OpPut, OpAppend,
	// OpSum64, OpMin64 and OpMax64 may have it.
	KeepTTL bool `cbor:"7,keyasint,omitempty"`
}

// Writes reports whether the step may give its key another version.
func (o Op) Writes() bool { return o.Kind == OpPut || o.Kind == OpDelete || o.Function() }

// ReadsOnly reports whether the step changes nothing at all.
func (o Op) ReadsOnly() bool { return o.Kind == OpGet || o.Kind == OpList }

// Function reports whether the step computes what it writes from what the key holds.
func (o *Op) Function() bool {
	return o.Kind == OpAdd || o.Kind == OpAppendIfAbsent || o.Kind >= OpAppend && o.Kind <= OpMax64
}

// HasValue reports whether the kind has a Value.
func (o *Op) HasValue() bool { return o.Kind == OpPut || o.Function() && o.Kind != OpAdd }

// Expires reports whether the kind may have a TTL.
func (o *Op) Expires() bool { return o.HasValue() || o.Kind == OpTouch }

// KeepsTTL reports whether the step leaves the deadline of a key as it is that it writes.
func (o *Op) KeepsTTL() bool { return o.KeepTTL || o.Kind == OpAdd }

// mayKeepTTL reports whether the kind may have KeepTTL.
func (o *Op) mayKeepTTL() bool { return o.Kind == OpPut || o.Kind >= OpAppend && o.Kind <= OpMax64 }

// Answers reports whether the step's Entry has a Value if the key exists.
func (o *Op) Answers() bool { return o.Kind == OpGet || o.Kind == OpAdd || o.Kind == OpAppend }

// Answer returns the Value of the step's Entry if the key holds value after the step. It may share memory with value.
func (o *Op) Answer(value []byte) []byte {
	switch o.Kind {
	case OpGet, OpAdd:
		return value
	case OpAppend:
		return strconv.AppendInt(nil, int64(len(value)), 10)
	}
	return nil
}

// Step is the state of a key after a step.
type Step struct {
	Value  []byte // shared with the step, or with the value before the step
	Exists bool
	// Changed reports whether the step wrote, even if it wrote the same value. A delete of an absent key does not write.
	Changed bool
}

// On carries the step out on a key that holds value, or is absent if exists is false. It returns CodePreconditionFailed or
// CodeTooLarge as described at the kinds. The error names the key.
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
		if exists && bytes.Contains(value, o.Value) {
			return Step{value, true, false}, nil
		}
		return o.append("append_if_absent", value, exists)
	case OpAppend:
		return o.append("append", value, exists)
	case OpSum64, OpMin64, OpMax64:
		made, err := o.fold(value, exists)
		return Step{made, true, true}, err
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

func (o *Op) append(op string, value []byte, exists bool) (Step, error) {
	if !exists {
		return Step{o.Value, true, true}, nil
	}
	if n := len(value) + len(o.Value); n > MaxValueBytes {
		e := Errorf(CodeTooLarge, "value of %d bytes is over the limit of %d bytes", n, MaxValueBytes)
		e.Op, e.Key = op, o.Key
		return Step{}, e
	}
	return Step{append(append(make([]byte, 0, len(value)+len(o.Value)), value...), o.Value...), true, true}, nil
}

// fold returns what a function of two integers of 8 bytes makes.
func (o *Op) fold(value []byte, exists bool) ([]byte, error) {
	if !exists {
		return o.Value, nil
	}
	if len(value) != 8 || len(o.Value) != 8 {
		return nil, &Error{Code: CodePreconditionFailed, Op: "txn", Key: o.Key, Hint: "the value is not an integer of 8 bytes"}
	}
	held, given := binary.LittleEndian.Uint64(value), binary.LittleEndian.Uint64(o.Value)
	made := held + given
	switch o.Kind {
	case OpMin64:
		made = min(held, given)
	case OpMax64:
		made = max(held, given)
	}
	return binary.LittleEndian.AppendUint64(nil, made), nil
}
