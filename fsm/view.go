package fsm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/engine"
)

// view reads the tables, in one consistent state. It belongs to one goroutine.
type view struct {
	from   engine.Reader
	meta   Meta
	shards []owned // by start
	limits *limits
	rules  *rules // those of the command that is being applied; in a read those of the group's level
	key    rowKey
	// Of an Apply, and of a read: what is known of clients without a look.
	windows *windows
	known   map[api.ClientID]known
}

// failure is an engine that failed or a row that cannot be: the machine has no state to go on with. It travels as a panic
// to where a caller can be told.
type failure struct{ err error }

func (f failure) Error() string { return "fsm: the engine failed: " + f.err.Error() }
func (f failure) Unwrap() error { return f.err }

// EndsProcess marks a panic that must not be caught as that of one request.
func (failure) EndsProcess() {}

func must(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// rescue turns a failure into an error of a read.
func rescue(err *error) {
	switch x := recover().(type) {
	case nil:
	case failure:
		*err = &api.Error{Code: api.CodeInternal, Hint: "the storage engine failed", Err: x.err}
	default:
		panic(x)
	}
}

func (v *view) get(key []byte) ([]byte, bool) {
	row, ok, err := v.from.Get(key)
	must(err)
	return row, ok
}

func (v *view) scan(lo, hi []byte, visit func(k, row []byte) bool) {
	must(v.from.Scan(lo, hi, false, visit))
}

// parse reads a whole row.
func parse[T any](row []byte, read func(*codec.Reader) T) T {
	x, err := tryParse(row, read)
	must(err)
	return x
}

func tryParse[T any](row []byte, read func(*codec.Reader) T) (T, error) {
	r := codec.Reader{B: row}
	x := read(&r)
	if r.End(); r.Fault() != "" {
		return x, fmt.Errorf("a row that cannot be: %s", r.Fault())
	}
	return x, nil
}

// valueOf is parse for the most frequent row, without an allocation.
func valueOf(row []byte) value {
	r := codec.Reader{B: row}
	x := readValue(&r)
	if r.Fault() != "" {
		must(errors.New("a value that cannot be: " + r.Fault()))
	}
	return x
}

// shardOf finds the shard that owns the key.
func (v *view) shardOf(k api.Key) (*owned, bool) {
	i, found := slices.BinarySearchFunc(v.shards, k, func(o owned, k api.Key) int {
		if o.Range.Start <= k {
			return -1
		}
		return 1
	})
	if found || i == 0 || !v.shards[i-1].Owns(k) {
		return nil, false
	}
	return &v.shards[i-1], true
}

func (v *view) owner(k api.Key) (*owned, *api.Error) {
	if o, ok := v.shardOf(k); ok {
		return o, nil
	}
	if !v.meta.Initialized {
		return nil, errNotFounded()
	}
	return nil, &api.Error{Code: api.CodeWrongGroup, Key: k, Hint: fmt.Sprintf("the group %s does not own the key", v.meta.Group)}
}

func errNotFounded() *api.Error {
	return &api.Error{Code: api.CodeUnavailable, Hint: "the group is not founded yet"}
}

// state is a key's present state; the value is shared with the engine.
func (v *view) state(k api.Key, o *owned) (ver api.Version, data []byte, exists bool) {
	if row, ok := v.get(v.key.ofKey(tableKV, k)); ok {
		x := valueOf(row)
		return x.version, x.data, true
	}
	return v.absence(k, o), nil, false
}

// absence is the version of a key that is absent: what its holders were told, where it is leased; else that of its
// tombstone, or of what stands for a tombstone that has gone.
func (v *view) absence(k api.Key, o *owned) api.Version {
	var ver api.Version
	if v.meta.Leases > 0 {
		if l := v.leased(k); l.absent {
			return l.version
		}
	}
	if o.adopted {
		ver.Epoch = o.Epoch
	}
	later := func(x api.Version) {
		if x.Compare(ver) > 0 {
			ver = x
		}
	}
	if row, ok := v.get(v.key.ofKey(tableTombstone, k)); ok {
		later(parse(row, (*codec.Reader).Version))
	}
	if row, ok := v.get(v.key.floor(o.Epoch, bucketOf(k))); ok {
		later(api.Version{Epoch: o.Epoch, Index: parse(row, (*codec.Reader).Uint)})
	}
	return ver
}

// entry is a key's state with a value of its own.
func (v *view) entry(k api.Key, o *owned) api.Entry {
	ver, data, exists := v.state(k, o)
	return api.Entry{Key: k, Value: slices.Clone(data), Version: ver, Exists: exists}
}

// leased is who holds a key, by live leases.
func (v *view) leased(k api.Key) leased {
	if v.meta.Leases == 0 {
		return leased{}
	}
	row, ok := v.get(v.key.ofKey(tableLease, k))
	if !ok {
		return leased{}
	}
	l := parse(row, readLeased)
	v.live(&l)
	return l
}

func (v *view) session(sid api.SessionID) (Session, bool) {
	row, ok := v.get(v.key.session(sid))
	if !ok {
		return Session{}, false
	}
	s := parse(row, readSession)
	s.ID = sid
	return s, true
}

// holder names who holds the lease.
func (v *view) holder(k api.Key, l lease) Holder {
	s, ok := v.session(l.sid)
	if !ok {
		must(fmt.Errorf("a lease on %q of the session %v, which does not exist", string(k), l.sid))
	}
	return Holder{Session: l.sid, Node: s.Node, Nonce: s.Nonce, Key: k, Lease: l.lid}
}

// holders are the live leases on the keys.
func (v *view) holders(keys []api.Key) []Holder {
	var hs []Holder
	for _, k := range keys {
		for _, l := range v.leased(k).holders {
			hs = append(hs, v.holder(k, l))
		}
	}
	return hs
}

// holdersIn are live leases in the range, at most limit, passing over those that skip names. Rows are read a part at a time: whether a
// lease is live is found in another table, which is not to be read during a scan.
func (v *view) holdersIn(r api.Range, limit int, skip func(api.Key, lease) bool) (hs []Holder) {
	type found struct {
		k api.Key
		l leased
	}
	lo, hi := span(tableLease, r, false)
	for lo != nil {
		var part []found
		from := lo
		lo = nil
		v.scan(from, hi, func(key, row []byte) bool {
			part = append(part, found{api.Key(key[1:]), parse(row, readLeased)})
			if len(part) < holderRows {
				return true
			}
			lo = append(slices.Clone(key), 0)
			return false
		})
		for i := range part {
			k, l := part[i].k, &part[i].l
			v.live(l)
			for _, x := range l.holders {
				if skip(k, x) {
					continue
				}
				if hs = append(hs, v.holder(k, x)); len(hs) == limit {
					return hs
				}
			}
		}
	}
	return hs
}

// holderRows is how many keys' holders are read at a time.
const holderRows = 256
