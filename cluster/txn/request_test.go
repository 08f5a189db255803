package txn

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestAskedAgain checks that a request that is sent again gets the same answer. That holds even if its own writes have
// made its conditions fail, or keep its steps from being carried out, or if it would only read now.
func TestAskedAgain(t *testing.T) {
	big := make([]byte, api.MaxValueBytes/2+1)
	for name, tx := range map[string]*words.Txn{
		"reads":     {Txn: api.Txn{Then: []api.Op{getOp("us/was"), getOp("eu/was"), getOp("eu/empty"), getOp("us/none"), putOp("us/a", "1"), putOp("eu/was", "2"), getOp("eu/was")}}},
		"condition": {Txn: api.Txn{If: []api.Cond{{Kind: api.CondAbsent, Key: "us/a"}, {Kind: api.CondAbsent, Key: "eu/a"}}, Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}},
		"far":       {Txn: api.Txn{If: []api.Cond{{Kind: api.CondAbsent, Key: "us/a"}}, Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}},
		"step far":  {Txn: api.Txn{Then: []api.Op{addOp("us/n", 1<<62), addOp("us/n", 1<<62-1), putOp("eu/a", "1")}}},
		"step near": {Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), addOp("eu/n", 1<<62), addOp("eu/n", 1<<62-1)}}},
		"size":      {Txn: api.Txn{Then: []api.Op{{Kind: api.OpAppendIfAbsent, Key: "us/l", Value: append([]byte("x"), big...)}, putOp("eu/a", "1")}}},
		"functions": {Txn: api.Txn{Then: []api.Op{appendOp("us/was", "x"), appendOp("eu/was", "yy"), foldOp("us/n", 7), foldOp("eu/n", 7), appendOp("eu/was", "")}}},
		"fold far":  {Txn: api.Txn{Then: []api.Op{foldOp("us/n", 7), putOp("us/n", "12"), putOp("eu/a", "1")}}},
		"many":      {Txn: api.Txn{Then: manyPuts(1250)}},
		"looks now": {Txn: api.Txn{If: []api.Cond{{Kind: api.CondExists, Key: "us/a"}}, Then: []api.Op{{Kind: api.OpGet, Key: "eu/a"}, {Kind: api.OpGet, Key: "us/a"}}, Else: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}},
		"not held":  {Txn: api.Txn{If: []api.Cond{{Kind: api.CondExists, Key: "us/a"}, {Kind: api.CondExists, Key: "eu/a"}}, Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}},
		"failed":    {Txn: api.Txn{If: []api.Cond{{Kind: api.CondExists, Key: "us/a"}}, Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}},
	} {
		for _, region := range []string{"us", "eu"} {
			t.Run(name+" from "+region, func(t *testing.T) {
				inWorld(t, 1, func(t *testing.T, w *world) {
					tx := *tx
					tx.ID = requestOf(1)
					before := &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/was", "42"), putOp("eu/was", "43"), putOp("eu/empty", "")}}}
					if _, err := w.gateway("us").Do(within(t, 5*time.Second), before); err != nil {
						t.Fatal(err)
					}
					res, err := w.gateway("us").Do(within(t, 5*time.Second), &tx)
					if err != nil {
						t.Fatal(err)
					}
					if name == "not held" || name == "failed" { // it holds when it is sent again
						_, err := w.gateway("us").Do(within(t, 5*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "2"), putOp("eu/a", "2")}}})
						if err != nil {
							t.Fatal(err)
						}
					}
					again, err := w.gateway(region).Do(within(t, 5*time.Second), &tx)
					if err != nil || !again.Replayed || again.Committed != res.Committed || len(again.Entries) != len(res.Entries) {
						t.Fatalf("%+v, %v; it was %+v", again, err, res)
					}
					for i := range res.Entries {
						if x, y := &res.Entries[i], &again.Entries[i]; x.Key != y.Key || x.Version != y.Version || x.Exists != y.Exists || string(x.Value) != string(y.Value) || y.Elided {
							t.Errorf("%+v; it was %+v", y, x)
						}
					}
				})
			})
		}
	}
}

// TestOneGroupAfterSeveral checks a request whose keys are one group's now, but were not when it was tried across
// groups before. What remains of that attempt is found and ended, or is the answer.
func TestOneGroupAfterSeveral(t *testing.T) {
	for _, outcome := range []ident.TxnOutcome{ident.TxnUndecided, ident.TxnAborted, ident.TxnCommitted} {
		inWorld(t, 1, func(t *testing.T, w *world) {
			g := w.gateway("us")
			tx := &words.Txn{Txn: api.Txn{ID: requestOf(1), Then: []api.Op{addOp("us/a", 1), addOp("us/b", 1)}}}
			ref := ident.TxnRef{ID: ident.TxnID{Client: tx.ID.Client, Seq: 1, Attempt: 9 << 16, Decider: "eu.1"}, Age: 1, Anchor: "us/a", Epoch: g.cfg.DedupEpoch("eu.1").Count}
			v, err := g.line.Prepare(within(t, time.Second), &fsm.Prepare{Group: "us.1", Txn: ref, Then: tx.Then, Claim: &fsm.Claim{Body: fsm.Fingerprint(&tx.Txn)}}, nil, false)
			if err != nil || v.Refused != nil {
				t.Fatal(v, err)
			}
			if outcome != ident.TxnUndecided {
				d := &fsm.Decide{Txn: ref, Outcome: outcome}
				if outcome == ident.TxnCommitted {
					d.Participants, d.Held, d.Outcomes = []api.GroupID{"us.1"}, true, fsm.Outcomes(tx.Then, v.Txn.Entries)
				}
				if _, err := g.line.Decide(within(t, time.Second), d); err != nil {
					t.Fatal(err)
				}
			}
			for n := range 2 {
				res, err := g.Do(within(t, 10*time.Second), tx)
				if err != nil || !res.Committed || string(res.Entries[0].Value) != "1" || res.Replayed != (n == 1 || outcome == ident.TxnCommitted) {
					t.Errorf("%v, %d: %+v, %v", outcome, n, res, err)
				}
			}
			w.settled(sweepBound)
			if a, b := w.value("us/a"), w.value("us/b"); a != "1" || b != "1" {
				t.Errorf("%v: %q and %q", outcome, a, b)
			}
		})
	}
}

// TestTwoGatewaysOneRequest sends the same request at once to gateways of several regions, to some of them repeatedly.
// The request has one effect, and all callers get the same answer.
func TestTwoGatewaysOneRequest(t *testing.T) {
	for n := range 20 {
		inWorld(t, 1, func(t *testing.T, w *world) {
			tx := &words.Txn{Txn: api.Txn{ID: requestOf(1), Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)},
				If: []api.Cond{{Kind: api.CondAbsent, Key: "us/a"}}}}
			if n%2 == 1 {
				tx.Age = 7 // as sent by a client that sets its own age
			}
			type answer struct {
				res *api.TxnResult
				err error
			}
			answers := make(chan answer)
			const gateways = 4
			for i := range gateways {
				g := w.gateway([]string{"us", "eu"}[i%2], func(c *Config) { c.Rand = nil })
				go func() {
					time.Sleep(time.Duration(i*n) * 3 * time.Millisecond)
					res, err := g.Do(within(t, 20*time.Second), tx)
					answers <- answer{res, err}
				}()
			}
			var first *api.TxnResult
			for range gateways {
				a := <-answers
				if a.err != nil || !a.res.Committed {
					t.Errorf("%+v, %v", a.res, a.err)
					continue
				}
				if first == nil {
					first = a.res
				}
				for i := range first.Entries {
					if a.res.Entries[i].Version != first.Entries[i].Version || string(a.res.Entries[i].Value) != "1" {
						t.Errorf("one gets %+v, and another %+v", first, a.res)
					}
				}
			}
			w.settled(20 * q)
			if a, b := w.value("us/a"), w.value("eu/a"); a != "1" || b != "1" {
				t.Errorf("%q and %q", a, b)
			}
		})
	}
}

// TestVoteAgainBesideAnOlder checks that a vote of yes whose answer was lost is repeated as it was, although an older
// transaction waits for the keys that have been locked since.
func TestVoteAgainBesideAnOlder(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g, old := w.gateway("us"), w.gateway("us")
		var waiting bool
		g.line.point = func(p point) error {
			if p == (point{"prepare", "us.1", true}) && !waiting {
				waiting = true
				go func() {
					if _, err := old.Do(within(t, 10*time.Second), leasedOn(&words.Txn{Txn: api.Txn{Age: 1, Then: []api.Op{addOp("us/a", 1), addOp("eu/b", 1)}}}, "eu/far")); err != nil {
						t.Error(err)
					}
				}()
				time.Sleep(q) // it waits by now
				return errLost
			}
			return nil
		}
		if _, err := g.Do(within(t, 10*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}}); err != nil {
			t.Error(err)
		}
		if n := g.counts.of("edgehold_txn_retries_total contention"); n > 0 {
			t.Errorf("it had locked all, and gave way %v times", n)
		}
		w.settled(20 * q)
		if v := w.value("us/a"); v != "2" {
			t.Errorf("%q", v)
		}
	})
}

// TestSameRequestSameAge checks two gateways with the same request and one age, each of which holds the key that the
// other waits for. Neither is older, but they do not wait until a request that waits for too long has them aborted.
func TestSameRequestSameAge(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		tx := &words.Txn{Txn: api.Txn{ID: requestOf(1), Age: 7, Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}}
		began := time.Now()
		done := make(chan error)
		for _, r := range []string{"us", "eu"} {
			g := w.gateway(r)
			go func() {
				_, err := g.Do(within(t, 20*time.Second), tx)
				done <- err
			}()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took >= abortAfter {
			t.Errorf("it took %v", took)
		}
		w.settled(20 * q)
		if a, b := w.value("us/a"), w.value("eu/a"); a != "1" || b != "1" {
			t.Errorf("%q and %q", a, b)
		}
	})
}

func requestOf(n byte) api.RequestID { return api.RequestID{Client: api.ClientID{1}, Seq: uint64(n)} }
