package txn

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestAnswersAreBounded checks that a transaction is refused at once if its gets return more than an answer may hold:
// in one group, in one of several, and in all of them together. Nothing is written or stays locked, and its gets are
// never answered in any other way.
func TestAnswersAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("megabytes, for a limit")
	}
	big := strings.Repeat("v", api.MaxValueBytes)
	reads := func(region string, n int) (ops []api.Op) {
		for i := range n {
			ops = append(ops, getOp(api.Key(fmt.Sprintf("%s/big%d", region, i))))
		}
		return ops
	}
	for name, ops := range map[string][]api.Op{
		"one group":              append(reads("us", 9), putOp("us/done", "1")),
		"one of two":             append(reads("us", 9), putOp("eu/done", "1")),
		"the far one of two":     append(reads("eu", 9), putOp("us/done", "1")),
		"both together":          append(append(reads("us", 5), reads("eu", 4)...), putOp("us/done", "1")),
		"both, and only a look":  append(reads("us", 5), reads("eu", 4)...),
		"both, the limit itself": append(append(reads("us", 4), reads("eu", 4)...), putOp("us/done", "1")),
	} {
		for _, named := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, named %v", name, named), func(t *testing.T) {
				inWorld(t, 1, func(t *testing.T, w *world) {
					g := w.gateway("us")
					for i := range 9 {
						for _, region := range []string{"us", "eu"} {
							put := putOp(api.Key(fmt.Sprintf("%s/big%d", region, i)), big)
							if _, err := g.Do(within(t, 5*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{put}}}); err != nil {
								t.Fatal(err)
							}
						}
					}
					tx := &words.Txn{Txn: api.Txn{If: []api.Cond{{Kind: api.CondExists, Key: "us/big0"}}, Then: ops}}
					if named {
						tx.ID = requestOf(1)
					}
					began := time.Now()
					res, err := g.Do(within(t, 20*time.Second), tx)
					if took := time.Since(began); took > 6*q {
						t.Errorf("it took %v", took)
					}
					if strings.Contains(name, "limit") {
						if err != nil || len(res.Entries[0].Value) != len(big) {
							t.Errorf("%v", err)
						}
						return
					}
					if e := api.AsError(err); e == nil || e.Code != api.CodeTooLarge || e.Unknown || !strings.Contains(e.Hint, fmt.Sprint(api.MaxTxnWorkBytes)) {
						t.Errorf("it gave %v", err)
					}
					w.settled(20 * q)
					if w.value("us/done")+w.value("eu/done") != "" {
						t.Error("it wrote")
					}
				})
			})
		}
	}
}
