package fsm

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

// changed is how many rows, but for the meta row, differ after f.
func (r *rig) changed(f func()) int {
	r.Helper()
	read := func() map[string]string {
		rows := map[string]string{}
		if err := r.m.engine.Scan(nil, nil, false, func(k, v []byte) bool {
			if k[0] != tableMeta {
				rows[string(k)] = string(v)
			}
			return true
		}); err != nil {
			r.Fatal(err)
		}
		return rows
	}
	before := read()
	f()
	after, n := read(), 0
	for k, v := range after {
		if was, ok := before[k]; !ok || was != v {
			n++
		}
	}
	for k := range before {
		if _, ok := after[k]; !ok {
			n++
		}
	}
	return n
}

// leasing is a machine with so many sessions that hold the same keys.
func leasing(t testing.TB, sessions, keys int) (*rig, []ident.SessionID) {
	r := founded(t)
	var sids []ident.SessionID
	for i := range sessions {
		sid := r.open(api.NodeID(fmt.Sprint("edge-", i)))
		var ks []api.Key
		for k := range keys {
			ks = append(ks, api.Key(fmt.Sprintf("k/%04d", k)))
		}
		r.grant(sid, ks...)
		sids = append(sids, sid)
	}
	return r, sids
}

// TestSessionsEndAtOnce: whatever ends sessions, it changes a few rows for each and no more; from then on none of their leases
// is in anyone's way, and those of others are.
func TestSessionsEndAtOnce(t *testing.T) {
	dead := func(sids []ident.SessionID) []ident.SessionID { return sids[:3] }
	for name, end := range map[string]func(r *rig, sids []ident.SessionID){
		"Kill":  func(r *rig, sids []ident.SessionID) { r.ok(Kill{r.term, sids}) },
		"Write": func(r *rig, sids []ident.SessionID) { r.ok(Write{Term: r.term, Txn: putTxn("a", "v"), Killed: sids}) },
		"SessionClose": func(r *rig, sids []ident.SessionID) {
			for i, sid := range sids {
				r.ok(SessionClose{sid, nonce(fmt.Sprint("edge-", i))})
			}
		},
		"Prepare": func(r *rig, sids []ident.SessionID) {
			c := prepareOf(r, ref("c", 1, "g.2"), opPut("a", "v"))
			c.Killed = sids
			r.ok(c)
			r.ok(resolveTo(r, c.Txn, ident.TxnAborted))
		},
		"CommitLast": func(r *rig, sids []ident.SessionID) {
			r.ok(CommitLast{Term: r.term, Txn: ref("c", 1, "g.1"), Then: []api.Op{opPut("a", "v")}, Killed: sids})
		},
		"Cede": func(r *rig, sids []ident.SessionID) {
			r.ok(Cede{Term: r.term, Range: api.PrefixRange("none/"), Epoch: 2, To: []api.GroupID{"g.2"}, Killed: sids})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, sids := leasing(t, 4, 100)
			if n := r.changed(func() { end(r, dead(sids)) }); n > 20 {
				t.Errorf("%d rows have changed", n)
			}
			if m := r.m.Meta(); m.Leases != 100 || m.Sessions != 1 || m.Void != 300 || m.Ended != 3 {
				t.Fatalf("%+v", m)
			}
			if n := len(r.m.HoldersIn(api.Range{}, 1000)); n != 100 {
				t.Errorf("%d live leases are named", n)
			}
			write := Write{Term: r.term, Txn: putTxn("k/0000", "v")}
			if res := r.refused(write, RetryLeases); len(res.Holders) != 1 || res.Holders[0].Session != sids[3] {
				t.Errorf("in the way are %+v", res.Holders)
			}
			r.ok(Kill{r.term, sids[3:]})
			r.ok(write)
		})
	}
}

// TestReap: what ended sessions have left goes in steps of a bounded number of rows, and nothing stays.
func TestReap(t *testing.T) {
	const keys, sessions = 700, 3
	r, sids := leasing(t, sessions+1, keys)
	r.ok(Kill{r.term, sids[:sessions]})
	left, steps := sessions*keys, 0
	for r.m.Meta().Ended > 0 {
		var res Result
		limit := []int{0, MaxReap, 10 * MaxReap, 37}[steps%4]
		n := r.changed(func() { res = r.ok(Reap{r.term, limit}) })
		if n > 2*MaxReap+sessions {
			t.Errorf("step %d has changed %d rows", steps, n)
		}
		left -= res.Swept.Rows
		if m := r.m.Meta(); m.Void != left || res.Swept.End != (m.Ended == 0) || res.Swept.Rows == 0 {
			t.Fatalf("step %d: %+v, and left are %+v", steps, res.Swept, m)
		}
		if steps++; steps == 2 { // another leases some of the keys meanwhile, and goes
			sid := r.open("new")
			r.grant(sid, "k/0000", "k/0350", "k/0699", "new")
			r.ok(Kill{r.term, []ident.SessionID{sid}})
			left += 4
		}
	}
	if left != 0 || len(r.m.HoldersIn(api.Range{}, 10*keys)) != keys {
		t.Errorf("%d are left, and %d live leases", left, len(r.m.HoldersIn(api.Range{}, 10*keys)))
	}
	r.ok(SessionClose{sids[sessions], nonce(fmt.Sprint("edge-", sessions))})
	r.ok(Reap{r.term, 0})
	r.ok(Reap{r.term, 0})
	for _, table := range []byte{tableEnded, tableHeld, tableLease, tableSession} {
		if n := count(t, r.m.engine, table); n > 0 {
			t.Errorf("%d rows are left in table %q", n, table)
		}
	}
	r.refused(Reap{r.term - 1, 0}, api.CodeNotLeader)
}

func count(t testing.TB, e engine.Engine, table byte) (n int) {
	t.Helper()
	if err := e.Scan([]byte{table}, []byte{table + 1}, false, func(_, _ []byte) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestVoidLeases take no place at a key, and keep no version of absence; nor do they come back with a snapshot, or with a
// range that was given up with them.
func TestVoidLeases(t *testing.T) {
	r := founded(t)
	r.m.limits.keyHolders = 2
	r.put("other", "v")
	r.ok(Write{Term: r.term, Txn: deleteTxn("other")})
	old := r.read("k").Version
	a, b, c := r.open("a"), r.open("b"), r.open("c")
	r.grant(a, "k")
	r.grant(b, "k")
	if lid := r.ok(Grant{Term: r.term, Items: []GrantItem{{Session: c, Keys: []api.Key{"k"}}}}).Leases[0]; lid != 0 {
		t.Fatal("a third holder")
	}
	r.ok(Kill{r.term, []ident.SessionID{a}})
	r.grant(c, "k")
	if v := r.read("k").Version; v != old {
		t.Errorf("under leases the version of absence went from %v to %v", old, v)
	}
	r.ok(Kill{r.term, []ident.SessionID{b, c}})
	if n := r.holders("k"); n != 0 {
		t.Errorf("%d holders", n)
	}
	again := newMachine(t)
	if err := again.Restore(bytes.NewReader(stream(t, r.m))); err != nil {
		t.Fatal(err)
	}
	if err := again.CheckInvariants(); err != nil || len(again.Holders([]api.Key{"k"})) > 0 {
		t.Errorf("after a restore: %v", err)
	}
	r.put("k", "v")
	r.ok(Write{Term: r.term, Txn: deleteTxn("k")})
	r.ok(Cede{Term: r.term, Range: api.PrefixRange("k"), Epoch: 2, To: []api.GroupID{"g.2"}})
	for r.m.Meta().Ended > 0 {
		r.ok(Reap{r.term, 1})
	}
}

// TestEndedSessionsHaveLimits: they count among the sessions until their leases are cleared away, and no command ends too many.
func TestEndedSessionsHaveLimits(t *testing.T) {
	r, sids := leasing(t, 3, 2)
	r.m.limits.sessions = 3
	open := SessionOpen{Node: "n", Nonce: nonce("n"), T: 1}
	r.refused(open, api.CodeUnavailable)
	r.ok(Kill{r.term, sids[:2]})
	r.refused(open, api.CodeUnavailable)
	r.ok(Reap{r.term, 2})
	r.ok(open)
	many := make([]ident.SessionID, MaxKilled+1)
	cede := Cede{Term: r.term, Range: api.PrefixRange("none/"), Epoch: 2, To: []api.GroupID{"g.2"}, Killed: many}
	prepare := prepareOf(r, ref("c", 1, "g.2"), opPut("a", "v"))
	prepare.Killed = many
	for _, c := range []Command{
		Kill{r.term, many}, Write{Term: r.term, Txn: putTxn("a", "v"), Killed: many}, cede, prepare,
		CommitLast{Term: r.term, Txn: ref("c", 1, "g.1"), Then: []api.Op{opPut("a", "v")}, Killed: many},
	} {
		r.refused(c, api.CodeTooLarge)
	}
}

// TestHoldersInParts: the live leases in a range are found whole and in order, however many keys they are on.
func TestHoldersInParts(t *testing.T) {
	const keys = 2*holderRows + 3
	r, sids := leasing(t, 2, keys)
	r.ok(Kill{r.term, sids[:1]})
	for limit, want := range map[int]int{2 * keys: keys, keys: keys, holderRows + 1: holderRows + 1, 1: 1} {
		hs := r.m.HoldersIn(api.Range{}, limit)
		if len(hs) != want {
			t.Errorf("%d leases of at most %d, want %d", len(hs), limit, want)
		}
		for i, h := range hs {
			if h.Session != sids[1] || h.Key != api.Key(fmt.Sprintf("k/%04d", i)) {
				t.Fatalf("lease %d is %v on %q", i, h.Session, h.Key)
			}
		}
	}
}
