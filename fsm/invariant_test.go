package fsm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

// sealed puts the right number and checksum under the rows of a stream, if it can be read at all.
func sealed(b []byte) []byte {
	if len(b) > sha256.Size {
		b = b[:len(b)-sha256.Size]
	}
	sum := sha256.Sum256(b)
	return append(bytes.Clone(b), sum[:]...)
}

// TestInvariantsAreChecked breaks each invariant by hand: a checker that has never found its bug proves nothing.
func TestInvariantsAreChecked(t *testing.T) {
	var key rowKey
	sid := ident.SessionID{Incarnation: 7, Index: 2}
	lid := func(r *rig) ident.LeaseID { return r.m.Holders([]api.Key{"never"})[0].Lease }
	version := func(index uint64) []byte { return versionRow(api.Version{Epoch: 1, Index: index}) }
	for what, c := range map[string]struct {
		want   string
		damage func(r *rig, b engine.Batch) error
	}{
		"a row that cannot be": {"Rows", func(_ *rig, b engine.Batch) error { return b.Set([]byte("?"), nil) }},
		"a written leased key": {"LeaseCleared", func(r *rig, b engine.Batch) error {
			v := value{version: api.Version{Epoch: 1, Index: uint64(lid(r)) + 1}}
			r.m.meta.Keys++
			return b.Set(key.ofKey(tableKV, "never"), v.row())
		}},
		"a leased key deleted": {"LeaseCleared", func(r *rig, b engine.Batch) error {
			r.m.meta.Keys--
			return b.Delete(key.ofKey(tableKV, "a"))
		}},
		"a leased key put again": {"LeaseCleared", func(r *rig, b engine.Batch) error {
			return b.Set(key.ofKey(tableKV, "a"), value{version: api.Version{Epoch: 1, Index: r.m.meta.Counter}}.row())
		}},
		"a lease of a dead session": {"KillWhole", func(r *rig, b engine.Batch) error {
			r.m.meta.Sessions--
			return b.Delete(key.session(sid))
		}},
		"a lease the session does not know": {"Superset", func(_ *rig, b engine.Batch) error {
			return b.Delete(key.held(tableHeld, sid, "never"))
		}},
		"a lease only the session knows": {"Superset", func(_ *rig, b engine.Batch) error {
			return b.Delete(key.ofKey(tableLease, "never"))
		}},
		"a lease from the future": {"Superset", func(_ *rig, b engine.Batch) error {
			return b.Set(key.ofKey(tableLease, "never"), (&leased{holders: []lease{{sid, 1 << 40}}, absent: true}).row())
		}},
		"a session's wrong count": {"KillWhole", func(r *rig, b engine.Batch) error {
			s, _ := r.m.Session(sid)
			s.Leases++
			return b.Set(key.session(sid), sessionRow(&s))
		}},
		"a session of another incarnation": {"KillWhole", func(r *rig, b engine.Batch) error {
			s, _ := r.m.Session(sid)
			r.m.meta.Sessions++
			return b.Set(key.session(ident.SessionID{Incarnation: 8, Index: 1}), sessionRow(&s))
		}},
		"a key of another owner": {"OneOwner", func(r *rig, b engine.Batch) error {
			return b.Set(key.ofKey(tableKV, "gone/1"), value{version: api.Version{Epoch: 1, Index: 3}}.row())
		}},
		"a lease in a range given up": {"MoveClean", func(r *rig, b engine.Batch) error {
			return b.Set(key.ofKey(tableLease, "gone/1"), (&leased{holders: []lease{{sid, 1}}, absent: true}).row())
		}},
		"a range given up and owned": {"OneOwner", func(r *rig, b engine.Batch) error {
			o := owned{Shard: Shard{api.PrefixRange("gone/"), 9, 0, 1}}
			r.m.shards = append(r.m.shards[:1:1], o, r.m.shards[1])
			return b.Set(key.ofKey(tableRange, "gone/"), o.row())
		}},
		"an owned range not at hand": {"OneOwner", func(r *rig, _ engine.Batch) error {
			r.m.shards = r.m.shards[:1]
			return nil
		}},
		"a version from the future": {"VersionsRise", func(r *rig, b engine.Batch) error {
			return b.Set(key.ofKey(tableKV, "a"), value{version: api.Version{Epoch: 1, Index: 1 << 40}}.row())
		}},
		"a version of another epoch": {"VersionsRise", func(r *rig, b engine.Batch) error {
			return b.Set(key.ofKey(tableKV, "a"), value{version: api.Version{Epoch: 2, Index: 3}}.row())
		}},
		"a key that is and is not": {"VersionsRise", func(r *rig, b engine.Batch) error {
			return b.Set(key.ofKey(tableTombstone, "a"), version(4))
		}},
		"a tombstone that never goes": {"VersionsRise", func(r *rig, b engine.Batch) error {
			return b.Set(key.ofKey(tableTombstone, "b"), version(4))
		}},
		"a floor of no ownership": {"VersionsRise", func(r *rig, b engine.Batch) error {
			return b.Set(key.floor(77, 1), []byte{1})
		}},
		"a record without an anchor": {"Once", func(r *rig, b engine.Batch) error {
			return b.Delete(key.anchor("\x00zero", api.ClientID{4}, 0))
		}},
		"an anchor of a numbered record": {"Once", func(r *rig, b engine.Batch) error {
			return b.Set(key.anchor("a", api.ClientID{1, 2, 3}, 2), nil)
		}},
		"an anchor without a record": {"Once", func(r *rig, b engine.Batch) error {
			return b.Set(key.anchor("a", api.ClientID{1, 2, 3}, 0), nil)
		}},
		"a client's wrong count": {"Once", func(r *rig, b engine.Batch) error {
			return b.Set(key.client(api.ClientID{1, 2, 3}), client{count: 2}.row())
		}},
		"records of no client": {"Once", func(r *rig, b engine.Batch) error { return b.Delete(key.client(api.ClientID{1, 2, 3})) }},
		"a deadline that is not due": {"ExpiryLogged", func(r *rig, b engine.Batch) error {
			return b.Delete(key.due(r.deadline("timed"), "timed"))
		}},
		"a deadline that is due at another time": {"ExpiryLogged", func(r *rig, b engine.Batch) error {
			d := r.deadline("timed")
			return errors.Join(b.Delete(key.due(d, "timed")), b.Set(key.due(d+1, "timed"), nil))
		}},
		"a key that is due and has no deadline": {"ExpiryLogged", func(r *rig, b engine.Batch) error { return b.Set(key.due(5, "a"), nil) }},
		"a wrong count of deadlines":            {"Counters", func(r *rig, _ engine.Batch) error { r.m.meta.Deadlines--; return nil }},
		"a wrong counter":                       {"Counters", func(r *rig, _ engine.Batch) error { r.m.meta.Keys++; return nil }},
	} {
		r := furnished(t)
		if err := r.m.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		b := r.m.engine.NewBatch()
		if err := errors.Join(c.damage(r, b), b.Commit()); err != nil {
			t.Fatal(err)
		}
		if err := r.m.CheckInvariants(); err == nil || !strings.HasPrefix(err.Error(), c.want+": ") {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
}

// failing is an engine whose reads begin to fail.
type failing struct {
	engine.Engine
	failed bool
}

var errDisk = errors.New("disk failure")

func (f *failing) Get(key []byte) ([]byte, bool, error) {
	if f.failed {
		return nil, false, errDisk
	}
	return f.Engine.Get(key)
}

func (f *failing) Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	if f.failed {
		return errDisk
	}
	return f.Engine.Scan(lo, hi, reverse, visit)
}

func (f *failing) NewBatch() engine.Batch { return failingBatch{f.Engine.NewBatch(), f} }

type failingBatch struct {
	engine.Batch
	f *failing
}

func (b failingBatch) Get(key []byte) ([]byte, bool, error) {
	if b.f.failed {
		return nil, false, errDisk
	}
	return b.Batch.Get(key)
}

// TestEngineFails checks that reads report the failure, and that Apply does not go on as if nothing had happened.
func TestEngineFails(t *testing.T) {
	f := &failing{Engine: engine.NewMemory()}
	m, err := Open(f)
	if err != nil {
		t.Fatal(err)
	}
	m.Apply(1, 1, [][]byte{encode(benchInit)})
	var reported error
	m.OnFailure(func(err error) { reported = err })
	f.failed = true
	if _, _, err := m.Read([]api.Key{"k"}); api.CodeOf(err) != api.CodeInternal || !errors.Is(err, errDisk) {
		t.Errorf("read: %v", err)
	}
	if _, err := m.List(&api.ListRequest{}); api.CodeOf(err) != api.CodeInternal {
		t.Errorf("list: %v", err)
	}
	if err := m.CheckInvariants(); api.CodeOf(err) != api.CodeInternal {
		t.Errorf("check: %v", err)
	}
	if _, err := Open(f); !errors.Is(err, errDisk) {
		t.Errorf("open: %v", err)
	}
	func() {
		defer func() {
			if x, ok := recover().(error); !ok || !errors.Is(x, errDisk) {
				t.Errorf("Apply went on: %v", x)
			}
		}()
		m.Apply(1, 1, [][]byte{encode(Write{Term: 1, Txn: putTxn("k", "v")})})
	}()
	f.failed = false
	if m.Meta().Counter != 1 {
		t.Error("an Apply that failed had an effect")
	}
	if !errors.Is(reported, errDisk) {
		t.Errorf("reported to the owner: %v", reported)
	}
}

// TestEngineFailsOnEveryPath checks that whatever reads the state reports the failure of the engine to the machine's owner, even
// a method that has no error result.
func TestEngineFailsOnEveryPath(t *testing.T) {
	f := &failing{Engine: engine.NewMemory()}
	m, err := Open(f)
	if err != nil {
		t.Fatal(err)
	}
	m.Apply(1, 1, [][]byte{encode(benchInit)})
	reported := 0
	m.OnFailure(func(err error) {
		if errors.Is(err, errDisk) {
			reported++
		}
	})
	f.failed = true
	for name, look := range map[string]func(){
		"Read": func() { _, _, _ = m.Read([]api.Key{"k"}) },
		"List": func() { _, _ = m.List(&api.ListRequest{}) },
		"Preview": func() {
			x := putTxn("k", "v")
			x.If = []api.Cond{{Kind: api.CondExists, Key: "k"}}
			m.Preview(&x, ident.DedupEpoch{})
		},
		"Session":    func() { m.Session(ident.SessionID{Incarnation: 1, Index: 1}) },
		"Sessions":   func() { m.Sessions() },
		"HoldersIn":  func() { m.HoldersIn(api.Range{}, 1) },
		"Prepared":   func() { m.Prepared(ident.TxnID{}, 1) },
		"Unresolved": func() { m.Unresolved(ident.TxnID{}, 1) },
		"Stored":     func() { m.Stored(api.ClientID{1}, 1) },
		"Apply":      func() { _, _ = m.Apply(2, 1, [][]byte{encode(Write{Term: 1, Txn: putTxn("k", "v")})}) },
	} {
		reported = 0
		func() {
			defer func() { _ = recover() }() // a panic is as good as an error, once the owner knows
			look()
		}()
		if reported != 1 {
			t.Errorf("%s: reported to the owner %d times", name, reported)
		}
	}
	f.failed = false
	if _, _, err := m.Read([]api.Key{"k"}); err != nil {
		t.Errorf("the machine's mutex is free, and it reads: %v", err)
	}
}
