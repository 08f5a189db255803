package wire

import (
	"context"
	"net"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/codec"
)

// TestAsked checks that what is known of a call before decoding is what the call contains, whatever else it has.
func TestAsked(t *testing.T) {
	put := api.Op{Kind: api.OpPut, Key: "step", Value: []byte("v")}
	full := &api.Txn{
		ID: api.RequestID{Client: api.ClientID{1}, Seq: 1 << 40, AckedBelow: 1 << 20}, Age: 1 << 50,
		If: []api.Cond{{Kind: api.CondValue, Key: "tested", Value: []byte("v")}}, Then: []api.Op{put}, Else: []api.Op{put},
	}
	for _, x := range []struct {
		name string
		kind kind
		put  func(w *codec.Writer)
		want Asked
	}{
		{"a read of several keys", kindRead, func(w *codec.Writer) {
			codec.PutReadRequest(w, &api.ReadRequest{Keys: []api.Key{"a", "b", "c"}, Consistency: api.Quorum})
		}, Asked{Key: "a", Consistency: api.Quorum}},
		{"a read of nothing", kindRead, func(w *codec.Writer) { codec.PutReadRequest(w, &api.ReadRequest{}) }, Asked{}},
		{"a write", kindDo, func(w *codec.Writer) { codec.PutTxn(w, &api.Txn{Then: []api.Op{put}}) }, Asked{Key: "step", Writes: true}},
		{"a condition comes first", kindDo, func(w *codec.Writer) {
			codec.PutTxn(w, &api.Txn{If: []api.Cond{{Key: "condition"}}, Then: []api.Op{put}})
		}, Asked{Key: "condition", Writes: true}},
		{"everything", kindDo, func(w *codec.Writer) { codec.PutTxn(w, full) }, Asked{Key: full.If[0].Key, Writes: true}},
		{"only else", kindDo, func(w *codec.Writer) { codec.PutTxn(w, &api.Txn{Else: []api.Op{put}}) }, Asked{Key: "step", Writes: true}},
	} {
		w := codec.Writer{}
		x.put(&w)
		m := &message{kind: x.kind, size: 7, body: codec.Reader{Message: true, B: w.B}}
		x.want.Bytes = 7
		if got := asked(m); !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s: %+v, not %+v", x.name, got, x.want)
		}
		if len(m.body.B) != len(w.B) || m.body.Fault() != "" {
			t.Errorf("%s: what was looked at is gone", x.name)
		}
		for n := range w.B { // cut off anywhere it names the key, or none
			if got := asked(&message{kind: x.kind, body: codec.Reader{Message: true, B: w.B[:n]}}); got.Key != "" && got.Key != x.want.Key {
				t.Errorf("%s: %d bytes of it name %q", x.name, n, got.Key)
			}
		}
	}
}

// TestRefusedRests checks that a connection whose calls are refused is answered at once, but is not read for a moment after some
// refusals, so that its cost is bounded.
func TestRefusedRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := overload("full")
		here, there := net.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- Serve(context.Background(), there, ServerConfig{
				Store: fake{}, Enter: func(Asked) (*admission.Ticket, *api.Error) { return nil, full },
			})
		}()
		c := NewClient(here, ClientConfig{})
		began := time.Now()
		const calls = 10 * restAfter
		for i := range calls {
			before := time.Now()
			_, err := c.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k"}}})
			if e := api.AsError(err); e == nil || e.Code != api.CodeUnavailable || e.RetryAfter != full.RetryAfter || e.Hint != full.Hint {
				t.Fatalf("call %d: %v", i, err)
			}
			if took := time.Since(before); took > restFor {
				t.Errorf("call %d waited %v", i, took)
			}
		}
		if took := time.Since(began); took != (calls/restAfter-1)*restFor {
			t.Errorf("%d refused calls, one after the other, took %v", calls, took)
		}
		_ = c.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRefusedTogether checks that the calls refused in one read are answered by one message for each reason, and that admitted
// calls among them are answered.
func TestRefusedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full, closed := overload("full"), overload("closed")
		of := map[string]*api.Error{"full": full, "closed": closed}
		here, there := net.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- Serve(context.Background(), there, ServerConfig{
				Store: fake{read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) { return &api.ReadResult{}, nil }},
				Enter: func(a Asked) (*admission.Ticket, *api.Error) { return nil, of[string(a.Key)] },
			})
		}()
		var b []byte
		for _, x := range []struct {
			id  uint64
			key api.Key
		}{{7, "full"}, {300, "full"}, {8, "let in"}, {9, "full"}, {1 << 63, "closed"}, {1, "closed"}} {
			b = testMessage(b, kindRead, x.id, func(w *codec.Writer) {
				w.Uint(0)
				codec.PutReadRequest(w, &api.ReadRequest{Keys: []api.Key{x.key}})
			})
		}
		go func() { _, _ = here.Write(b) }()
		in := newInbox(here, MaxMessageBytes)
		got := map[string][]uint64{}
		messages := 0
		for n := 0; n < 6; messages++ {
			m, err := in.next()
			if err != nil {
				t.Fatal(err)
			}
			why, ids := "answered", []uint64{m.id}
			if m.kind == kindRefused {
				var e *api.Error
				e, ids = readRefused(m)
				if err := m.end(); err != nil || e.RetryAfter == 0 {
					t.Fatalf("%v: %+v", err, e)
				}
				why = e.Hint
			}
			got[why] = append(got[why], ids...)
			n += len(ids)
		}
		want := map[string][]uint64{"full": {7, 300, 9}, "closed": {1 << 63, 1}, "answered": {8}}
		if !reflect.DeepEqual(got, want) || messages != 3 {
			t.Errorf("%d messages: %v", messages, got)
		}
		_ = here.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestEnterAndLeave checks that a call that Enter has admitted leaves exactly once, even if its id is taken.
func TestEnterAndLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, entered, leave := held()
		here, there := net.Pipe()
		room := admission.New(admission.Config{Shares: admission.Shares{admission.Request: 2}})
		enter := func() (*admission.Ticket, *api.Error) { return room.Enter(admission.Ask{Class: admission.Request}) }
		// inside reports whether n calls are inside the room of two.
		inside := func(n int) bool {
			var free []*admission.Ticket
			for place, err := enter(); err == nil; place, err = enter() {
				free = append(free, place)
			}
			for _, place := range free {
				place.Leave()
			}
			return 2-len(free) == n
		}
		done := make(chan error, 1)
		go func() {
			done <- Serve(context.Background(), there, ServerConfig{
				Store: s, Enter: func(Asked) (*admission.Ticket, *api.Error) { return enter() },
			})
		}()
		send := func() {
			b := testMessage(nil, kindRead, 5, func(w *codec.Writer) {
				w.Uint(0)
				codec.PutReadRequest(w, &api.ReadRequest{Keys: []api.Key{"k"}})
			})
			if _, err := here.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		answered := make(chan message, 2)
		go func() {
			in := newInbox(here, MaxMessageBytes)
			for m, err := in.next(); err == nil; m, err = in.next() {
				answered <- *m
			}
		}()
		send()
		<-entered
		send()
		if m := <-answered; m.kind != kindRefused || m.id != 5 {
			t.Errorf("a second call of the id was answered %+v", m)
		}
		synctest.Wait()
		if !inside(1) {
			t.Error("not one call is inside")
		}
		close(leave)
		<-answered
		_ = here.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !inside(0) {
			t.Error("calls are inside after all")
		}
	})
}
