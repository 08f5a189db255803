package fsm

import (
	"bytes"
	"cmp"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

func newMachine(t testing.TB) *Machine {
	t.Helper()
	m, err := Open(strict{engine.NewMemory()})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// founded is a machine of the group g.1 that owns everything at epoch 1, in term 1.
func founded(t testing.TB) *rig {
	t.Helper()
	r := &rig{TB: t, m: newMachine(t), term: 1}
	r.ok(Init{
		Group: "g.1", Incarnation: 7, Shards: []Shard{{Epoch: 1, Of: 1}}, MaxTerm: time.Minute, MaxPause: 10 * time.Second,
	})
	return r
}

// encode is Encode for a group of the newest level.
func encode(c Command) []byte { return Encode(c, NewestLevel) }

// all are the results of an entry that the machine knows.
func all(results []Result, err error) []Result {
	if err != nil {
		panic(err)
	}
	return results
}

// one is the result of an entry of one command.
func one(results []Result, err error) Result { return all(results, err)[0] }

// rig is a machine under test.
type rig struct {
	testing.TB
	m     *Machine
	term  api.Term
	index uint64 // of the newest entry
	// level founds the group; 0 is the newest.
	level Level
}

// encode is as a leader encodes.
func (r *rig) encode(c Command) []byte {
	if _, founds := c.(Init); founds {
		return Encode(c, cmp.Or(r.level, NewestLevel))
	}
	return Encode(c, r.m.Level())
}

// epoch is the group's present dedup epoch, as a request names it.
func (r *rig) epoch() ident.DedupEpoch {
	m := r.m.Meta()
	return ident.DedupEpoch{Group: m.Group, Incarnation: m.Incarnation, Count: uint64(m.DedupEpoch)}
}

// inGroup is an epoch of a group under test.
func inGroup(g api.GroupID, count uint64) ident.DedupEpoch {
	return ident.DedupEpoch{Group: g, Incarnation: 7, Count: count}
}

// advance begins n epochs.
func (r *rig) advance(n int) {
	r.Helper()
	for range n {
		r.ok(AdvanceDedupEpoch{r.term})
	}
}

func (r *rig) next() uint64 {
	r.index++
	return r.index
}

// apply checks the invariants after the command.
func (r *rig) apply(c Command) Result {
	r.Helper()
	res := one(r.m.Apply(r.next(), r.term, [][]byte{r.encode(c)}))
	if err := r.m.CheckInvariants(); err != nil {
		r.Fatalf("after %#v: %v", c, err)
	}
	return res
}

func (r *rig) ok(c Command) Result {
	r.Helper()
	res := r.apply(c)
	if res.Err != nil {
		r.Fatalf("%#v: %v", c, res.Err)
	}
	return res
}

// refused wants the code, and that nothing but the counter changed.
func (r *rig) refused(c Command, code api.Code) Result {
	r.Helper()
	before := r.rows()
	res := r.apply(c)
	if res.Err == nil || res.Err.Code != code {
		r.Fatalf("%#v gave %v, want %s", c, res.Err, code)
	}
	if res.Txn != nil || res.Entries != nil || !res.Session.IsZero() || res.Receipt != nil || res.Effect.Kind != EffectNone {
		r.Fatalf("%#v was refused and gave %+v", c, res)
	}
	if after := r.rows(); !bytes.Equal(before, after) {
		r.Fatalf("%#v was refused and changed the state", c)
	}
	return res
}

// rows is all of the state but the meta row's counter and index.
func (r *rig) rows() []byte {
	r.Helper()
	var w codec.Writer
	meta := r.m.Meta()
	meta.Counter, meta.Applied = 0, 0
	w.Bytes(meta.row())
	err := r.m.engine.Scan(nil, nil, false, func(k, v []byte) bool {
		if k[0] != tableMeta {
			w.Bytes(k)
			w.Bytes(v)
		}
		return true
	})
	if err != nil {
		r.Fatal(err)
	}
	return w.B
}

func (r *rig) open(node api.NodeID) ident.SessionID {
	r.Helper()
	return r.ok(SessionOpen{Node: node, Nonce: nonce(string(node)), T: 4 * time.Second}).Session
}

// grant wants leases on all the keys.
func (r *rig) grant(sid ident.SessionID, keys ...api.Key) ident.LeaseID {
	r.Helper()
	res := r.ok(Grant{Term: r.term, Items: []GrantItem{{Session: sid, Keys: keys}}})
	for i, e := range res.Entries {
		if res.Leases[i] != ident.LeaseID(res.Index) || e.Key != keys[i] {
			r.Fatalf("grant of %q gave %+v, lease %d", keys[i], e, res.Leases[i])
		}
	}
	return ident.LeaseID(res.Index)
}

func (r *rig) put(k api.Key, v string) api.Version {
	r.Helper()
	return r.ok(Write{Term: r.term, Txn: putTxn(k, v)}).Txn.Version
}

func putTxn(k api.Key, v string) api.Txn {
	return api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte(v)}}}
}

func deleteTxn(k api.Key) api.Txn { return api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: k}}} }

func (r *rig) read(k api.Key) api.Entry {
	r.Helper()
	es, _, err := r.m.Read([]api.Key{k})
	if err != nil {
		r.Fatal(err)
	}
	return es[0]
}

func (r *rig) holders(k api.Key) int { return len(r.m.Holders([]api.Key{k})) }
