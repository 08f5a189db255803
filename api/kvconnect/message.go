package kvconnect

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/edgehold/edgehold/api"
)

// The messages of the data path, package com.deno.kv.datapath, as far as this front uses them. What they read shares the memory of
// the body.

// readRange is a ReadRange.
type readRange struct {
	start, end []byte
	limit      int32
	reverse    bool
}

// check is a Check.
type check struct{ key, stamp []byte }

// mutation is a Mutation.
type mutation struct {
	key      []byte
	hasValue bool
	data     []byte
	encoding int32
	kind     int32
	expireAt int64 // in milliseconds since the Unix epoch; 0 is never
}

// The kinds of mutations.
const (
	kindSet       = 1
	kindDelete    = 2
	kindSum       = 3
	kindMax       = 4
	kindMin       = 5
	kindSetSuffix = 9
)

// atomicWrite is an AtomicWrite.
type atomicWrite struct {
	checks    []check
	mutations []mutation
	enqueues  int
}

// field is one field of a message: number, and what it holds by its type on the wire.
type field struct {
	number protowire.Number
	typ    protowire.Type
	varint uint64
	bytes  []byte
}

func errMalformed(what string) error {
	return api.Errorf(api.CodeInvalid, "the body is no %s: it is not protobuf of that message", what)
}

// eachField calls visit for each field of a message. visit returns false if the field does not have the type that belongs to it.
func eachField(b []byte, what string, visit func(f *field) (ok bool, err error)) error {
	for len(b) > 0 {
		var f field
		var n int
		if f.number, f.typ, n = protowire.ConsumeTag(b); n < 0 {
			return errMalformed(what)
		}
		b = b[n:]
		switch f.typ {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(f.number, f.typ, b)
		}
		if n < 0 {
			return errMalformed(what)
		}
		b = b[n:]
		ok, err := visit(&f)
		if err != nil {
			return err
		}
		if !ok {
			return errMalformed(what)
		}
	}
	return nil
}

func (f *field) intoBytes(to *[]byte) bool { *to = f.bytes; return f.typ == protowire.BytesType }

func (f *field) intoInt32(to *int32) bool {
	*to = int32(f.varint) // as protobuf does it: the low bits
	return f.typ == protowire.VarintType
}

func (f *field) intoInt64(to *int64) bool {
	*to = int64(f.varint)
	return f.typ == protowire.VarintType
}

func (f *field) intoBool(to *bool) bool { *to = f.varint != 0; return f.typ == protowire.VarintType }

// parseSnapshotRead reads a SnapshotRead. CodeInvalid if it is malformed, CodeTooLarge if it has too many ranges.
func parseSnapshotRead(b []byte) (ranges []readRange, err error) {
	const what = "SnapshotRead"
	err = eachField(b, what, func(f *field) (bool, error) {
		if f.number != 1 {
			return true, nil
		}
		if len(ranges) == maxRanges {
			return true, api.Errorf(api.CodeTooLarge, "a read has more than %d ranges", maxRanges)
		}
		var r readRange
		err := eachField(f.bytes, what, func(f *field) (bool, error) {
			switch f.number {
			case 1:
				return f.intoBytes(&r.start), nil
			case 2:
				return f.intoBytes(&r.end), nil
			case 3:
				return f.intoInt32(&r.limit), nil
			case 4:
				return f.intoBool(&r.reverse), nil
			}
			return true, nil
		})
		ranges = append(ranges, r)
		return f.typ == protowire.BytesType, err
	})
	return ranges, err
}

// parseWatch reads a Watch, with the errors of parseSnapshotRead.
func parseWatch(b []byte) (keys [][]byte, err error) {
	const what = "Watch"
	err = eachField(b, what, func(f *field) (bool, error) {
		if f.number != 1 {
			return true, nil
		}
		if len(keys) == maxWatched {
			return true, api.Errorf(api.CodeTooLarge, "a watch has more than %d keys", maxWatched)
		}
		var key []byte
		err := eachField(f.bytes, what, func(f *field) (bool, error) {
			return f.number != 1 || f.intoBytes(&key), nil
		})
		keys = append(keys, key)
		return f.typ == protowire.BytesType, err
	})
	return keys, err
}

// parseAtomicWrite reads an AtomicWrite. CodeInvalid if it is malformed, CodeTooLarge if it has too many checks or mutations.
func parseAtomicWrite(b []byte) (w atomicWrite, err error) {
	const what = "AtomicWrite"
	err = eachField(b, what, func(f *field) (bool, error) {
		var err error
		switch f.number {
		case 1:
			if len(w.checks) == maxChecks {
				return true, api.Errorf(api.CodeTooLarge, "a write has more than %d checks", maxChecks)
			}
			var c check
			c, err = parseCheck(f.bytes, what)
			w.checks = append(w.checks, c)
		case 2:
			if len(w.mutations) == maxMutations {
				return true, api.Errorf(api.CodeTooLarge, "a write has more than %d mutations", maxMutations)
			}
			var m mutation
			m, err = parseMutation(f.bytes, what)
			w.mutations = append(w.mutations, m)
		case 3:
			w.enqueues++
		default:
			return true, nil
		}
		return f.typ == protowire.BytesType, err
	})
	return w, err
}

func parseCheck(b []byte, what string) (c check, err error) {
	err = eachField(b, what, func(f *field) (bool, error) {
		switch f.number {
		case 1:
			return f.intoBytes(&c.key), nil
		case 2:
			return f.intoBytes(&c.stamp), nil
		}
		return true, nil
	})
	return c, err
}

func parseMutation(b []byte, what string) (m mutation, err error) {
	err = eachField(b, what, func(f *field) (bool, error) {
		switch f.number {
		case 1:
			return f.intoBytes(&m.key), nil
		case 2:
			m.hasValue = true
			return f.typ == protowire.BytesType, eachField(f.bytes, what, func(f *field) (bool, error) {
				switch f.number {
				case 1:
					return f.intoBytes(&m.data), nil
				case 2:
					return f.intoInt32(&m.encoding), nil
				}
				return true, nil
			})
		case 3:
			return f.intoInt32(&m.kind), nil
		case 4:
			return f.intoInt64(&m.expireAt), nil
		}
		return true, nil
	})
	return m, err
}

// kvEntry is a KvEntry.
type kvEntry struct {
	key, value []byte
	encoding   encoding
	version    api.Version
}

// appendMessage appends a field that holds a message, which fill appends.
func appendMessage(b []byte, number protowire.Number, fill func(b []byte) []byte) []byte {
	b = protowire.AppendTag(b, number, protowire.BytesType)
	return protowire.AppendBytes(b, fill(nil))
}

func appendBytes(b []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}

func appendVarint(b []byte, number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

func (e *kvEntry) append(b []byte) []byte {
	b = appendBytes(b, 1, e.key)
	b = appendBytes(b, 2, e.value)
	b = appendVarint(b, 3, uint64(e.encoding))
	return appendBytes(b, 4, stampOf(e.version))
}

// statusSuccess is the status of reads and watches, and of writes.
const statusSuccess = 1

// statusCheckFailure is the status of a write of which a check failed.
const statusCheckFailure = 2

// encodeReadOutput returns a SnapshotReadOutput: of a strong read, since this front makes no other.
func encodeReadOutput(ranges [][]kvEntry) []byte {
	var b []byte
	for _, entries := range ranges {
		b = appendMessage(b, 1, func(b []byte) []byte {
			for i := range entries {
				b = appendMessage(b, 1, entries[i].append)
			}
			return b
		})
	}
	b = appendVarint(b, 4, 1) // read_is_strongly_consistent
	return appendVarint(b, 8, statusSuccess)
}

// encodeWritten returns the AtomicWriteOutput of a write that took effect at a version.
func encodeWritten(v api.Version) []byte {
	return appendBytes(appendVarint(nil, 1, statusSuccess), 2, stampOf(v))
}

// encodeCheckFailure returns the AtomicWriteOutput of a write that did not take effect, because these of its checks failed.
func encodeCheckFailure(failed []int) []byte {
	b := appendVarint(nil, 1, statusCheckFailure)
	var packed []byte
	for _, i := range failed {
		packed = protowire.AppendVarint(packed, uint64(i))
	}
	return appendBytes(b, 4, packed)
}

// watchedKey is what a WatchOutput says of a key: nothing, that it is absent, or its entry.
type watchedKey struct {
	changed bool
	entry   *kvEntry
}

// encodeWatchOutput returns a WatchOutput.
func encodeWatchOutput(keys []watchedKey) []byte {
	b := appendVarint(nil, 1, statusSuccess)
	for _, k := range keys {
		b = appendMessage(b, 2, func(b []byte) []byte {
			if k.changed {
				b = appendVarint(b, 1, 1)
			}
			if k.changed && k.entry != nil {
				b = appendMessage(b, 2, k.entry.append)
			}
			return b
		})
	}
	return b
}
