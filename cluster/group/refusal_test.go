package group

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestDeposedLeaderRefusesNothing asks a deposed leader that does not know it for requests that its old state refuses
// and the present leader carries out. It must not refuse them, because its state is out of date.
func TestDeposedLeaderRefusesNothing(t *testing.T) {
	big := strings.Repeat("x", api.MaxValueBytes)
	locked := ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{7}, Seq: 1, Attempt: 1 << 16, Decider: "g.2"}, Age: 1}
	one := func(o api.Op) *words.Txn { return &words.Txn{Txn: api.Txn{Then: []api.Op{o}}} }
	for _, c := range []struct {
		name          string
		before, after *words.Txn // made before and after the leader is deposed
		ask           *words.Txn
	}{
		{"add to a text", put("k", "abc"), put("k", "5"), one(api.Op{Kind: api.OpAdd, Key: "k", Delta: 1})},
		{"add over the limit", put("k", "9223372036854775807"), put("k", "5"), one(api.Op{Kind: api.OpAdd, Key: "k", Delta: 1})},
		{"append over the limit", put("k", big), put("k", "5"), one(api.Op{Kind: api.OpAppendIfAbsent, Key: "k", Value: []byte("y")})},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, l *testLog) {
				a := l.node("a")
				a.mustWrite(c.before)
				_, _, err := a.write(time.Second, c.ask)
				if err == nil {
					t.Fatal("the leader carried out what it was to refuse")
				}
				refused := api.CodeOf(err) // what a leader answers
				a.setCut(true)
				b := l.elect("b")
				b.mustWrite(c.after)
				_, _, err = a.write(5*time.Second, c.ask)
				if code := api.CodeOf(err); code == refused || code == "" {
					t.Errorf("a deposed leader answered %v", err)
				}
				b.mustWrite(c.ask)
			})
		})
	}
	// These are the other answers from a machine's state. The answer to such a request comes from the state of the
	// newest leader, or is unknown.
	for name, ask := range map[string]func(ctx context.Context, r *Authority) error{
		"read": func(ctx context.Context, r *Authority) error {
			_, err := words.Read(ctx, r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}})
			return err
		},
		"list": func(ctx context.Context, r *Authority) error {
			_, err := r.List(ctx, &words.ListRequest{})
			return err
		},
		"outcome": func(ctx context.Context, r *Authority) error {
			_, err := r.Outcome(ctx, ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{9}, Seq: 1, Attempt: 1, Decider: "g.1"}}, false)
			return err
		},
		"prepare": func(ctx context.Context, r *Authority) error { // the key is locked by an older transaction
			younger := ident.TxnRef{ID: locked.ID, Age: 2}
			younger.ID.Seq = 2
			v, err := r.Prepare(ctx, &fsm.Prepare{Group: "g.1", Txn: younger, Then: put("locked", "v").Then}, nil, false)
			if err == nil {
				err = fmt.Errorf("vote %+v", v)
			}
			return err
		},
		"renewal": func(ctx context.Context, r *Authority) error {
			if s, ok := r.KeepAlive(ctx, &words.KeepAlive{Nonce: ident.Nonce{1}}, words.SessionKeepAlive{Group: "g.1"}); ok {
				return fmt.Errorf("status %+v", s)
			}
			return notLeader("")
		},
		"cede": func(ctx context.Context, r *Authority) error {
			_, err := r.Cede(ctx, api.PrefixRange("k"), 2, []api.GroupID{"g.2"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, l *testLog) {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				a := l.node("a")
				a.mustWrite(put("k", "v"))
				v, err := a.authority.Prepare(ctx, &fsm.Prepare{Group: "g.1", Txn: locked, Then: put("locked", "v").Then}, nil, false)
				if err != nil || v.Refused != nil {
					t.Fatal(v, err)
				}
				a.setCut(true)
				l.elect("b")
				switch err := ask(ctx, a.authority); api.CodeOf(err) {
				case api.CodeNotLeader, api.CodeUnavailable, api.CodeAmbiguous:
				default:
					t.Errorf("a deposed leader answered %v", err)
				}
			})
		})
	}
}
