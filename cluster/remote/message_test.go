package remote

import (
	"reflect"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestMessages: the parts of a transaction come to another node as they were sent, with times to live, and those without one in the
// bytes that nodes which know no such times read.
func TestMessages(t *testing.T) {
	ref := ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{1}, Seq: 1, Attempt: 1, Decider: "a"}, Age: 3, Epoch: 1}
	plain := []api.Op{{Kind: api.OpPut, Key: "k", Value: []byte("v")}, {Kind: api.OpAdd, Key: "n", Delta: 1}}
	timed := []api.Op{{Kind: api.OpGet, Key: "k"}, {Kind: api.OpAppendIfAbsent, Key: "l", Value: []byte("v"), TTL: time.Minute}}
	kept := []api.Op{{Kind: api.OpPut, Key: "k", Value: []byte("v"), KeepTTL: true}, {Kind: api.OpAppend, Key: "l", Value: []byte("v")}}
	many := make([]api.Op, api.MaxTxnOps)
	for i := range many {
		many[i] = api.Op{Kind: api.OpGet, Key: "k"}
	}
	for _, c := range []struct {
		command fsm.Command
		level   fsm.Level
	}{
		{fsm.Prepare{Group: "b", Txn: ref, Then: plain}, fsm.Level2},
		{fsm.Prepare{Group: "b", Txn: ref, Then: timed}, fsm.Level5},
		{fsm.CommitLast{Txn: ref, Then: plain, Participants: []api.GroupID{"b"}}, fsm.Level2},
		{fsm.CommitLast{Txn: ref, Then: timed, Participants: []api.GroupID{"b"}}, fsm.Level5},
		{fsm.Prepare{Group: "b", Txn: ref, Then: kept}, fsm.Level6},
		{fsm.Prepare{Group: "b", Txn: ref, Then: many}, fsm.Level6},
		{fsm.CommitLast{Txn: ref, Then: kept, Participants: []api.GroupID{"b"}}, fsm.Level6},
		{fsm.Decide{Txn: ref, Outcome: ident.TxnCommitted, Outcomes: make([]fsm.Outcome, api.MaxTxnOps)}, fsm.Level2},
		{fsm.Resolve{Group: "b", Txn: ref.ID, Outcome: ident.TxnCommitted}, fsm.Level2},
	} {
		got, level, err := fsm.Decode(message(c.command))
		if err != nil || level != c.level || !reflect.DeepEqual(got, c.command) {
			t.Errorf("%+v came as %+v at level %d (%v), want level %d", c.command, got, level, err, c.level)
		}
	}
}
