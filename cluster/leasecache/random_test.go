package leasecache

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// history is a reference for reads: every state that the owners' keys have been in.
type history struct {
	*rig
	rng  *rand.Rand // of the reader
	keys []api.Key

	writing sync.Mutex
	dice    *rand.Rand
	writes  float64 // chance of a write before a group answers
	states  []map[api.Key]api.Entry
	granted map[api.Key]grantedLease // the newest of each key, since the last write
}

type grantedLease struct {
	group   api.GroupID
	session ident.SessionID
	lease   ident.LeaseID
}

// write puts or deletes a key. Absence has a version, too. The lease on the key is revoked first, even one whose grant
// is on its way.
func (h *history) write() {
	k := h.keys[h.dice.IntN(len(h.keys))]
	if l, ok := h.granted[k]; ok {
		h.revoked(l.group, l.session, []words.RevokedLease{{Key: k, Lease: l.lease}}, make(chan *words.RevokeAck, 1))
		delete(h.granted, k)
	}
	h.put(k, fmt.Sprint(k, " of ", len(h.states)))
	h.change(func() {
		if h.dice.IntN(3) == 0 {
			h.values[k] = api.Entry{Version: h.values[k].Version}
		}
	})
	h.note()
}

func (h *history) note() {
	h.states = append(h.states, maps.Clone(h.values))
}

// since returns the states from the one with that number on.
func (h *history) since(from int) []map[api.Key]api.Entry {
	h.writing.Lock()
	defer h.writing.Unlock()
	return h.states[from:]
}

// answer is the Store behind. A round takes 100 ms, and keys may be written meanwhile. Keys of several groups are read
// one after the other, unless a snapshot is requested: the Store behind makes one.
func (h *history) answer(ctx context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
	time.Sleep(100 * time.Millisecond)
	h.writing.Lock()
	defer h.writing.Unlock()
	if h.dice.Float64() < h.writes {
		h.write()
	}
	res, err := h.ownerRead(ctx, q)
	for i, e := range res.Entries {
		if lid := res.Lease(i); lid != 0 {
			h.granted[e.Key] = grantedLease{q.Group, q.Session, lid}
		}
	}
	if q.Snapshot {
		res.Snapshot = true
	}
	return res, err
}

// TestRandomReads compares reads of several groups' keys, leased, absent, deleted and unknown ones, with the states
// that the owners were in. Each entry belongs to its key and was current between call and return. All entries of a
// snapshot were current at one instant. A value is left out exactly if the caller knows its version. A snapshot takes
// at most two rounds if nothing is written meanwhile.
func TestRandomReads(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.MaxEntries, c.MaxFences = 14, 64 })
			r.peers = []PeerGroups{{"n1", []api.GroupID{"a", "b", "c"}}}
			h := &history{rig: r, granted: map[api.Key]grantedLease{}, rng: rand.New(rand.NewPCG(seed, 9)), dice: rand.New(rand.NewPCG(seed, 10))}
			r.store.read = h.answer
			r.Start()
			defer r.Close()
			synctest.Wait()
			for _, g := range []string{"a", "b", "c"} {
				for i := range 8 {
					h.keys = append(h.keys, api.Key(fmt.Sprint(g, "/", i)))
				}
			}
			h.note()
			snapshots := map[string]int{}
			for n := range 4000 {
				if h.rng.IntN(300) == 0 { // sessions lapse or die
					h.disturb()
				}
				if n%100 == 0 {
					h.writing.Lock()
					h.writes = []float64{0, 0, 0.3}[h.rng.IntN(3)]
					h.writing.Unlock()
				}
				q := h.request()
				from, began := len(h.since(0))-1, time.Now()
				res, err := storetest.Read(t.Context(), r, q)
				if err != nil {
					t.Fatal(err)
				}
				states := h.since(from)
				h.judge(q, res, states)
				rounds := time.Since(began) / (100 * time.Millisecond)
				if len(states) == 1 && rounds > 2 {
					t.Errorf("%d rounds, though nothing was written", rounds)
				}
				if q.Snapshot {
					snapshots[fmt.Sprintf("%v in %d rounds", res.ServedBy, rounds)]++
				}
				if t.Failed() {
					t.Fatalf("seed %d, read %d: %+v", seed, n, q)
				}
			}
			for _, kind := range []string{"lease in 0 rounds", "lease in 1 rounds", "owner in 1 rounds", "owner in 2 rounds"} {
				if snapshots[kind] == 0 {
					t.Errorf("seed %d: no snapshot was served by %s: %v", seed, kind, snapshots)
				}
			}
		})
	}
}

// disturb lets sessions lapse, and sometimes kills them.
func (h *history) disturb() {
	h.change(func() {
		h.rig.answer = silent
		if h.rng.IntN(2) == 0 {
			clear(h.sid)
		}
	})
	time.Sleep(time.Duration(h.rng.IntN(6000)) * time.Millisecond)
	h.change(func() { h.rig.answer = h.extendAll })
	time.Sleep(2 * beat)
	synctest.Wait()
}

func (h *history) request() *api.ReadRequest {
	q := &api.ReadRequest{Snapshot: h.rng.IntN(2) == 0, Consistency: api.Consistency(h.rng.IntN(2))}
	for range h.rng.IntN(5) + 1 {
		q.Keys = append(q.Keys, h.keys[h.rng.IntN(len(h.keys))])
	}
	if h.rng.IntN(3) > 0 {
		return q
	}
	for _, k := range q.Keys {
		states := h.since(0)
		state := states[max(0, len(states)-1-h.rng.IntN(3))]
		q.Known = append(q.Known, []api.Version{{}, state[k].Version}[h.rng.IntN(2)])
	}
	return q
}

// judge compares the result with the states between call and return.
func (h *history) judge(q *api.ReadRequest, res *api.ReadResult, states []map[api.Key]api.Entry) {
	current := func(i int, state map[api.Key]api.Entry) bool {
		return res.Entries[i].Version == state[q.Keys[i]].Version
	}
	for i, k := range q.Keys {
		e := res.Entries[i]
		at := 0
		for at < len(states) && !current(i, states[at]) {
			at++
		}
		if e.Key != k || at == len(states) {
			h.t.Errorf("entry %d is %+v, not the state of %q between call and return", i, e, k)
			continue
		}
		want := states[at][k]
		unchanged := len(q.Known) > 0 && want.Exists && q.Known[i] == want.Version
		if e.Exists != want.Exists || e.Unchanged != unchanged || !unchanged && !bytes.Equal(e.Value, want.Value) || unchanged && e.Value != nil {
			h.t.Errorf("entry %d is %+v, want %+v with unchanged %v", i, e, want, unchanged)
		}
	}
	if !res.Snapshot && !q.Snapshot {
		return
	}
	for _, state := range states {
		all := true
		for i := range q.Keys {
			all = all && current(i, state)
		}
		if all {
			return
		}
	}
	h.t.Errorf("no snapshot: %+v were at no instant", res.Entries)
}
