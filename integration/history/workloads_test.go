package history

import (
	"errors"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestWorkloads shows each workload's judge what must not be, and what must.
func TestWorkloads(t *testing.T) {
	xy := []api.Key{"x", "y"}
	bank := func(h []Txn) (int, error) { return Bank(h, xy, 10) }
	skew := func(h []Txn) (int, error) { return WriteSkew(h, [][2]api.Key{{"x", "y"}, {"a", "b"}}) }
	phantoms := func(h []Txn) (int, error) { return Phantoms(h, [][]api.Key{xy, {"a", "b"}}) }
	fork := func(h []Txn) (int, error) { return LongFork(h, [][]api.Key{xy, {"a", "b"}}) }
	lists := func(h []Txn) (int, error) { return Lists(h, xy) }
	counters := func(h []Txn) (int, error) { return Counters(h, xy) }
	for _, c := range []struct {
		name  string
		judge func([]Txn) (int, error)
		seen  int
		bad   bool
		txns  []Txn
	}{
		{"bank", bank, 2, false, []Txn{tx(0, 1, saw("x", "10", 1), none("y", 0)), tx(2, 3, saw("x", "4", 2), saw("y", "6", 2), sets("x", "3", 3), sets("y", "7", 3)), tx(4, 5, saw("x", "1", 1)), lostTx(6, saw("x", "1", 1), saw("y", "1", 1))}},
		{"bank lost money", bank, 1, true, []Txn{tx(0, 1, saw("x", "9", 1), none("y", 0))}},
		{"bank made money", bank, 2, true, []Txn{tx(0, 1, saw("x", "10", 1), none("y", 0)), tx(0, 1, saw("x", "10", 1), saw("y", "1", 1))}},
		{"bank of words", bank, 1, true, []Txn{tx(0, 1, saw("x", "ten", 1), none("y", 0))}},

		{"skew", skew, 3, false, []Txn{tx(0, 1, saw("x", "1", 1), saw("y", "1", 1), sets("y", "0", 2)), tx(2, 3, saw("x", "1", 1), saw("y", "0", 2)), tx(4, 5, saw("b", "1", 1), saw("a", "0", 1))}},
		{"skew seen", skew, 1, true, []Txn{tx(2, 3, saw("a", "0", 1), saw("b", "0", 2))}},
		{"skew of absence", skew, 1, true, []Txn{tx(2, 3, saw("a", "0", 1), none("b", 2))}},

		{"creators", phantoms, 3, false, []Txn{tx(0, 1, none("x", 0), none("y", 0), sets("y", "0", 2)), tx(2, 3, none("x", 0), saw("y", "0", 2)), failedTx(2, 3, none("x", 0), none("y", 0), sets("x", "0", 2)), tx(4, 5, none("a", 0), none("b", 0), sets("a", "0", 1))}},
		{"two there", phantoms, 1, true, []Txn{tx(2, 3, saw("a", "0", 1), saw("b", "0", 2))}},
		{"two creators", phantoms, 2, true, []Txn{tx(0, 9, none("x", 0), none("y", 0), sets("y", "0", 2)), tx(1, 9, none("x", 0), none("y", 0), sets("x", "0", 2))}},

		{"no fork", fork, 4, false, []Txn{tx(0, 9, none("x", 0), none("y", 0)), tx(0, 9, saw("x", "a", 1), none("y", 0)), tx(0, 9, saw("x", "a", 1), saw("y", "b", 1)), tx(0, 9, saw("x", "c", 2), saw("y", "b", 1))}},
		{"fork", fork, 2, true, []Txn{tx(0, 9, saw("x", "a", 1), none("y", 0)), tx(0, 9, none("x", 0), saw("y", "b", 1))}},
		{"fork far apart", fork, 3, true, []Txn{tx(0, 9, saw("a", "c", 3), none("b", 0)), tx(0, 9, saw("a", "b", 2), saw("b", "b", 1)), tx(0, 9, saw("a", "d", 4), saw("b", "b", 1))}},

		{"lists", lists, 3, false, []Txn{tx(0, 1, appends("x", "a", 1)), lostTx(2, appends("x", "b", 0)), tx(3, 4, saw("x", "a", 1)), tx(5, 6, saw("x", "a,b", 2)), tx(5, 6, none("y", 0))}},
		{"lost append", lists, 1, true, []Txn{tx(0, 1, appends("x", "a", 1)), tx(2, 3, appends("x", "b", 2)), tx(5, 6, saw("x", "b", 2))}},
		{"lost list", lists, 1, true, []Txn{tx(0, 1, appends("x", "a", 1)), tx(5, 6, none("x", 2))}},
		{"order turned", lists, 2, true, []Txn{tx(0, 9, appends("x", "a", 1)), tx(0, 9, appends("x", "b", 2)), tx(5, 6, saw("x", "a,b", 2)), tx(7, 8, saw("x", "b,a", 3))}},
		{"list shrinks", lists, 2, true, []Txn{tx(0, 9, appends("x", "a", 1)), tx(0, 9, appends("x", "b", 2)), tx(5, 6, saw("x", "a,b", 2)), tx(7, 8, saw("x", "a", 3))}},
		{"beginning of a word", lists, 2, true, []Txn{tx(0, 9, appends("x", "a", 1)), tx(0, 9, appends("x", "ab", 2)), tx(5, 6, saw("x", "a", 1)), tx(7, 8, saw("x", "ab", 2))}},
		{"appended twice", lists, 1, true, []Txn{tx(0, 1, appends("x", "a", 1)), tx(5, 6, saw("x", "a,a", 2))}},
		{"failed append", lists, 1, true, []Txn{failedTx(0, 1, appends("x", "a", 1)), tx(5, 6, saw("x", "a", 2))}},
		{"append seen before its call", lists, 1, true, []Txn{tx(5, 6, saw("x", "a", 2)), tx(7, 8, appends("x", "a", 2))}},

		{"counters", counters, 3, false, []Txn{tx(0, 1, adds("x", "2", 1)), lostTx(2, adds("x", "3", 0)), tx(3, 4, saw("x", "2", 1)), tx(5, 6, saw("x", "5", 2)), tx(6, 20, adds("x", "1", 4)), tx(7, 8, saw("x", "5", 2))}},
		{"counted twice", counters, 1, true, []Txn{tx(0, 1, adds("x", "2", 1)), tx(3, 4, saw("x", "4", 1))}},
		{"unknown counted twice", counters, 1, true, []Txn{lostTx(0, adds("x", "2", 1)), tx(3, 4, saw("x", "4", 1))}},
		{"failed counted", counters, 1, true, []Txn{failedTx(0, 1, adds("x", "2", 1)), tx(3, 4, saw("x", "2", 1))}},
		{"not counted", counters, 1, true, []Txn{tx(0, 1, adds("x", "2", 1)), tx(0, 1, adds("x", "2", 2)), tx(3, 4, saw("x", "2", 2))}},
		{"counted before its call", counters, 1, true, []Txn{tx(3, 4, saw("x", "2", 2)), lostTx(5, adds("x", "2", 1))}},
		{"counted down", counters, 0, true, []Txn{tx(3, 4, adds("x", "-2", 2))}},
		{"counter of words", counters, 1, true, []Txn{tx(3, 4, saw("x", "two", 2))}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			seen, err := c.judge(c.txns)
			if _, is := errors.AsType[*Anomaly](err); c.bad != (err != nil) || err != nil && !is {
				t.Errorf("want fault %v, got %v", c.bad, err)
			}
			if seen != c.seen {
				t.Errorf("judged %d, want %d", seen, c.seen)
			}
		})
	}
}
