package txn

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestTimeUp checks that a caller that gives up before anything is decided learns at once that nothing was written, and
// that nothing is written after that.
func TestTimeUp(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		for d := time.Millisecond; d < 3*q; d += 3 * time.Millisecond {
			for _, tx := range []*words.Txn{
				{Txn: api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}},
				leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}}, "eu/far"),
			} {
				before := w.value("us/a")
				began := time.Now()
				res, err := g.Do(within(t, d), tx)
				took := time.Since(began)
				w.settled(sweepBound)
				after := w.value("us/a")
				switch {
				case took > d+time.Millisecond:
					t.Errorf("%v: it took %v", d, took)
				case w.value("eu/a") != after:
					t.Errorf("%v: half of it: %q, %q", d, w.value("eu/a"), after)
				case err == nil && (before == after || string(res.Entries[0].Value) != after):
					t.Errorf("%v: committed, and %q became %q", d, before, after)
				case err != nil && api.CodeOf(err) != api.CodeAmbiguous && before != after:
					t.Errorf("%v: %v, and %q became %q", d, err, before, after)
				}
			}
		}
	})
}

// TestLostAnswers loses the request or the answer of every message once. The transaction happens once, and is answered.
func TestLostAnswers(t *testing.T) {
	for _, leased := range []bool{true, false} {
		for _, kind := range []string{"prepare", "decide", "commit last"} {
			for _, g := range []api.GroupID{"us.1", "eu.1"} {
				for _, after := range []bool{true, false} {
					lost := point{kind, g, after}
					t.Run(fmt.Sprintf("leased %v, %v", leased, lost), func(t *testing.T) {
						inWorld(t, 1, func(t *testing.T, w *world) {
							gw := w.gateway("us")
							n := 0
							gw.line.point = func(p point) error {
								w.mu.Lock()
								defer w.mu.Unlock()
								if n++; p == lost {
									lost.kind = "" // once
									return errLost
								}
								return nil
							}
							tx := &words.Txn{Txn: api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1), {Kind: api.OpGet, Key: "us/read"}}}}
							if _, err := gw.Do(within(t, time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/read", "seen"), putOp("us/b", "")}}}); err != nil {
								t.Fatal(err)
							}
							if leased {
								tx.If = []api.Cond{{Kind: api.CondAbsent, Key: "eu/far"}}
								tx.Leased, tx.LeasesHeld = []int{0}, func() bool { return true }
							}
							res, err := gw.Do(within(t, 10*time.Second), tx)
							if err != nil || len(res.Entries) != 3 || string(res.Entries[0].Value) != "1" || string(res.Entries[1].Value) != "1" ||
								string(res.Entries[2].Value) != "seen" || res.Replayed {
								t.Errorf("%+v, %v", res, err)
							}
							w.settled(20 * q)
							if a, b := w.value("us/a"), w.value("eu/a"); a != "1" || b != "1" {
								t.Errorf("%q and %q", a, b)
							}
						})
					})
				}
			}
		}
	}
}

// TestReadsAreAnswered checks that the values that a far group has read are returned, whichever message is lost.
func TestReadsAreAnswered(t *testing.T) {
	for _, kind := range []string{"prepare", "commit last", "decide"} {
		inWorld(t, 1, func(t *testing.T, w *world) {
			g := w.gateway("us")
			if _, err := g.Do(within(t, time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("eu/read", "seen")}}}); err != nil {
				t.Fatal(err)
			}
			lost := map[point]bool{}
			g.line.point = func(p point) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				if p.kind == kind && p.after && !lost[p] {
					lost[p] = true
					return errLost
				}
				return nil
			}
			res, err := g.Do(within(t, 10*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{addOp("us/a", 1), {Kind: api.OpGet, Key: "eu/read"}}}})
			if err != nil || string(res.Entries[0].Value) != "1" || string(res.Entries[1].Value) != "seen" {
				t.Errorf("%s: %+v, %v", kind, res, err)
			}
		})
	}
}

// TestLateMessages checks that messages of a transaction that arrive after it was aborted or committed change nothing.
func TestLateMessages(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		var prepares []fsm.Prepare
		var last *fsm.CommitLast
		catch := &catcher{line: g.line, prepare: func(p *fsm.Prepare) { prepares = append(prepares, *p) }, last: func(c *fsm.CommitLast) { last = c }}
		g.cfg.Groups = catch
		if _, err := g.Do(within(t, 5*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}}); err != nil {
			t.Fatal(err)
		}
		w.settled(20 * q)
		if len(prepares) != 1 || last == nil {
			t.Fatalf("%d prepares, %v", len(prepares), last)
		}
		if v, err := g.line.Prepare(within(t, time.Second), &prepares[0], nil, false); err != nil || v.Refused == nil || v.Refused.Code != fsm.Finished {
			t.Errorf("a late prepare: %+v, %v", v, err)
		}
		if v, err := g.line.CommitLast(within(t, time.Second), last, nil); err != nil || v.Refused != nil || v.Txn != nil || v.Decision.Outcome != ident.TxnCommitted {
			t.Errorf("a late commit: %+v, %v", v, err)
		}
		synctest.Wait()
		if a, b := w.value("us/a"), w.value("eu/a"); a != "1" || b != "1" {
			t.Errorf("%q and %q", a, b)
		}
	})
}

// catcher inspects messages.
type catcher struct {
	*line
	prepare func(*fsm.Prepare)
	last    func(*fsm.CommitLast)
}

func (c *catcher) Prepare(ctx context.Context, p *fsm.Prepare, dropped []ident.DroppedLease, free bool) (*fsm.Vote, error) {
	c.prepare(p)
	return c.line.Prepare(ctx, p, dropped, free)
}

func (c *catcher) CommitLast(ctx context.Context, p *fsm.CommitLast, dropped []ident.DroppedLease) (*fsm.Vote, error) {
	c.last(p)
	return c.line.CommitLast(ctx, p, dropped)
}
