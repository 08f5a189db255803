package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

func TestOutcomeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Outcome
	}{
		{nil, OK},
		{api.Errorf(api.CodeNotFound, "x"), OK},
		{api.Errorf(api.CodePreconditionFailed, "x"), OK},
		{api.Errorf(api.CodeUnavailable, "x"), Failed},
		{api.Errorf(api.CodeInternal, "x"), Unknown},
		{api.Errorf(api.CodeAmbiguous, "x"), Unknown},
		{fmt.Errorf("wrapped: %w", api.Errorf(api.CodeConflict, "x")), Failed},
		{context.DeadlineExceeded, Unknown},
		{errors.New("broken pipe"), Unknown},
	} {
		if got := OutcomeOf(c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}

func TestRecorder(t *testing.T) {
	r := NewRecorder(nil)
	c := r.Client(3)
	c.Begin(Op{Kind: Put, Key: "k", Written: "a"}).End(State{Version: at(1)}, nil)
	c.Begin(Op{Kind: Put, Key: "k", Written: "b"}) // never ends
	c.Begin(Op{Kind: CAS, Key: "k", Written: "c", Expect: is("a", 1)}).
		End(State{}, &api.Error{Code: api.CodePreconditionFailed, Version: at(2)})
	c.Begin(Op{Kind: Get, Key: "j"}).End(State{}, &api.Error{Code: api.CodeNotFound, Version: at(7)})
	r.Client(4).Begin(Op{Kind: Delete, Key: "k"}).End(State{}, api.Errorf(api.CodeUnavailable, "x"))
	got := map[string]Op{}
	for _, o := range r.Ops() {
		if o.Outcome != Unknown && o.Return < o.Call {
			t.Errorf("returned before it was called: %v", &o)
		}
		got[o.Kind.String()+o.Written] = o
	}
	if o := got["puta"]; o.Outcome != OK || o.Result.Version != at(1) || o.Client != 3 {
		t.Errorf("put a: %v", &o)
	}
	if o := got["putb"]; o.Outcome != Unknown {
		t.Errorf("put b: %v", &o)
	}
	if o := got["casc"]; o.Outcome != OK || !o.Refused || o.Result.Version != at(2) {
		t.Errorf("cas c: %v", &o)
	}
	if o := got["get"]; o.Outcome != OK || o.Result != gone(7) {
		t.Errorf("get: %v", &o)
	}
	if o := got["delete"]; o.Outcome != Failed || o.Client != 4 {
		t.Errorf("delete: %v", &o)
	}
}

// TestRecorderConcurrently records a store that is a map under a mutex, from many goroutines, and judges it.
func TestRecorderConcurrently(t *testing.T) {
	r := NewRecorder(nil)
	var mu sync.Mutex
	var now State
	var counter uint64
	var clients sync.WaitGroup
	for id := range 8 {
		clients.Go(func() {
			c := r.Client(id)
			for n := range 200 {
				if n%3 != 0 {
					call := c.Begin(Op{Kind: Get, Key: "k"})
					mu.Lock()
					saw := now
					mu.Unlock()
					call.End(saw, nil)
					continue
				}
				value := fmt.Sprint(id, "-", n)
				call := c.Begin(Op{Kind: Put, Key: "k", Written: value})
				mu.Lock()
				counter++
				now = is(value, counter)
				made := now.Version
				mu.Unlock()
				call.End(State{Version: made}, nil)
			}
		})
	}
	clients.Wait()
	ops := r.Ops()
	if len(ops) != 1600 {
		t.Fatalf("recorded %d of 1600 operations", len(ops))
	}
	for name, judge := range judges {
		if err := judge(ops); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecorderOfTransactions(t *testing.T) {
	frozen := func() time.Duration { return 5 }
	r := NewRecorder(frozen)
	c := r.Client(3)
	first := c.BeginTxn(sets("x", "a", 0))
	first.End([]Step{sets("x", "a", 1)}, nil)
	second := c.BeginTxn()
	second.Step(saw("x", "a", 1))
	second.End(nil, nil)
	third := c.BeginTxn(sets("x", "b", 0))
	third.End([]Step{sets("x", "b", 2)}, api.Errorf(api.CodeAmbiguous, "x"))
	c.BeginTxn().End(nil, api.Errorf(api.CodeConflict, "x"))
	c.BeginTxn() // never ends
	txns := r.Txns()
	var outcomes []Outcome
	last := time.Duration(0)
	for _, t2 := range txns {
		outcomes = append(outcomes, t2.Outcome)
		if t2.Client != 3 || t2.Call <= last || t2.Return != 0 && t2.Return <= t2.Call {
			t.Errorf("the clock stood still: %v", &t2)
		}
		last = max(t2.Call, t2.Return)
	}
	if !slices.Equal(outcomes, []Outcome{OK, OK, Unknown, Failed, Unknown}) {
		t.Fatalf("outcomes are %v", outcomes)
	}
	if txns[0].Steps[0] != sets("x", "a", 1) || txns[1].Steps[0] != saw("x", "a", 1) || txns[2].Steps[0] != sets("x", "b", 0) {
		t.Errorf("got %v", txns)
	}
	if err := StrictlySerializable(txns); err != nil {
		t.Error(err)
	}
	if len(r.Ops()) != 0 {
		t.Errorf("operations came of nothing: %v", r.Ops())
	}
}

// TestRecorderOfAnswersWithoutVersions: what an answer says of the state that was met is kept, if there was an answer.
func TestRecorderOfAnswersWithoutVersions(t *testing.T) {
	r := NewRecorder(nil)
	c := r.Client(1)
	c.Begin(Op{Kind: Put, Key: "k", Written: "a"}).EndReplaced(State{Exists: true, Value: "z"}, nil)
	c.Begin(Op{Kind: Put, Key: "k", Written: "b"}).EndReplaced(State{}, errors.New("broken pipe"))
	c.Begin(Op{Kind: Delete, Key: "k"}).EndFound(true, nil)
	c.Begin(Op{Kind: Delete, Key: "k"}).EndFound(false, nil)
	c.Begin(Op{Kind: Delete, Key: "k"}).EndFound(false, errors.New("broken pipe"))
	ops := r.Ops()
	if o := ops[0]; o.Kind != CAS || o.Expect.Value != "z" || o.Outcome != OK {
		t.Errorf("a put that replaced z: %v", &o)
	}
	if o := ops[1]; o.Kind != Put || o.Outcome != Unknown {
		t.Errorf("a put without an answer: %v", &o)
	}
	for i, want := range []Found{FoundValue, FoundNothing, Untold} {
		if o := ops[2+i]; o.Found != want {
			t.Errorf("%v, want %v", &o, want)
		}
	}
}
