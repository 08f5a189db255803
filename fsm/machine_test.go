package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestTermFence: whatever carries a leader's judgement is refused in an entry of another term, and changes nothing.
func TestTermFence(t *testing.T) {
	r := founded(t)
	sid := r.open("n")
	lid := r.grant(sid, "held")
	cleared := []ident.DroppedLease{{Session: sid, Key: "held", Lease: lid}}
	kill := []ident.SessionID{sid}
	for _, term := range []api.Term{0, 4, 6} {
		r.term = 5
		for _, c := range []Command{
			Write{Term: term, Txn: putTxn("k", "v")},
			Write{Term: term, Txn: putTxn("held", "v"), Cleared: cleared},
			Write{Term: term, Txn: putTxn("held", "v"), Killed: kill},
			Grant{term, []GrantItem{{Session: sid, Keys: []api.Key{"k"}}}},
			Suspect{term, sid}, Unsuspect{term, sid}, Kill{term, kill},
			Cede{Term: term, Range: api.Range{Start: "x"}, Epoch: 2, To: []api.GroupID{"g.2"}},
			TrimTombstones{term, 100, 0}, AdvanceDedupEpoch{term}, ExpireDedup{term, 0},
		} {
			r.refused(c, api.CodeNotLeader)
		}
	}
}

// TestNotFounded: a machine without an Init takes only what a first leader proposes.
func TestNotFounded(t *testing.T) {
	r := &rig{TB: t, m: newMachine(t), term: 1}
	r.ok(TermStart{"n"})
	for _, c := range samples() {
		switch c := c.(type) {
		case Init, TermStart:
		case Write:
			c.Term = 1
			r.refused(c, api.CodeUnavailable)
		default:
			res := r.apply(c)
			if res.Err == nil {
				t.Errorf("%#v was carried out", c)
			}
		}
	}
	if _, _, err := r.m.Read([]api.Key{"k"}); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("read: %v", err)
	}
	if _, err := r.m.List(&api.ListRequest{}); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("list: %v", err)
	}
	if p := r.m.Preview(&api.Txn{Then: []api.Op{{Kind: api.OpGet, Key: "k"}}}, ident.DedupEpoch{}); p.Err == nil || p.Err.Code != api.CodeUnavailable {
		t.Errorf("preview: %+v", p)
	}
}

func TestInit(t *testing.T) {
	half := Shard{Range: api.Range{End: "m"}, Epoch: 1, Of: 1}
	for what, c := range map[string]Init{
		"no name":      {MaxTerm: 1},
		"no term":      {Group: "g"},
		"overlap":      {Group: "g", MaxTerm: 1, Shards: []Shard{half, {Range: api.Range{Start: "l"}, Of: 1}}},
		"empty range":  {Group: "g", MaxTerm: 1, Shards: []Shard{{Range: api.Range{Start: "b", End: "b"}, Of: 1}}},
		"no shards of": {Group: "g", MaxTerm: 1, Shards: []Shard{{}}},
		"shard 2 of 2": {Group: "g", MaxTerm: 1, Shards: []Shard{{Index: 2, Of: 2}}},
	} {
		r := &rig{TB: t, m: newMachine(t), term: 1}
		if res := r.refused(c, api.CodeInvalid); res.Index != 1 {
			t.Errorf("%s: index %d", what, res.Index)
		}
	}
	r := founded(t)
	before := r.rows()
	r.ok(Init{Group: "other", Incarnation: 9, MaxTerm: 1, Shards: []Shard{half}})
	if string(before) != string(r.rows()) {
		t.Error("a second Init changed the machine")
	}
	if m := r.m.Meta(); !m.Initialized || m.Group != "g.1" || m.DedupEpoch != 1 || m.Counter != 2 {
		t.Errorf("the machine is %+v", m)
	}
}

// TestMachineLeaseCheck: no write of a leased key without its holders, whatever the leader believes.
func TestMachineLeaseCheck(t *testing.T) {
	r := founded(t)
	one, two := r.open("one"), r.open("two")
	r.put("k", "old")
	first := r.grant(one, "k")
	second := r.grant(two, "k")
	cleared := func(sid ident.SessionID, lid ident.LeaseID) ident.DroppedLease {
		return ident.DroppedLease{Session: sid, Key: "k", Lease: lid}
	}
	for what, w := range map[string]Write{
		"nothing cleared":     {},
		"one cleared":         {Cleared: []ident.DroppedLease{cleared(one, first)}},
		"an earlier lease":    {Cleared: []ident.DroppedLease{cleared(one, first), cleared(two, second-1)}},
		"another key":         {Cleared: []ident.DroppedLease{cleared(one, first), {Session: two, Key: "l", Lease: second}}},
		"another session":     {Cleared: []ident.DroppedLease{cleared(one, first), cleared(ident.SessionID{Incarnation: 7, Index: 99}, second)}},
		"another incarnation": {Killed: []ident.SessionID{one, {Incarnation: 6, Index: two.Index}}},
	} {
		for _, txn := range []api.Txn{putTxn("k", "new"), deleteTxn("k")} {
			txn.ID = api.RequestID{Client: api.ClientID{1}, Seq: 1}
			w.Term, w.Txn = r.term, txn
			if res := r.refused(w, RetryLeases); len(res.Holders) == 0 || res.Holders[0].Key != "k" {
				t.Errorf("%s: holders %+v", what, res.Holders)
			}
		}
	}
	if e := r.read("k"); string(e.Value) != "old" {
		t.Fatalf("%+v", e)
	}
	w := Write{Term: r.term, Txn: putTxn("k", "new"), Cleared: []ident.DroppedLease{cleared(one, first)}, Killed: []ident.SessionID{two}}
	if res := r.ok(w); res.Effect.Kind != EffectKilled || !slices.Equal(res.Effect.Sessions, []ident.SessionID{two}) {
		t.Errorf("effect %+v", res.Effect)
	}
	if n := r.holders("k"); n != 0 {
		t.Errorf("%d holders are left", n)
	}
}

// TestKillWholeSession: expiry ends a session with all its leases, in whichever command it comes, and for good.
func TestKillWholeSession(t *testing.T) {
	for what, by := range map[string]func(*rig, ident.SessionID) Command{
		"write": func(r *rig, sid ident.SessionID) Command {
			return Write{Term: r.term, Txn: putTxn("k/1", "v"), Killed: []ident.SessionID{sid}}
		},
		"unleased write": func(r *rig, sid ident.SessionID) Command {
			return Write{Term: r.term, Txn: putTxn("other", "v"), Killed: []ident.SessionID{sid}}
		},
		"kill": func(r *rig, sid ident.SessionID) Command { return Kill{r.term, []ident.SessionID{sid, sid}} },
		"cede": func(r *rig, sid ident.SessionID) Command {
			return Cede{Term: r.term, Range: api.PrefixRange("k/"), Epoch: 2, To: []api.GroupID{"g.2"}, Killed: []ident.SessionID{sid}}
		},
		"close": func(_ *rig, sid ident.SessionID) Command { return SessionClose{sid, nonce("n")} },
	} {
		t.Run(what, func(t *testing.T) {
			r := founded(t)
			r.m.limits.killChunk = 3
			sid, stays := r.open("n"), r.open("stays")
			var keys []api.Key
			for i := range 10 {
				keys = append(keys, api.Key(fmt.Sprintf("k/%d", i)))
			}
			r.grant(sid, append(keys, "x")...)
			r.grant(stays, "x", "y")
			res := r.ok(by(r, sid))
			if res.Effect.Kind != EffectKilled || !slices.Equal(res.Effect.Sessions, []ident.SessionID{sid}) {
				t.Errorf("effect %+v", res.Effect)
			}
			if s, ok := r.m.Session(sid); ok {
				t.Errorf("the session lives: %+v", s)
			}
			if hs := r.m.HoldersIn(api.Range{}, 100); len(hs) != 2 || hs[0].Session != stays {
				t.Errorf("leases that are left: %+v", hs)
			}
			if res := r.apply(Grant{r.term, []GrantItem{{Session: sid, Keys: []api.Key{"x"}}}}); res.Leases[0] != 0 {
				t.Error("the dead session was granted a lease")
			}
			r.refused(Suspect{r.term, sid}, api.CodeSessionDead)
			if again := r.open("n"); again == sid {
				t.Error("a session id came twice")
			}
		})
	}
}

// TestGrantAtApply: a grant returns the state at its own place in the log, within an entry too.
func TestGrantAtApply(t *testing.T) {
	r := founded(t)
	sid := r.open("n")
	old := r.put("k", "old")
	grant := func(known ...api.Version) []byte {
		return encode(Grant{r.term, []GrantItem{{Session: sid, Keys: []api.Key{"k"}, Known: known}}})
	}
	res := all(r.m.Apply(r.next(), r.term, [][]byte{encode(Write{Term: r.term, Txn: putTxn("k", "new")}), grant(), grant(old)}))
	for _, g := range res[1:] {
		if e := g.Entries[0]; string(e.Value) != "new" || e.Version.Index != res[0].Index || g.Leases[0] != ident.LeaseID(g.Index) || e.Unchanged {
			t.Errorf("the grant returned %+v", e)
		}
	}
	now := res[1].Entries[0].Version
	res = all(r.m.Apply(r.next(), r.term, [][]byte{grant(now)}))
	if e := res[0].Entries[0]; !e.Unchanged || e.Value != nil || !e.Exists || e.Version != now || res[0].Leases[0] == 0 {
		t.Errorf("a known value: %+v", e)
	}
	res = all(r.m.Apply(r.next(), r.term, [][]byte{encode(Grant{r.term, []GrantItem{{Session: sid, Nonce: nonce("x"), Keys: []api.Key{"k"}}}})}))
	if e := res[0].Entries[0]; res[0].Leases[0] != 0 || string(e.Value) != "new" {
		t.Errorf("with another's nonce: %+v", e)
	}
}

// TestLimits: what is over a limit gets none, or is refused by name.
func TestLimits(t *testing.T) {
	r := founded(t)
	r.m.limits.sessions, r.m.limits.sessionLeases, r.m.limits.keyHolders = 3, 4, 2
	one, two, three := r.open("one"), r.open("two"), r.open("three")
	r.refused(SessionOpen{"four", nonce("4"), time.Second, 0}, api.CodeUnavailable)
	leased := func(sid ident.SessionID, keys ...api.Key) (n int) {
		res := r.ok(Grant{r.term, []GrantItem{{Session: sid, Keys: keys}}})
		for i, e := range res.Entries {
			if e.Key != keys[i] {
				t.Errorf("entry %+v for %q", e, keys[i])
			}
			if res.Leases[i] != 0 {
				n++
			}
		}
		return n
	}
	if n := leased(one, "a", "b", "c", "d", "e"); n != 4 {
		t.Errorf("%d leases where 4 are allowed", n)
	}
	if n := leased(one, "a", "d"); n != 2 {
		t.Errorf("%d of 2 leases were renewed at the limit", n)
	}
	if n := leased(two, "a", "b") + leased(three, "a", "b", "c"); n != 3 {
		t.Errorf("%d leases where 2 holders a key are allowed", n)
	}
}

func TestRecordLimits(t *testing.T) {
	r := founded(t)
	r.m.limits.clientRecords, r.m.limits.records = 3, 5
	put := func(client byte, seq, acked uint64) Command {
		txn := putTxn("k", "v")
		txn.ID = api.RequestID{Client: api.ClientID{client}, Seq: seq, AckedBelow: acked}
		return Write{Term: r.term, Txn: txn}
	}
	for seq := range uint64(3) {
		r.ok(put(1, seq+1, 0))
	}
	if res := r.refused(put(1, 4, 1), api.CodeUnavailable); !strings.Contains(res.Err.Hint, "3 results") {
		t.Errorf("the limit is not named: %v", res.Err)
	}
	r.ok(put(1, 2, 0)) // a stored result needs no room
	r.ok(put(1, 4, 3))
	r.ok(put(2, 0, 0))
	r.ok(put(3, 0, 0))
	r.ok(put(1, 5, 4))
	r.ok(put(4, 0, 0))
	if res := r.refused(put(5, 0, 0), api.CodeUnavailable); !strings.Contains(res.Err.Hint, "5 results") {
		t.Errorf("the limit is not named: %v", res.Err)
	}
	r.refused(put(1, 6, 6), api.CodeUnavailable)
	r.put("k", "without an id there is room")
}

// TestFloors: when a tombstone goes, no absent key's version falls, and a version that was seen never comes back.
func TestFloors(t *testing.T) {
	r := founded(t)
	r.put("k", "v")
	gone := r.ok(Write{Term: r.term, Txn: deleteTxn("k")}).Txn.Version
	r.ok(TrimTombstones{r.term, gone.Index, 0})
	if n := r.m.Meta().Tombstones; n != 1 {
		t.Fatalf("%d tombstones; the one at the bound was to stay", n)
	}
	r.ok(TrimTombstones{r.term, gone.Index + 1, 0})
	if n := r.m.Meta().Tombstones; n != 0 {
		t.Fatalf("%d tombstones are left", n)
	}
	if e := r.read("k"); e.Exists || e.Version != gone {
		t.Errorf("after the trim the key is %+v, want absence at %v", e, gone)
	}
	for i := range 3 * buckets {
		k := api.Key(fmt.Sprint("other/", i))
		if e := r.read(k); bucketOf(k) != bucketOf("k") && !e.Version.IsZero() {
			t.Fatalf("the floor of %q is %v", k, e.Version)
		}
	}
	again := r.ok(Write{Term: r.term, Txn: deleteTxn("k")})
	if e := again.Txn.Entries[0]; e.Version != gone {
		t.Errorf("deleting the absent key again gave %+v", e)
	}
	for i := range 5 {
		r.put(api.Key(fmt.Sprint("t/", i)), "v")
		r.ok(Write{Term: r.term, Txn: deleteTxn(api.Key(fmt.Sprint("t/", i)))})
	}
	r.ok(TrimTombstones{r.term, 1 << 40, 2})
	if n := r.m.Meta().Tombstones; n != 3 {
		t.Errorf("%d tombstones are left of 5 after a trim of 2", n)
	}
}

// TestEpochAhead: in version 1 a record lives at least as long as its request is not refused, also if the client's epoch was
// learnt from a group that is ahead.
func TestEpochAhead(t *testing.T) {
	r := groupAt(t, Level1, "g.1", Shard{Epoch: 1, Of: 1})
	for i, ahead := range []uint64{0, 1, DedupEpochs, DedupEpochs + 1, 1 << 63} {
		epoch := ident.DedupEpoch{Count: uint64(r.m.Meta().DedupEpoch) + ahead}
		txn := putTxn(api.Key(fmt.Sprint("k/", i)), "v")
		txn.ID = api.RequestID{Client: api.ClientID{byte(i + 1)}, Seq: 1}
		w := Write{Term: r.term, Txn: txn, Epoch: epoch}
		r.ok(w)
		effects := 0
		for range 2*DedupEpochs + 3 {
			r.ok(AdvanceDedupEpoch{r.term})
			r.ok(ExpireDedup{r.term, 0})
			if res := r.apply(w); res.Err == nil && !res.Txn.Replayed {
				effects++
			}
		}
		if bounded := ahead <= DedupEpochs; bounded && effects > 0 {
			t.Errorf("an epoch %d ahead: the write took effect %d times more", ahead, effects)
		}
	}
}

func TestList(t *testing.T) {
	r := founded(t)
	big := strings.Repeat("v", api.MaxValueBytes)
	for i := range 10 {
		r.put(api.Key(fmt.Sprint("k/", i)), big)
		r.put(api.Key(fmt.Sprint("small/", i)), "v")
	}
	list := func(q api.ListRequest) *api.ListResult {
		t.Helper()
		res, err := r.m.List(&q)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := list(api.ListRequest{Range: api.PrefixRange("k/")}); len(res.Entries) != 7 || !res.More {
		t.Errorf("%d values of 1 MiB on a page (more: %v)", len(res.Entries), res.More)
	}
	if res := list(api.ListRequest{Range: api.PrefixRange("k/"), KeysOnly: true}); len(res.Entries) != 10 || res.More {
		t.Errorf("%d keys on a page (more: %v)", len(res.Entries), res.More)
	}
	res := list(api.ListRequest{Range: api.PrefixRange("small/"), Limit: 3, Reverse: true})
	if len(res.Entries) != 3 || !res.More || res.Entries[0].Key != "small/9" {
		t.Errorf("the last three are %v", res)
	}
	if res := list(api.ListRequest{Range: api.Range{Start: "z", End: "a"}}); len(res.Entries) != 0 {
		t.Errorf("an empty range has %v", res)
	}
}
