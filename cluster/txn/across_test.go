package txn

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestTouchAndListInOneGroup checks that a transaction of one group touches and lists, also if it does nothing else, and that one
// whose keys belong to several groups is refused with the reason, whichever of its branches has the step, before anything is locked.
func TestTouchAndListInOneGroup(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		do := func(txn api.Txn) (*api.TxnResult, error) {
			return g.Do(within(t, 5*time.Second), &words.Txn{Txn: txn})
		}
		put := api.Op{Kind: api.OpPut, Key: "us/l/a", Value: []byte("v"), TTL: time.Minute}
		touch := api.Op{Kind: api.OpTouch, Key: "us/l/a", TTL: time.Hour}
		list := api.Op{Kind: api.OpList, Key: "us/l/", Limit: 10}
		if res, err := do(api.Txn{Then: []api.Op{put, list}}); err != nil || len(res.Lists) != 1 || len(res.Lists[0]) != 1 || res.Lists[0][0].Version != res.Version {
			t.Fatalf("%+v, %v", res, err)
		}
		due := func() uint64 {
			group, _, _ := w.m.Locate("us/l/a")
			return w.groups[group].machine.Due(1<<50, 1)[0].Deadline
		}
		before := due()
		for i, id := range []api.RequestID{{}, requestOf(7)} {
			touch.TTL += time.Hour
			if res, err := do(api.Txn{ID: id, Then: []api.Op{touch}}); err != nil || !res.Entries[0].Exists {
				t.Fatalf("%+v, %v", res, err)
			}
			if now := due(); now <= before {
				t.Errorf("touch %d left the deadline at %d, it was %d", i, now, before)
			} else {
				before = now
			}
		}
		if res, err := do(api.Txn{Then: []api.Op{list}}); err != nil || len(res.Lists) != 1 || res.Lists[0][0].Key != "us/l/a" {
			t.Fatalf("%+v, %v", res, err)
		}
		for _, step := range []api.Op{touch, list} {
			for _, txn := range []api.Txn{
				{Then: []api.Op{putOp("eu/b", "v"), step}}, {If: []api.Cond{{Kind: api.CondAbsent, Key: "eu/b"}}, Then: []api.Op{step}},
				{ID: requestOf(8), Then: []api.Op{putOp("eu/b", "v"), putOp("us/b", "v")}, Else: []api.Op{step}},
				{Then: []api.Op{{Kind: api.OpGet, Key: "eu/b"}, step}},
			} {
				_, err := do(txn)
				if api.CodeOf(err) != api.CodeInvalid || !strings.Contains(api.AsError(err).Hint, "one group") {
					t.Errorf("%+v: %v", txn, err)
				}
			}
		}
		if w.value("eu/b") != "" {
			t.Error("something was written")
		}
	})
}

func appendOp(k api.Key, v string) api.Op {
	return api.Op{Kind: api.OpAppend, Key: k, Value: []byte(v)}
}

func foldOp(k api.Key, n uint64) api.Op {
	return api.Op{Kind: api.OpSum64, Key: k, Value: binary.LittleEndian.AppendUint64(nil, n)}
}

// manyPuts are n puts in each of two regions.
func manyPuts(n int) (ops []api.Op) {
	for i := range n {
		ops = append(ops, putOp(api.Key(fmt.Sprintf("us/p%d", i)), "v"), putOp(api.Key(fmt.Sprintf("eu/p%d", i)), "v"))
	}
	return ops
}

// TestFunctionsAcrossGroups checks that functions of bytes and puts that keep a deadline take effect in all groups or in none, and
// answer what they made.
func TestFunctionsAcrossGroups(t *testing.T) {
	for _, id := range []api.RequestID{{}, requestOf(1)} {
		inWorld(t, 1, func(t *testing.T, w *world) {
			g := w.gateway("us")
			do := func(id api.RequestID, ops ...api.Op) (*api.TxnResult, error) {
				return g.Do(within(t, 5*time.Second), &words.Txn{Txn: api.Txn{ID: id, Then: ops}})
			}
			keep := api.Op{Kind: api.OpPut, Key: "us/t", Value: []byte("2"), KeepTTL: true}
			lives := keep
			lives.TTL, lives.KeepTTL = 10*time.Second, false
			if _, err := do(api.RequestID{}, lives, putOp("eu/l", "abc"), foldOp("us/n", 1)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			res, err := do(id, keep, appendOp("eu/l", "de"), foldOp("us/n", 1<<40), foldOp("eu/n", 5))
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []string{"", "5", "", ""} {
				if e := res.Entries[i]; string(e.Value) != want || !e.Exists || (e.TTL > 0) != (i == 0) {
					t.Errorf("entry %d is %+v, want the value %q", i, e, want)
				}
			}
			w.settled(20 * q)
			for k, want := range map[api.Key]string{"us/t": "2", "eu/l": "abcde", "us/n": "\x01\x00\x00\x00\x00\x01\x00\x00", "eu/n": "\x05\x00\x00\x00\x00\x00\x00\x00"} {
				if got := w.value(k); got != want {
					t.Errorf("%s is %q, want %q", k, got, want)
				}
			}
			if _, err := do(api.RequestID{}, appendOp("us/l", "x"), foldOp("eu/l", 1)); api.CodeOf(err) != api.CodePreconditionFailed {
				t.Errorf("a fold of a text gave %v", err)
			}
			if w.settled(20 * q); w.value("us/l") != "" {
				t.Error("half of a refused transaction was applied")
			}
			if time.Sleep(time.Until(began.Add(12 * time.Second))); w.value("us/t") != "" {
				t.Error("the key with a deadline lives for ever")
			}
		})
	}
}

// TestTimesToLiveAcrossGroups checks that the keys of a transaction across groups end in each group, not before their time to live has
// passed and soon after, and that a key without one stays.
func TestTimesToLiveAcrossGroups(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		txn := &words.Txn{Txn: api.Txn{Then: []api.Op{
			{Kind: api.OpPut, Key: "us/a", Value: []byte("v"), TTL: 10 * time.Second}, {Kind: api.OpPut, Key: "eu/b", Value: []byte("v"), TTL: 10 * time.Second},
			putOp("eu/c", "v"),
		}}}
		began := time.Now()
		res, err := g.Do(within(t, 5*time.Second), txn)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{10 * time.Second, 10 * time.Second, 0} {
			if ttl := res.Entries[i].TTL; ttl > want || ttl < want-2*time.Second {
				t.Errorf("entry %d has %v left, want about %v", i, ttl, want)
			}
		}
		time.Sleep(time.Until(began.Add(9500 * time.Millisecond)))
		if w.value("us/a") != "v" || w.value("eu/b") != "v" {
			t.Error("a key has ended early")
		}
		time.Sleep(time.Until(began.Add(12 * time.Second)))
		if w.value("us/a") != "" || w.value("eu/b") != "" || w.value("eu/c") != "v" {
			t.Errorf("after 12 s there are %q, %q and %q", w.value("us/a"), w.value("eu/b"), w.value("eu/c"))
		}
	})
}
