package fsm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// A step that lists, within a transaction of one group. It sees what the steps before it have made. It reads no values, but the
// rows that it passes count with their values as what the transaction reads.

// listedBytes is what a listed key counts beyond its row, for its place in the result.
const listedBytes = 64

// ownerOf returns the shard of the step's key. If the step lists, the shard must have all keys that begin with it: otherwise the
// error is CodeInvalid.
func (v *view) ownerOf(op *api.Op) (*owned, *api.Error) {
	o, err := v.owner(op.Key)
	if err == nil && op.Kind == api.OpList && !o.ownsPrefix(op.Key) {
		err = &api.Error{Code: api.CodeInvalid, Op: "list", Key: op.Key,
			Hint: `the keys that begin with this may belong to several groups; list a prefix of two whole segments, such as "a/b/"`}
	}
	return o, err
}

// ownsPrefix reports whether every key that begins with p is the shard's: it is in the range, and keys that share two whole segments
// share a shard.
func (s Shard) ownsPrefix(p api.Key) bool {
	return s.Owns(p) && s.Range.ContainsRange(api.PrefixRange(p)) && (s.Of < 2 || strings.Count(string(p), "/") >= 2)
}

// listStep lists what the key of the step is a prefix of, with zero versions for what this transaction has written.
func (v *view) listStep(ev *evaluation, op *api.Op) *api.Error {
	made := ev.madeUnder(op.Key)
	page := make([]api.Entry, 0, min(op.Limit, 16))
	add := func(k api.Key, ver api.Version, size int) bool {
		ev.work += len(k) + size + listedBytes
		page = append(page, api.Entry{Key: k, Version: ver, Exists: true})
		return len(page) < op.Limit && (ev.work <= v.limits.work || !guardBound)
	}
	// before adds what this transaction has made of keys before k, and reports whether there is room for more.
	before := func(k api.Key, all bool) bool {
		more := true
		for more && len(made) > 0 && (all || made[0].key < k) {
			if made[0].Exists {
				more = add(made[0].key, api.Version{}, 0)
			}
			made = made[1:]
		}
		return more
	}
	lo, hi := span(tableKV, api.PrefixRange(op.Key), false)
	more := true
	v.scan(lo, hi, func(row, x []byte) bool {
		k := api.Key(row[1:])
		if more = before(k, false); more && (len(made) == 0 || made[0].key != k) {
			more = add(k, valueOf(x).version, len(x))
		}
		return more
	})
	if more {
		before("", true)
	}
	if ev.work > v.limits.work && guardBound {
		return &api.Error{Code: api.CodeTooLarge, Op: "list", Key: op.Key,
			Hint: fmt.Sprintf("what the steps read and make, up to this one, is over the limit of %d bytes", v.limits.work)}
	}
	ev.lists = append(ev.lists, page)
	return nil
}

// madeUnder returns the drafts of the keys with the prefix that the steps so far have written, by key.
func (ev *evaluation) madeUnder(prefix api.Key) (made []*draft) {
	for i := range ev.drafts {
		if d := &ev.drafts[i]; d.wrote && strings.HasPrefix(string(d.key), string(prefix)) {
			made = append(made, d)
		}
	}
	slices.SortFunc(made, func(a, b *draft) int { return compareKeys(a.key, b.key) })
	return made
}

// concludeLists gives what the transaction has written its version.
func (v *view) concludeLists(ev *evaluation, index uint64) {
	for _, page := range ev.lists {
		for i := range page {
			if e := &page[i]; e.Version.IsZero() {
				o, _ := v.shardOf(e.Key)
				e.Version = api.Version{Epoch: o.Epoch, Index: index}
			}
		}
	}
}

// underLists returns the exclusive intents on keys that the branch lists, at most limit of them.
func (v *view) underLists(branch []api.Op, limit int) (in []Intent) {
	for i := range branch {
		if op := &branch[i]; op.Kind == api.OpList && len(in) < limit {
			in = append(in, v.intentsIn(api.PrefixRange(op.Key), limit-len(in), true)...)
		}
	}
	return in
}
