package history

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// change returns a change by its name, such as "a3", which is of key a by command 3 of group g at time 30. The value of a put is its
// name.
func change(kind api.EventKind, n string) Change {
	var key string
	var index uint64
	if _, err := fmt.Sscanf(n, "%1s%d", &key, &index); err != nil {
		panic(err)
	}
	c := Change{Group: "g", Index: index, At: time.Duration(10*index) * time.Second}
	c.Event = api.Event{Kind: kind, Key: api.Key(key), Version: at(index)}
	if kind == api.EventPut {
		c.Value = []byte(n)
	}
	return c
}

// happened is a history: puts, or deletes with a '-' before the name; those of group h have a '/'.
func happened(names string) (all []Change) {
	for n := range strings.FieldsSeq(names) {
		kind := api.EventPut
		if n[0] == '-' {
			kind, n = api.EventDelete, n[1:]
		}
		c := change(kind, strings.TrimPrefix(n, "/"))
		if n[0] == '/' {
			c.Group = "h"
		}
		all = append(all, c)
	}
	return all
}

// told is what a client was told: in each batch the time, then the names of changes, "!" for a cursor, "ready", "again" for another
// stream, "gap", "reset", "old" for an age of five seconds. A name with a "~" has another value.
func told(t *testing.T, all []Change, batches ...string) (bs []Told) {
	for _, text := range batches {
		words := strings.Fields(text)
		var at float64
		if _, err := fmt.Sscanf(words[0], "%g:", &at); err != nil {
			t.Fatal(err)
		}
		b := Told{At: time.Duration(at * float64(time.Second))}
		for _, word := range words[1:] {
			switch word {
			case "!":
				b.Cursor = "c"
			case "ready":
				b.Ready = true
			case "again":
				b.Continued = true
			case "reset":
				b.Reset = true
			case "old":
				b.Age = 5 * time.Second
			case "gap":
				b.Gap = &api.Gap{Reason: api.GapTrimmed}
			default:
				b.Events = append(b.Events, named(all, word))
			}
		}
		bs = append(bs, b)
	}
	return bs
}

func named(all []Change, word string) api.Event {
	n := strings.TrimPrefix(word, "~")
	for i := range all {
		if want := change(api.EventPut, n); all[i].Key == want.Key && all[i].Version == want.Version {
			e := all[i].Event
			if n != word {
				e.Value = []byte(word)
			}
			return e
		}
	}
	return change(api.EventPut, n).Event // it never happened
}

// TestWatched shows the judge of watches everything that a watch must not do, and what it may.
func TestWatched(t *testing.T) {
	all := happened("a1 b2 a3 b3 /c4 -a5 a7")
	begin := "6: ready !"
	for _, c := range []struct {
		name    string
		batches []string
		list    bool
		wrong   string // "" if nothing is
	}{
		{"all", []string{begin, "11: a1 !", "21: b2 !", "31: a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, false, ""},
		{"begun later", []string{"25: ready !", "31: a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, false, ""},
		{"what came after the last cursor again", []string{begin, "11: a1 !", "21: b2 !", "31: a3", "40: again a3 b3 !", "51: c4 a5 !", "71: a7 !"}, false, ""},
		{"groups in any order", []string{begin, "11: a1 !", "21: b2 !", "31: a3 b3 !", "51: a5", "60: c4 !", "71: a7 !"}, false, ""},
		{"a gap", []string{begin, "11: a1 !", "31: gap !", "51: a5 !", "71: a7 !"}, false, "though nothing has"},

		{"lost in the middle", []string{begin, "11: a1 !", "21: b2 !", "31: a3 b3 !", "41: c4", "71: a7 !"}, false, "lost between"},
		{"lost at a resume", []string{begin, "11: a1 !", "21: b2 !", "51: again a5 !", "71: a7 !"}, false, "lost "},
		{"lost at the beginning", []string{begin, "21: b2 !", "31: a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, false, "lost at the beginning"},
		{"lost at the end", []string{begin, "11: a1 !", "21: b2 !", "31: a3 b3 !", "41: c4", "51: a5 !"}, false, "lost at the end"},
		{"a key left out", []string{begin, "11: a1 !", "21: b2 !", "31: a3 b3 !", "51: a5 !", "71: a7 !"}, false, "nothing was told"},
		{"twice", []string{begin, "11: a1 !", "21: b2 !", "31: a3 b3 !", "35: a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, false, "told again"},
		{"before a cursor again", []string{begin, "11: a1 !", "21: b2 !", "22: again b2 !", "31: a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, false, "told again"},
		{"never committed", []string{begin, "11: a1 !", "21: b2 !", "31: a3 b3 !", "41: c4", "51: a5 x6 !", "71: a7 !"}, false, "never became visible"},
		{"never committed, taken back", []string{begin, "11: a1 !", "21: b2 !", "31: a3 b3 !", "41: c4 x6", "50: again c4 a5 !", "71: a7 !"}, false, "never became visible"},
		{"another value", []string{begin, "11: ~a1 !", "21: b2 !", "31: a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, false, "but it was"},
		{"before it had applied", []string{begin, "11: a1 !", "21: b2 a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, false, "before a machine"},
		{"a cursor within a command", []string{begin, "11: a1 !", "21: b2 !", "31: a3 !", "32: b3 !", "41: c4", "51: a5 !", "71: a7 !"}, false, "a cursor stands behind 1 of the 2"},
		{"a command torn apart", []string{begin, "11: a1 !", "21: b2 !", "41: a3 c4 b3", "51: a5 !", "71: a7 !"}, false, "between the events of one command"},
		{"the order of a group", []string{begin, "21: b2 a1 !", "31: a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, false, "another order"},
		{"never ready", []string{"11: a1 !", "21: b2 !", "31: a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, false, "never ready"},
		{"an age that is not true", []string{begin, "11: a1 !", "28: old", "31: b2 !", "32: a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, false, "all is told that is older"},
		{"an age that is", []string{begin, "11: a1 !", "24: old", "31: b2 !", "32: a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, false, ""},

		{"a list", []string{"33: a3 b3", "34: ready !", "41: c4", "51: a5 !", "71: a7 !"}, true, ""},
		{"a list beside changes", []string{"11: a1", "32: b3", "33: a3", "34: ready !", "41: c4", "51: a5 !", "71: a7 !"}, true, ""},
		{"a list after a reset", []string{"11: a1 ready !", "33: reset a3 b3", "34: ready !", "41: c4", "51: a5 !", "71: a7 !"}, true, ""},
		{"a list of an absent key", []string{"66: b3 c4 ready !", "71: a7 !"}, true, ""},
		{"a list beside a delete", []string{"45: b3 c4", "53: ready !", "71: a7 !"}, true, ""},
		{"a list without a key", []string{"33: a3", "34: ready !", "41: c4", "51: a5 !", "71: a7 !"}, true, "nothing was told"},
		{"a list and a hole", []string{"13: a1 ready !", "31: a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, true, "neither listed nor told"},
		{"an old list", []string{"25: a1 b2 ready !", "31: a3 b3 !", "41: c4", "51: a5 !", "71: a7 !"}, true, ""},
		{"repeats applied", []string{"33: a3 b3 ready !", "34: a1 b2 !", "41: c4", "51: a5 !", "71: a7 !"}, true, "told again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &Watch{Name: "w", List: c.list, Begun: 5 * time.Second, Until: 100 * time.Second, Whole: true, Batches: told(t, all, c.batches...)}
			if c.name == "begun later" || c.list && c.batches[0][:2] >= "45" {
				w.Begun = w.Batches[0].At - time.Second
			}
			acked := []Op{{Kind: Put, Key: "b", Written: "b2", Call: 19 * time.Second, Return: 22 * time.Second, Outcome: OK, Result: State{Version: at(2)}}}
			_, err := Watched(w, all, acked)
			if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("judged %v, want %q", err, c.wrong)
			}
		})
	}
}

// TestListedBesideADelete checks that a list need not have a key that was deleted before it had ended, however often it was written
// before that, and that it must have one that was only written.
func TestListedBesideADelete(t *testing.T) {
	for happens, wrong := range map[string]string{"a1 a2 -a3 a4 b5": "", "a1 -a2 b5": "", "a1 a2 a4 b5": "nothing was told", "a1 a2 a4 b5 -a7": "nothing was told"} {
		all := happened(happens)
		w := &Watch{Name: "w", List: true, Begun: 15 * time.Second, Until: 15 * time.Second, Whole: true, Batches: told(t, all, "55: b5", "56: ready !")}
		if _, err := Watched(w, all, nil); (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: judged %v, want %q", happens, err, wrong)
		}
	}
}

// TestWatchedBegins: a watch from now tells nothing from before it was asked for, and a list is not from before that.
func TestWatchedBegins(t *testing.T) {
	all := happened("a1 a2")
	for _, list := range []bool{false, true} {
		w := &Watch{List: list, Begun: 25 * time.Second, Until: time.Minute, Batches: told(t, all, "30: a1 ready !", "31: a2 !")}
		if _, err := Watched(w, all, nil); err == nil {
			t.Errorf("with a list %v: told what was over, and not noticed", list)
		}
	}
}

// TestWatchedGap: a gap excuses what it stands for, and nothing else.
func TestWatchedGap(t *testing.T) {
	all := happened("a1 b2 a3 b3 a4 b5")
	w := &Watch{Begun: 0, Until: time.Minute, Batches: told(t, all, "1: ready !", "11: a1 !", "21: b2 !", "41: gap", "42: a4 !", "51: b5 !")}
	if n, err := Watched(w, all, nil); err != nil || n != 4 {
		t.Errorf("%d events, %v", n, err)
	}
	w.Batches[3].Gap.Range = api.PrefixRange("a")
	if _, err := Watched(w, all, nil); err == nil {
		t.Error("an event of a key outside the gap is missing, and not noticed")
	}
}

// TestWatchedCollapse: a watch that collapses may leave versions out, but not the newest.
func TestWatchedCollapse(t *testing.T) {
	all := happened("a1 b2 a3 b3 a4")
	w := &Watch{Collapse: true, Until: time.Minute, Whole: true, Batches: told(t, all, "1: ready !", "33: b3 a3 !", "41: a4 !")}
	if _, err := Watched(w, all, nil); err != nil {
		t.Error(err)
	}
	w.Batches = told(t, all, "1: ready !", "11: a1 !", "21: b2 !", "33: b3 !", "41: a4 !")
	if _, err := Watched(w, all, nil); err != nil {
		t.Error(err)
	}
	w.Batches = w.Batches[:4]
	if _, err := Watched(w, all, nil); err == nil {
		t.Error("the newest version is missing, and not noticed")
	}
}

// TestSeen: no read that begins after an event was told may be older, single or in a transaction.
func TestSeen(t *testing.T) {
	all := happened("a1 a2")
	w := &Watch{Batches: told(t, all, "1: ready !", "11: a1 !", "25: a2 !", "26: a2 !")}
	writes := []Op{put(5, 0, "a1", 1), put(15, 0, "a2", 2)}
	for i := range writes {
		writes[i].Key, writes[i].Call, writes[i].Outcome = "a", seconds(int(writes[i].Call)), Unknown
	}
	read := func(call int, value string, v uint64) Op {
		o := get(call, call+1, is(value, v))
		o.Key, o.Call, o.Return = "a", seconds(int(o.Call)), seconds(int(o.Return))
		return o
	}
	ours := func(k api.Key) bool { return k == "a" }
	seen := Seen([]*Watch{w}, 9, ours)
	if len(seen) != 2 || len(Seen([]*Watch{w}, 9, func(api.Key) bool { return false })) != 0 {
		t.Fatalf("seen %v", seen)
	}
	for _, c := range []struct {
		call, n int
		right   bool
	}{{24, 1, true}, {26, 2, true}, {26, 1, false}, {40, 1, false}} {
		r := read(c.call, fmt.Sprint("a", c.n), uint64(c.n))
		if err := Versions(append(append([]Op{r}, writes...), seen...)); (err == nil) != c.right {
			t.Errorf("a read at %v of version %d: %v", r.Call, c.n, err)
		}
		txns := append(SeenTxns([]*Watch{w}, 9, ours), Txn{Steps: []Step{{Kind: Get, Key: "a", State: r.Result}}, Call: r.Call, Return: r.Return, Outcome: OK})
		for i := range writes {
			txns = append(txns, Txn{Steps: []Step{{Kind: Put, Key: "a", State: State{Exists: true, Value: writes[i].Written}}}, Call: writes[i].Call, Outcome: Unknown})
		}
		if err := StrictlySerializable(txns); (err == nil) != c.right {
			t.Errorf("a transaction at %v that read version %d: %v", r.Call, c.n, err)
		}
	}
}

// TestKept: each acknowledged write is in the history as it was written, once.
func TestKept(t *testing.T) {
	all := happened("k1 k2")
	ok := []Op{put(0, 1, "k1", 1), put(2, 3, "k2", 2), lost(put(4, 0, "k3", 0))}
	if n, err := Kept(ok, all); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	for name, c := range map[string]struct {
		ops []Op
		all []Change
	}{
		"lost":              {append(ok, put(5, 6, "k4", 4)), all},
		"by its own index":  {[]Op{put(0, 1, "k1", 7)}, all},
		"another value":     {[]Op{put(0, 1, "other", 1)}, all},
		"one version twice": {ok, append(happened("k1"), all...)},
	} {
		if _, err := Kept(c.ops, c.all); err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
	txns := []Txn{{Outcome: OK, Steps: []Step{sets("k", "k1", 1)}}, {Outcome: Unknown, Steps: []Step{sets("k", "x", 0)}}, {Outcome: OK, Steps: []Step{saw("k", "k1", 1)}}}
	if n, err := Kept(WritesOf(txns), all); err != nil || n != 1 {
		t.Errorf("of transactions: %d, %v", n, err)
	}
	txns[0].Steps[0].State.Version = at(3)
	if _, err := Kept(WritesOf(txns), all); err == nil {
		t.Error("a transaction's write is not in the history, and not noticed")
	}
}

// seconds returns the time n seconds after the beginning.
func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
