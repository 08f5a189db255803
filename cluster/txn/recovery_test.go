package txn

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

const (
	abortAfter = 3 * time.Second  // of regions: how long a lock stays if a request waits for it
	sweepBound = 13 * time.Second // the same if no request waits
)

var errDead = &api.Error{Code: api.CodeAmbiguous, Hint: "this process is dead"}

// crashAt makes the gateway crash at the point: after that nothing leaves it, and no answer reaches it.
func (g *gateway) crashAt(at point) (dead chan struct{}) {
	dead = make(chan struct{})
	var died bool
	g.line.point = func(p point) error {
		g.line.w.mu.Lock()
		defer g.line.w.mu.Unlock()
		if p == at && !died {
			died = true
			close(dead)
		}
		if died {
			return errDead
		}
		return nil
	}
	return dead
}

// TestCoordinatorDies checks a coordinator that dies at any step. Its transaction happens as a whole or not at all, and
// no lock stays for longer than promised. A client that sends the request again through another gateway has it done
// once, and all callers get the same answer.
func TestCoordinatorDies(t *testing.T) {
	const us, eu, far = api.Key("us/count"), api.Key("eu/count"), api.Key("eu/far")
	txn := func() *words.Txn {
		return &words.Txn{Txn: api.Txn{ID: requestOf(1), Then: []api.Op{addOp(us, 1), addOp(eu, 1)}}}
	}
	modes := map[string][]point{
		"m3": {
			{"prepare", "us.1", false}, {"prepare", "us.1", true}, {"commit last", "eu.1", false}, {"commit last", "eu.1", true},
		},
		"m2": {
			{"prepare", "us.1", false}, {"prepare", "us.1", true}, {"prepare", "eu.1", false}, {"prepare", "eu.1", true},
			{"decide", "us.1", false}, {"decide", "us.1", true},
		},
	}
	for mode, points := range modes {
		for _, at := range points {
			for _, waited := range []bool{true, false} {
				when := "before"
				if at.after {
					when = "after"
				}
				t.Run(fmt.Sprintf("%s/%s %s at %s/waited %v", mode, when, at.kind, at.group, waited), func(t *testing.T) {
					inWorld(t, 1, func(t *testing.T, w *world) {
						first, other, third := w.gateway("us"), w.gateway("us"), w.gateway("eu")
						tx := txn()
						if mode == "m2" { // a lease keeps it from committing at the last group
							tx.If = []api.Cond{{Kind: api.CondAbsent, Key: far}}
							tx.Leased, tx.LeasesHeld = []int{0}, func() bool { return true }
						}
						dead := first.crashAt(at)
						if _, err := first.Do(within(t, time.Minute), tx); err == nil {
							t.Fatal("the dead answer")
						}
						<-dead
						if waited {
							began := time.Now()
							for _, k := range []api.Key{us, eu} {
								if _, err := words.Read(within(t, time.Minute), other, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{k}}}); err != nil {
									t.Error(err)
								}
							}
							if took := time.Since(began); took > abortAfter+6*q {
								t.Errorf("the one that waited was kept for %v", took)
							}
							w.settled(6 * q)
						} else {
							w.settled(sweepBound)
						}
						if a, b := w.value(us), w.value(eu); a != b {
							t.Errorf("half of it happened: %q and %q", a, b)
						}
						res, err := other.Do(within(t, 10*time.Second), tx)
						if err != nil || !res.Committed || string(res.Entries[0].Value) != "1" || string(res.Entries[1].Value) != "1" {
							t.Fatalf("sent again: %+v, %v", res, err)
						}
						again, err := third.Do(within(t, 10*time.Second), tx)
						if err != nil || !again.Replayed || again.Entries[0].Version != res.Entries[0].Version || again.Entries[1].Version != res.Entries[1].Version {
							t.Errorf("and again: %+v, %v; it was %+v", again, err, res)
						}
						w.settled(20 * q)
						if a, b := w.value(us), w.value(eu); a != "1" || b != "1" {
							t.Errorf("once, and yet %q and %q", a, b)
						}
					})
				})
			}
		}
	}
}

// TestLeadersDie checks that the leader of a group may die at any step: when another leads, the same coordinator goes
// on.
func TestLeadersDie(t *testing.T) {
	const us, eu = api.Key("us/a"), api.Key("eu/a")
	for _, victim := range []api.GroupID{"us.1", "eu.1"} {
		for _, at := range []point{
			{"prepare", "us.1", true}, {"prepare", "eu.1", true}, {"commit last", "eu.1", false}, {"commit last", "eu.1", true},
			{"decide", "us.1", false}, {"decide", "us.1", true},
		} {
			for _, away := range []time.Duration{0, 2 * time.Second, 8 * time.Second} {
				t.Run(fmt.Sprintf("%s at %v for %v", victim, at, away), func(t *testing.T) {
					inWorld(t, 1, func(t *testing.T, w *world) {
						g := w.gateway("us")
						happened := make(chan struct{})
						g.line.point = func(p point) error {
							if p == at {
								select {
								case <-happened:
								default:
									close(happened)
									w.groups[victim].kill()
									time.AfterFunc(away, w.groups[victim].elect)
								}
							}
							return nil
						}
						tx := &words.Txn{Txn: api.Txn{Then: []api.Op{addOp(us, 1), addOp(eu, 1)}}}
						if at.kind != "commit last" {
							tx.If = []api.Cond{{Kind: api.CondAbsent, Key: "eu/far"}}
							tx.Leased, tx.LeasesHeld = []int{0}, func() bool { return true }
						}
						res, err := g.Do(within(t, 20*time.Second), tx)
						select {
						case <-happened:
						default:
							t.Fatal("the moment did not come")
						}
						if err != nil || string(res.Entries[0].Value) != "1" || string(res.Entries[1].Value) != "1" {
							if err != nil || len(res.Entries) != 2 || w.value(us) != "1" {
								t.Errorf("%+v, %v", res, err)
							}
						}
						w.settled(sweepBound)
						if a, b := w.value(us), w.value(eu); a != "1" || b != "1" {
							t.Errorf("%q and %q", a, b)
						}
					})
				})
			}
		}
	}
}

// TestDeciderDiesDuringResolve checks that the decision group's leader may die when it has informed one participant of
// a commit, or none: the next leader informs the rest.
func TestDeciderDiesDuringResolve(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		w.cut("us.1", "eu.1", true) // the decider cannot reach the other participant
		tx := &words.Txn{
			Txn: api.Txn{If: []api.Cond{{Kind: api.CondAbsent, Key: "eu/far"}}, Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}, Leased: []int{0}, LeasesHeld: func() bool { return true },
		}
		if _, err := g.Do(within(t, 5*time.Second), tx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(q)
		if m := w.groups["us.1"].machine.Meta(); m.Prepared != 0 || m.Unresolved != 1 {
			t.Fatalf("it should have resolved its own part by now, and that alone: %+v", m)
		}
		w.groups["us.1"].kill()
		w.cut("us.1", "eu.1", false)
		w.groups["us.1"].elect()
		w.settled(time.Second + 4*q)
		if a, b := w.value("us/a"), w.value("eu/a"); a != "1" || b != "1" {
			t.Errorf("%q and %q", a, b)
		}
	})
}

// TestPartitions cuts a connection when all groups have voted. While the decision group is reachable, a request that
// meets a lock has it removed in time. While it is not reachable, all requests wait, and no group decides alone. After
// that all is well.
func TestPartitions(t *testing.T) {
	const us, eu = api.Key("us/a"), api.Key("eu/a")
	for _, c := range []struct {
		from string
		to   api.GroupID
		free []api.Key // can be read while it is cut
	}{
		{"gateway", "us.1", []api.Key{us, eu}}, // cannot decide: pushed
		{"gateway", "eu.1", []api.Key{us, eu}}, // decides
		{"us.1", "eu.1", []api.Key{us, eu}},    // cannot inform the other: a request that waits there asks
		{"eu.1", "us.1", []api.Key{us, eu}},    // cannot ask: the decider informs it
	} {
		t.Run(c.from+" from "+string(c.to), func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				g, other := w.gateway("us"), w.gateway("eu")
				from := c.from
				if from == "gateway" {
					from = g.line.from
				}
				tx := &words.Txn{Txn: api.Txn{Then: []api.Op{addOp(us, 1), addOp(eu, 1)}, If: []api.Cond{{Kind: api.CondAbsent, Key: "eu/far"}}}}
				tx.Leased, tx.LeasesHeld = []int{0}, func() bool { w.cut(from, c.to, true); return true }
				_, err := g.Do(within(t, 10*time.Second), tx)
				began := time.Now()
				for _, k := range c.free {
					if _, err := words.Read(within(t, time.Minute), other, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{k}}}); err != nil {
						t.Error(err)
					}
				}
				if took := time.Since(began); took > abortAfter+6*q {
					t.Errorf("the one that waited was kept for %v", took)
				}
				a, b := w.value(us), w.value(eu)
				if a != b || (err == nil) != (a == "1") && api.CodeOf(err) != api.CodeAmbiguous {
					t.Errorf("%v, and then %q and %q", err, a, b)
				}
				w.cut(from, c.to, false)
				w.settled(sweepBound)
			})
		})
	}
}

// TestDecisionGroupIsLost checks that nothing is decided while the decision group cannot be reached. A request that
// waits fails when its time is up, and everything is settled when the group is back.
func TestDecisionGroupIsLost(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g, other := w.gateway("us"), w.gateway("eu")
		dead := g.crashAt(point{"decide", "us.1", false})
		tx := &words.Txn{Txn: api.Txn{ID: requestOf(1), Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}, If: []api.Cond{{Kind: api.CondAbsent, Key: "eu/far"}}}}
		tx.Leased, tx.LeasesHeld = []int{0}, func() bool { return true }
		_, _ = g.Do(within(t, time.Minute), tx)
		<-dead
		w.groups["us.1"].kill()
		began := time.Now()
		_, err := words.Read(within(t, 20*time.Second), other, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"eu/a"}}})
		if api.CodeOf(err) != api.CodeUnavailable || time.Since(began) < 20*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		_, err = other.Do(within(t, 20*time.Second), tx)
		if code := api.CodeOf(err); code != api.CodeAmbiguous && code != api.CodeUnavailable {
			t.Errorf("sent again meanwhile: %v", err)
		}
		w.groups["us.1"].elect()
		res, err := other.Do(within(t, 20*time.Second), tx)
		if err != nil || string(res.Entries[0].Value) != "1" {
			t.Errorf("sent again after that: %+v, %v", res, err)
		}
		w.settled(sweepBound)
		if a, b := w.value("us/a"), w.value("eu/a"); a != "1" || b != "1" {
			t.Errorf("%q and %q", a, b)
		}
	})
}
