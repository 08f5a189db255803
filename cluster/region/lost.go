package region

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

// lostEvery is how often one who waits for a transaction looks whether its decision group is lost.
const lostEvery = 500 * time.Millisecond

// retryLost is how long a caller is told to wait whose key is held by a transaction of a lost decision group.
const retryLost = time.Second

// deciderLost reports whether the transaction's decision group is known not to answer: its intents here stay until it does.
func (r *Region) deciderLost(id api.TxnID) bool {
	return id.Decider != r.cfg.Group && r.cfg.Lost(id.Decider)
}

func errDeciderLost(x fsm.Intent) *api.Error {
	return &api.Error{Code: fsm.DeciderLost, Key: x.Key, RetryAfter: retryLost, Hint: "a transaction holds the key, and the group " +
		string(x.Txn.ID.Decider) + ", which decides it, does not answer: the key is free again when that group is back; edgehold cluster status shows such keys"}
}
