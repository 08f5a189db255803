package history

import (
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

var clocks = Clocks{Rate: 0.01, Slow: 0.1, Grain: time.Millisecond, Late: 5 * time.Second}

// expired turns the named change into the end of a deadline that the one before it had.
func expired(all []Change, n int) []Change {
	all[n].Kind, all[n].Value = api.EventExpire, nil
	for i := range n {
		if all[i].Key == all[n].Key {
			all[i].Deadline = 1
		}
	}
	return all
}

// TestLived shows the judge of times to live what must not be, and what may.
func TestLived(t *testing.T) {
	const s = time.Second
	none := func(api.Key, time.Duration, time.Duration) time.Duration { return 0 }
	give := func(ttl, call, ret time.Duration, o Outcome) []Lifetime {
		l := Lifetime{Key: "a", Version: at(1)}
		l.Give(ttl, call, ret, o, clocks)
		return []Lifetime{l}
	}
	touched := give(10*s, 9*s, 11*s, OK)
	touched[0].Give(10*s, 15*s, 16*s, OK, clocks)
	doubtful := give(10*s, 9*s, 11*s, OK)
	doubtful[0].Give(10*s, 15*s, 0, Unknown, clocks)
	ended := expired(happened("a1 a2"), 1)
	late := expired(happened("a1 a3"), 1)
	read := []Op{get(0, 0, is("a1", 1))}
	read[0].Key, read[0].Call, read[0].Return = "a", 40*s, 41*s
	for _, c := range []struct {
		name    string
		lives   []Lifetime
		changes []Change
		ops     []Op
		stalled time.Duration
		wrong   string
	}{
		{"in time", give(10*s, 9*s, 11*s, OK), ended, nil, 0, ""},
		{"at the last moment", give(11*s, 9*s, 11*s, OK), ended, nil, 0, ""},
		{"too early", give(12*s, 9*s, 11*s, OK), ended, nil, 0, "too early"},
		{"too early after a touch", touched, ended, nil, 0, "too early"},
		{"in time after a touch", touched, late, nil, 0, ""},
		{"too late", give(5*s, 9*s, 11*s, OK), late, nil, 0, "too late"},
		{"late, since nothing went on", give(5*s, 9*s, 11*s, OK), late, nil, 20 * s, ""},
		{"late, after a touch that may have been", doubtful, late, nil, 0, ""},
		{"never", give(10*s, 9*s, 11*s, OK), happened("a1"), nil, 0, "too late"},
		{"read when it was over", give(10*s, 9*s, 11*s, OK), ended, read, 0, "read"},
		{"no such version", []Lifetime{{Key: "a", Version: at(9)}}, ended, nil, 0, "not in the history"},
		{"without a deadline", nil, func() []Change { x := expired(happened("a1 a2"), 1); x[0].Deadline = 0; return x }(), nil, 0, "did not have"},
		{"of an absent key", nil, func() []Change { x := expired(happened("a1 a2 a3"), 2); x[1].Kind = api.EventDelete; return x }(), nil, 0, "did not have"},
	} {
		stalled := none
		if c.stalled > 0 {
			stalled = func(api.Key, time.Duration, time.Duration) time.Duration { return c.stalled }
		}
		if _, err := Lived(c.lives, c.changes, c.ops, 60*s, stalled); (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: judged %v, want %q", c.name, err, c.wrong)
		}
	}
}

// TestTenures shows the judge of locks what must not be, and what may.
func TestTenures(t *testing.T) {
	entries := happened("a1 b2 -a4 -b6") // two clients, a before b
	hold := func(n string, from, until int, fence uint64) Tenure {
		c := change(api.EventPut, n)
		return Tenure{Lock: "l", Client: string(c.Key), Entry: c.Key, Made: c.Version, Fence: fence, From: seconds(from), Until: seconds(until)}
	}
	for _, c := range []struct {
		name  string
		held  []Tenure
		wrong string
	}{
		{"one after the other", []Tenure{hold("a1", 11, 39, 1), hold("b2", 41, 59, 2)}, ""},
		{"at once", []Tenure{hold("a1", 11, 40, 1), hold("b2", 39, 59, 2)}, "two clients"},
		{"one within the other", []Tenure{hold("a1", 11, 40, 1), hold("b2", 20, 30, 2)}, "two clients"},
		{"a fence that falls", []Tenure{hold("a1", 11, 39, 3), hold("b2", 41, 59, 2)}, "did not rise"},
		{"one fence for two", []Tenure{hold("a1", 11, 39, 2), hold("b2", 41, 59, 2)}, "did not rise"},
		{"before its turn", []Tenure{hold("b2", 31, 39, 2)}, "before an older entry"},
		{"beyond its entry", []Tenure{hold("a1", 11, 45, 1)}, "ended while"},
		{"without an entry", []Tenure{hold("c3", 31, 39, 3)}, "without an entry"},
	} {
		_, err := Tenures(c.held, entries, func(string, api.Key) bool { return true })
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: judged %v, want %q", c.name, err, c.wrong)
		}
	}
	if n, err := Tenures([]Tenure{hold("a1", 11, 39, 1), hold("b2", 41, 59, 2)}, entries, func(string, api.Key) bool { return false }); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
