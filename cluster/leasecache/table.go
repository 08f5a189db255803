package leasecache

import (
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
)

// table is a shard's map from keys to entries: open addressing with linear probing, at most half full. Readers use it
// without a mutex. Writers hold the shard's mutex. A reader that runs beside a change, or in an array that has been
// replaced, may miss an entry that was just put, and may find one that was just removed, which is then marked gone.
type table struct {
	slots atomic.Pointer[[]atomic.Pointer[entry]]
	live  int // guarded by the shard's mutex
	used  int // live and graves; guarded by the shard's mutex
}

// grave marks a slot whose entry was removed in the middle of a probe. It matches no key.
var grave = &entry{}

const minSlots = 16

func (t *table) init() {
	s := make([]atomic.Pointer[entry], minSlots)
	t.slots.Store(&s)
}

// slotOf returns the slot of the hash. The lowest shardBits of the hash choose the shard, and the bits above them the
// slot.
func slotOf(hash uint64, n int) int { return int(hash>>shardBits) & (n - 1) }

// get returns the entry of the key, or nil.
func (t *table) get(hash uint64, k api.Key) *entry {
	slots := *t.slots.Load()
	for i := slotOf(hash, len(slots)); ; i = (i + 1) & (len(slots) - 1) {
		e := slots[i].Load()
		if e == nil || e.hash == hash && e.key == k {
			return e
		}
	}
}

// put adds e, whose key is not in the table.
func (t *table) put(e *entry) {
	if slots := *t.slots.Load(); 2*(t.used+1) > len(slots) {
		t.rebuild()
	}
	slots := *t.slots.Load()
	for i := slotOf(e.hash, len(slots)); ; i = (i + 1) & (len(slots) - 1) {
		switch slots[i].Load() {
		case nil:
			t.used++
		case grave:
		default:
			continue
		}
		t.live++
		slots[i].Store(e)
		return
	}
}

// remove removes e, which is in the table.
func (t *table) remove(e *entry) {
	slots := *t.slots.Load()
	mask := len(slots) - 1
	i := slotOf(e.hash, len(slots))
	for slots[i].Load() != e {
		i = (i + 1) & mask
	}
	t.live--
	slots[i].Store(grave)
	if slots[(i+1)&mask].Load() != nil {
		return
	}
	// No probe goes on from here: graves at the end of a run have no use.
	for ; slots[i].Load() == grave; i = (i - 1) & mask {
		slots[i].Store(nil)
		t.used--
	}
}

// rebuild replaces the array by one without graves that is at most a quarter full. Readers of the old array go on in
// it.
func (t *table) rebuild() {
	n := minSlots
	for n < 4*(t.live+1) {
		n *= 2
	}
	fresh := make([]atomic.Pointer[entry], n)
	for i := range *t.slots.Load() {
		e := (*t.slots.Load())[i].Load()
		if e == nil || e == grave {
			continue
		}
		j := slotOf(e.hash, n)
		for fresh[j].Load() != nil {
			j = (j + 1) & (n - 1)
		}
		fresh[j].Store(e)
	}
	t.slots.Store(&fresh)
	t.used = t.live
}

// each calls visit with every entry, in no order. The caller holds the shard's mutex.
func (t *table) each(visit func(*entry)) {
	for i := range *t.slots.Load() {
		if e := (*t.slots.Load())[i].Load(); e != nil && e != grave {
			visit(e)
		}
	}
}
