package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/api/storetest"
)

// join serves the Store at one end of a pipe and returns a Client at the other.
func join(t *testing.T, s api.Store, server ServerConfig, client ClientConfig) *Client {
	t.Helper()
	here, there := net.Pipe()
	server.Store = s
	served := make(chan error, 1)
	go func() { served <- Serve(t.Context(), there, server) }()
	c := NewClient(here, client)
	t.Cleanup(func() {
		_ = c.Close()
		<-served
	})
	return c
}

func TestStore(t *testing.T) {
	workers := NewWorkers(2)
	c := join(t, storetest.NewMemory(), ServerConfig{Workers: workers}, ClientConfig{})
	t.Cleanup(workers.Close) // before the server's end: closed Workers keep no goroutine
	storetest.Run(t, func(*testing.T) api.Store { return c })
}

// fake is a Store of functions.
type fake struct {
	read func(context.Context, *api.ReadRequest) (*api.ReadResult, error)
	do   func(context.Context, *api.Txn) (*api.TxnResult, error)
}

func (f fake) Read(ctx context.Context, q *api.ReadRequest, out *api.ReadResult) error {
	res, err := f.read(ctx, q)
	return storetest.Answer(out, res, err)
}
func (f fake) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) { return f.do(ctx, t) }

var (
	aRead  = &api.ReadRequest{Keys: []api.Key{"a"}}
	aWrite = &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "a", Value: []byte("v")}}}
)

// held returns a Store whose calls wait until they are released or their time is up.
func held() (s fake, entered chan struct{}, leave chan struct{}) {
	entered, leave = make(chan struct{}, 100), make(chan struct{})
	wait := func(ctx context.Context) error {
		entered <- struct{}{}
		select {
		case <-leave:
			return nil
		case <-ctx.Done():
			return &api.Error{Code: api.CodeAmbiguous, Err: ctx.Err()}
		}
	}
	return fake{
		read: func(ctx context.Context, _ *api.ReadRequest) (*api.ReadResult, error) {
			return &api.ReadResult{Entries: []api.Entry{{Key: "a"}}}, wait(ctx)
		},
		do: func(ctx context.Context, _ *api.Txn) (*api.TxnResult, error) {
			return &api.TxnResult{Committed: true}, wait(ctx)
		},
	}, entered, leave
}

// TestBroken checks that after the connection broke the outcome of a write under way is unknown, and that nothing is sent
// afterwards.
func TestBroken(t *testing.T) {
	s, entered, _ := held()
	here, there := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Serve(t.Context(), there, ServerConfig{Store: s}) }()
	c := NewClient(here, ClientConfig{})
	defer func() { _ = c.Close() }()
	var calls sync.WaitGroup
	calls.Go(func() {
		if _, err := c.Do(t.Context(), aWrite); !errors.Is(err, api.CodeAmbiguous) || !errors.Is(err, ErrBroken) {
			t.Errorf("a write under way: %v", err)
		}
	})
	calls.Go(func() {
		if _, err := storetest.Read(t.Context(), c, aRead); !errors.Is(err, api.CodeUnavailable) || !errors.Is(err, ErrBroken) {
			t.Errorf("a read under way: %v", err)
		}
	})
	<-entered
	<-entered
	_ = there.Close()
	calls.Wait()
	<-c.Done()
	if _, err := c.Do(t.Context(), aWrite); !errors.Is(err, api.CodeUnavailable) || !errors.Is(err, ErrBroken) {
		t.Errorf("a write afterwards: %v", err)
	}
	<-ended // the calls being answered have ended too, because their contexts have
}

// TestNotSent checks that what was not handed to the connection before it broke certainly did not happen.
func TestNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe() // the other end is not read: the first write is stuck
		c := NewClient(here, ClientConfig{})
		codes := make([]api.Code, 2)
		var calls sync.WaitGroup
		for i := range codes {
			calls.Go(func() {
				_, err := c.Do(t.Context(), aWrite)
				codes[i] = api.CodeOf(err)
			})
			synctest.Wait()
		}
		_ = there.Close()
		calls.Wait()
		if codes[0] != api.CodeAmbiguous || codes[1] != api.CodeUnavailable {
			t.Errorf("the one being sent: %s, the one waiting: %s", codes[0], codes[1])
		}
		_ = c.Close()
	})
}

// TestDeadlines checks that deadlines and cancellations cross the connection.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, entered, _ := held()
		var left time.Duration
		ended := make(chan time.Time, 1)
		inner := s.do
		s.do = func(ctx context.Context, x *api.Txn) (*api.TxnResult, error) {
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			res, err := inner(ctx, x)
			ended <- time.Now()
			return res, err
		}
		c := join(t, s, ServerConfig{}, ClientConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := c.Do(ctx, aWrite); !errors.Is(err, api.CodeAmbiguous) {
			t.Errorf("time was up: %v", err)
		}
		<-entered
		<-ended
		if left != 2*time.Second {
			t.Errorf("the other side had %v", left)
		}
		ctx, cancel = context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(time.Second, cancel)
		if _, err := c.Do(ctx, aWrite); !errors.Is(err, api.CodeAmbiguous) || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if after := (<-ended).Sub(began); after != time.Second || left != api.MaxTimeout {
			t.Errorf("the other side went on for %v of %v", after, left)
		}
	})
}

// TestSilence checks that a connection over which nothing arrives is given up, so that the next call makes another, however short
// the calls are. It is not given up if anything arrives, nor because of a single very short call.
func TestSilence(t *testing.T) {
	const silence = 3 * time.Second
	lasting := func(t *testing.T, c *Client, d time.Duration, over bool) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		if _, err := storetest.Read(ctx, c, aRead); err == nil { // which error it is depends on which side reports first
			t.Errorf("an answer after %v", d)
		}
		select {
		case <-c.Done():
			if !over {
				t.Errorf("given up after %v", d)
			}
		default:
			if over {
				t.Errorf("not given up after %v", d)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		for _, calls := range [][]time.Duration{{time.Second, silence}, {time.Second, time.Second, 900 * time.Millisecond, 300 * time.Millisecond, time.Second}} {
			here, there := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, there) }()
			c := NewClient(here, ClientConfig{Silence: silence})
			for i, d := range calls {
				lasting(t, c, d, i == len(calls)-1)
			}
			_ = c.Close()
			_ = there.Close()
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := held() // its calls return when their time is up
		c := join(t, s, ServerConfig{}, ClientConfig{Silence: silence})
		for range 5 {
			lasting(t, c, 2*time.Second, false)
			synctest.Wait()
		}
	})
}

// TestLimits checks that either side refuses excess calls at once, and that calls under way are not affected.
func TestLimits(t *testing.T) {
	for name, cfg := range map[string]struct {
		server ServerConfig
		client ClientConfig
		names  string
	}{
		"calls here":  {client: ClientConfig{MaxCalls: 2}, names: "2 calls"},
		"calls there": {server: ServerConfig{MaxCalls: 2}, names: "2 calls"},
		"bytes there": {server: ServerConfig{MaxRequestBytes: 30}, names: "30 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, entered, leave := held()
				c := join(t, s, cfg.server, cfg.client)
				var calls sync.WaitGroup
				for range 2 {
					calls.Go(func() {
						if _, err := c.Do(t.Context(), aWrite); err != nil {
							t.Error(err)
						}
					})
					<-entered
				}
				_, err := c.Do(t.Context(), aWrite)
				if e := api.AsError(err); e == nil || e.Code != api.CodeUnavailable || e.RetryAfter == 0 || !strings.Contains(e.Hint, cfg.names) {
					t.Errorf("one too many: %v", err)
				}
				close(leave)
				calls.Wait()
				synctest.Wait() // an answered call counts until its answer has been handed over
				if _, err := c.Do(t.Context(), aWrite); err != nil {
					t.Error(err)
				}
			})
		})
	}
	t.Run("bytes here", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe() // the other end is not read
			c := NewClient(here, ClientConfig{MaxBytes: 15})
			var calls sync.WaitGroup
			for range 2 { // one is being sent, one waits
				calls.Go(func() { _, _ = c.Do(t.Context(), aWrite) })
				synctest.Wait()
			}
			if _, err := c.Do(t.Context(), aWrite); !errors.Is(err, api.CodeUnavailable) || !strings.Contains(err.Error(), "15 bytes") {
				t.Errorf("one too many: %v", err)
			}
			_ = there.Close()
			calls.Wait()
			_ = c.Close()
		})
	})
}

// TestAnswersWaitForRoom checks that answers wait if the other side does not read, so that memory is bounded.
func TestAnswersWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answered atomic.Int64
		s := fake{read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
			answered.Add(1)
			return &api.ReadResult{Entries: []api.Entry{{Key: "a", Value: make([]byte, 1000), Exists: true}}}, nil
		}}
		here, there := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- Serve(t.Context(), there, ServerConfig{Store: s, MaxAnswerBytes: 3000, MaxCalls: 20}) }()
		var b []byte
		for id := range uint64(100) {
			b = testMessage(b, kindRead, id, func(w *codec.Writer) { w.Uint(0); codec.PutReadRequest(w, aRead) })
		}
		if _, err := here.Write(b); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := answered.Load(); n > 30 { // those in the connection, those in the outbox, and those that wait for it
			t.Errorf("%d calls were answered on a closed connection", n)
		}
		_ = here.Close()
		<-ended
	})
}

// TestDrain checks that new calls are refused and calls under way are answered.
func TestDrain(t *testing.T) {
	s, entered, leave := held()
	drain := make(chan struct{})
	c := join(t, s, ServerConfig{Drain: drain}, ClientConfig{})
	result := make(chan error, 1)
	go func() {
		_, err := c.Do(t.Context(), aWrite)
		result <- err
	}()
	<-entered
	close(drain)
	<-c.Done()
	if _, err := c.Do(t.Context(), aWrite); !errors.Is(err, api.CodeUnavailable) {
		t.Errorf("a new call: %v", err)
	}
	close(leave)
	if err := <-result; err != nil {
		t.Errorf("the call under way: %v", err)
	}
}

// TestGarbage checks that malformed input ends the connection, and nothing else.
func TestGarbage(t *testing.T) {
	message := func(k kind, body ...byte) []byte {
		return testMessage(nil, k, 7, func(w *codec.Writer) { w.B = append(w.B, body...) })
	}
	for name, b := range map[string][]byte{
		"HTTP": []byte("GET / HTTP/1.1\r\n\r\n"), "empty": {0, 0, 0, 0}, "long": {0xff, 0xff, 0xff, 0xff}, "kind": message(99),
		"answer": message(kindResult), "cut": message(kindRead, 0, 200), "more": append(message(kindCancel, 1), message(kindCancel)...),
	} {
		here, there := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- Serve(t.Context(), there, ServerConfig{Store: storetest.NewMemory()}) }()
		_, _ = here.Write(b) // the other side may close the connection first
		if err := <-ended; !errors.Is(err, api.CodeInvalid) {
			t.Errorf("%s: the server says %v", name, err)
		}
	}
	for name, b := range map[string][]byte{"kind": message(99), "cut": message(kindError, 200), "long": {0x7f, 0, 0, 0}} {
		here, there := net.Pipe()
		c := NewClient(here, ClientConfig{})
		_, _ = there.Write(b)
		if name == "cut" || name == "kind" { // about a call that was never made
			b = bytes.Clone(b)
			b[lengthBytes+1] = 1
			result := make(chan error, 1)
			go func() { _, err := c.Do(t.Context(), aWrite); result <- err }()
			if _, err := newInbox(there, MaxMessageBytes).next(); err != nil {
				t.Fatal(err)
			}
			_, _ = there.Write(b)
			if err := <-result; !errors.Is(err, api.CodeAmbiguous) || !errors.Is(err, ErrBroken) {
				t.Errorf("%s: %v", name, err)
			}
		}
		<-c.Done()
		_ = c.Close()
	}
}

// TestTooLong checks that an answer that is too long to send is an error, and not one that says that nothing happened.
func TestTooLong(t *testing.T) {
	var entries []api.Entry
	for range MaxMessageBytes/api.MaxValueBytes + 1 {
		entries = append(entries, api.Entry{Value: make([]byte, api.MaxValueBytes), Exists: true})
	}
	c := join(t, fake{
		read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
			return &api.ReadResult{Entries: entries}, nil
		},
		do: func(context.Context, *api.Txn) (*api.TxnResult, error) { return &api.TxnResult{Entries: entries}, nil },
	}, ServerConfig{}, ClientConfig{})
	if _, err := storetest.Read(t.Context(), c, aRead); !errors.Is(err, api.CodeTooLarge) {
		t.Errorf("read: %v", err)
	}
	if _, err := c.Do(t.Context(), aWrite); !errors.Is(err, api.CodeAmbiguous) {
		t.Errorf("write: %v", err)
	}
	aLarge := &api.Txn{If: []api.Cond{{Kind: api.CondValue, Key: "a", Value: make([]byte, MaxMessageBytes)}}}
	if _, err := c.Do(t.Context(), aLarge); !errors.Is(err, api.CodeTooLarge) {
		t.Errorf("request: %v", err)
	}
}

// TestLargestAnswer checks that an answer with the maximum of keys and bytes of a read can be sent.
func TestLargestAnswer(t *testing.T) {
	entries := make([]api.Entry, api.MaxReadKeys)
	for i := range entries {
		key := fmt.Sprintf("%0*d", api.MaxKeyBytes, i)
		entries[i] = api.Entry{Key: api.Key(key), Value: make([]byte, api.MaxReadBytes/len(entries)), Version: api.Version{Epoch: 1 << 62, Index: 1 << 62}, Exists: true}
	}
	c := join(t, fake{read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
		return &api.ReadResult{Entries: entries}, nil
	}}, ServerConfig{}, ClientConfig{})
	got, err := storetest.Read(t.Context(), c, aRead)
	if err != nil || !reflect.DeepEqual(got.Entries, entries) {
		t.Errorf("an answer of %d keys: %v", len(entries), err)
	}
}

// TestWorkers checks that at most maxIdle workers wait, that all work is done, and that none is left after Close.
func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		w := NewWorkers(2)
		var done atomic.Int64
		gate := make(chan struct{})
		for range 5 {
			w.start(func() { <-gate; done.Add(1) })
		}
		close(gate)
		synctest.Wait()
		if n := len(w.idle); n != 2 || done.Load() != 5 {
			t.Errorf("%d wait, %d calls were carried out", n, done.Load())
		}
		w.start(func() { done.Add(1) })
		synctest.Wait()
		if n := len(w.idle); n != 2 || done.Load() != 6 {
			t.Errorf("%d wait, %d calls were carried out", n, done.Load())
		}
		late := make(chan struct{})
		w.start(func() { <-late; done.Add(1) })
		closed := make(chan struct{})
		go func() { w.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed while one works")
		default:
		}
		close(late)
		<-closed
		w.start(func() { done.Add(1) })
		synctest.Wait()
		if done.Load() != 8 || len(w.idle) != 0 {
			t.Errorf("%d wait, %d calls were carried out", len(w.idle), done.Load())
		}
	})
}

// BenchmarkCalls measures calls over loopback, including both ends and a Store that does nothing.
func BenchmarkCalls(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("%d callers", callers), func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			s := fake{do: func(context.Context, *api.Txn) (*api.TxnResult, error) {
				return &api.TxnResult{Committed: true, Entries: []api.Entry{{Key: "a"}}}, nil
			}}
			workers := NewWorkers(256)
			defer workers.Close()
			go func() {
				if conn, err := l.Accept(); err == nil {
					_ = Serve(b.Context(), conn, ServerConfig{Store: s, Workers: workers})
				}
			}()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			c := NewClient(conn, ClientConfig{})
			defer func() { _ = c.Close() }()
			txn := &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "users/alice", Value: make([]byte, 256)}}}
			b.ReportAllocs()
			b.ResetTimer()
			var calls sync.WaitGroup
			for i := range callers {
				calls.Go(func() {
					for range (b.N + callers - 1 - i) / callers {
						if _, err := c.Do(b.Context(), txn); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			calls.Wait()
		})
	}
}

// testMessage appends a message.
func testMessage(b []byte, k kind, id uint64, body func(w *codec.Writer)) []byte {
	w := codec.Writer{B: b}
	putMessage(&w, k, id, body)
	return w.B
}
