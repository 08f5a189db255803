package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// watched is a Store that a test observes and changes from outside.
type watched struct {
	*storetest.Memory
	mu     sync.Mutex
	txns   []api.Txn
	reads  []api.ReadRequest
	onRead func(ctx context.Context, n int)    // before the n-th read, from 1
	onDo   func(n int) (*api.TxnResult, error) // in place of the n-th transaction, if it has a result or an error
}

func (w *watched) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	w.mu.Lock()
	w.reads = append(w.reads, *r)
	n, on := len(w.reads), w.onRead
	w.mu.Unlock()
	if on != nil {
		on(ctx, n)
	}
	return w.Memory.Read(ctx, r, out)
}

func (w *watched) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	w.mu.Lock()
	w.txns = append(w.txns, *t)
	n, on := len(w.txns), w.onDo
	w.mu.Unlock()
	if on != nil {
		if res, err := on(n); res != nil || err != nil {
			return res, err
		}
	}
	return w.Memory.Do(ctx, t)
}

// put writes from outside.
func (w *watched) put(t *testing.T, k api.Key, v string) {
	t.Helper()
	if _, err := w.Memory.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte(v)}}}); err != nil {
		t.Fatal(err)
	}
}

func (w *watched) value(t *testing.T, k api.Key) string {
	t.Helper()
	res, err := storetest.Read(t.Context(), w.Memory, &api.ReadRequest{Keys: []api.Key{k}})
	if err != nil {
		t.Fatal(err)
	}
	return string(res.Entries[0].Value)
}

// onWatched runs f with a Client of a watched Store: over streams, in this process, and with plain requests. With plain requests
// time is virtual.
func onWatched(t *testing.T, f func(t *testing.T, c *Client, w *watched)) {
	t.Helper()
	t.Run("stream", func(t *testing.T) {
		w := &watched{Memory: storetest.NewMemory()}
		f(t, open(t, Config{Endpoints: []string{serve(t, httpd.New(front.New(front.Config{Store: w, Node: "n1"}), httpd.Config{}))}}), w)
	})
	t.Run("embedded", func(t *testing.T) {
		w := &watched{Memory: storetest.NewMemory()}
		f(t, New(w), w)
	})
	t.Run("plain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &watched{Memory: storetest.NewMemory()}
			answer := of(httpd.New(front.New(front.Config{Store: w, Node: "n1"}), httpd.Config{}))
			p := &planet{nodes: map[string]http.RoundTripper{"n1": node(func(r *http.Request) (*http.Response, error) {
				time.Sleep(10 * time.Millisecond) // so that concurrent transactions conflict
				return answer(r)
			})}}
			c, err := Open(t.Context(), Config{Endpoints: []string{"http://n1"}, HTTPClient: &http.Client{Transport: p}})
			if err != nil {
				t.Fatal(err)
			}
			f(t, c, w)
		})
	})
}

// nodeOf returns the node that a Client of a watched Store reports.
func nodeOf(c *Client) api.NodeID {
	if _, ok := c.carrier.(*embedded); ok {
		return ""
	}
	return "n1"
}

func number(t *testing.T, v []byte) int {
	t.Helper()
	n, err := strconv.Atoi(string(v))
	if err != nil {
		t.Errorf("%q is no number", v)
	}
	return n
}

// TestTxnCommits checks that the commit tests what was read, including absence, and sends the writes in order.
func TestTxnCommits(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		w.put(t, "eu/alice", "100")
		err := c.Txn(t.Context(), func(tx *Tx) error {
			alice, err := tx.Get(t.Context(), "eu/alice")
			if err != nil || alice.Node != nodeOf(c) || alice.Owner != storetest.MemoryGroup {
				return fmt.Errorf("%+v: %w", alice, err)
			}
			if _, err := tx.Get(t.Context(), "us/bob"); !errors.Is(err, api.CodeNotFound) {
				return err
			}
			return errors.Join(tx.Put("eu/alice", []byte("90")), tx.Add("us/bob", 10), tx.AppendIfAbsent("log", []byte("<1>")), tx.Delete("old"))
		})
		if err != nil {
			t.Fatal(err)
		}
		got := w.txns[0]
		if got.ID.IsZero() || got.Age == 0 || len(got.If) != 2 || got.If[0].Version.Index != 1 || !got.If[1].Version.IsZero() || got.If[1].Kind != api.CondVersion || len(got.Then) != 4 {
			t.Errorf("sent %+v", got)
		}
		if w.value(t, "eu/alice") != "90" || w.value(t, "us/bob") != "10" || w.value(t, "log") != "<1>" {
			t.Error("not all was written")
		}
	})
}

// TestTxnCounters checks that concurrent increments, by read and write and by Add, all take effect once.
func TestTxnCounters(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		const clients, each = 8, 10
		var all sync.WaitGroup
		var runs atomic.Int64
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range clients {
			all.Go(func() {
				for range each {
					err := c.Txn(ctx, func(tx *Tx) error {
						runs.Add(1)
						v, err := tx.Get(ctx, "n")
						if err != nil && !errors.Is(err, api.CodeNotFound) {
							return err
						}
						n := 0
						if err == nil {
							n = number(t, v.Value)
						}
						_ = tx.Add("sum", 3)
						return tx.Put("n", []byte(strconv.Itoa(n+1)))
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if n, sum := w.value(t, "n"), w.value(t, "sum"); n != strconv.Itoa(clients*each) || sum != strconv.Itoa(3*clients*each) {
			t.Errorf("after %d increments n is %s and sum %s", clients*each, n, sum)
		}
		t.Logf("%d runs", runs.Load())
	})
}

// TestTxnBank moves money between accounts. Views and transactions that only read always see the same sum, however they read.
func TestTxnBank(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		const accounts, movers, moves, each = 5, 4, 15, 100
		keys := make([]api.Key, accounts)
		for i := range keys {
			keys[i] = api.Key(fmt.Sprintf("region-%d/account", i))
			w.put(t, keys[i], strconv.Itoa(each))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var all sync.WaitGroup
		for range movers {
			all.Go(func() {
				for range moves {
					i := rand.IntN(accounts)
					if err := c.Txn(ctx, move(ctx, keys[i], keys[(i+1+rand.IntN(accounts-1))%accounts])); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for _, look := range []func(context.Context, func(*Tx) error) error{c.View, c.Txn} {
			for _, atOnce := range []bool{true, false} {
				all.Go(func() {
					for range moves {
						sum := 0
						err := look(ctx, func(tx *Tx) error {
							var err error
							sum, err = total(ctx, tx, keys, atOnce)
							return err
						})
						if err != nil || sum != accounts*each {
							t.Errorf("sum %d, %v", sum, err)
						}
					}
				})
			}
		}
		all.Wait()
	})
}

func move(ctx context.Context, from, to api.Key) func(tx *Tx) error {
	return func(tx *Tx) error {
		v, err := tx.Get(ctx, from)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(v.Value))
		if err != nil || n == 0 {
			return err
		}
		d := 1 + rand.IntN(n)
		_ = tx.Put(from, []byte(strconv.Itoa(n-d)))
		return tx.Add(to, int64(d))
	}
}

func total(ctx context.Context, tx *Tx, keys []api.Key, atOnce bool) (sum int, err error) {
	var values [][]byte
	if atOnce {
		es, err := tx.GetAll(ctx, keys...)
		if err != nil {
			return 0, err
		}
		for _, e := range es {
			values = append(values, e.Value)
		}
	} else {
		for _, k := range keys {
			v, err := tx.Get(ctx, k)
			if err != nil {
				return 0, err
			}
			values = append(values, v.Value)
		}
	}
	for _, v := range values {
		n, err := strconv.Atoi(string(v))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// TestTxnRunsAgain checks that f runs again, under a new id and with the same age, if another client was faster or the commit was
// refused temporarily.
func TestTxnRunsAgain(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		w.put(t, "k", "0")
		w.onDo = func(n int) (*api.TxnResult, error) {
			switch n {
			case 1, 2:
				w.put(t, "k", strconv.Itoa(n))
			case 3:
				return nil, &api.Error{Code: api.CodeUnavailable, Hint: "an older transaction is in the way", RetryAfter: 50 * time.Millisecond}
			}
			return nil, nil
		}
		runs, began := 0, time.Now()
		err := c.Txn(t.Context(), func(tx *Tx) error {
			runs++
			v, err := tx.Get(t.Context(), "k")
			if err != nil {
				return err
			}
			return tx.Put("k", append(v.Value, '!'))
		})
		if err != nil || runs != 4 || w.value(t, "k") != "2!" {
			t.Errorf("%v after %d runs: %s", err, runs, w.value(t, "k"))
		}
		if took := time.Since(began); took < 25*time.Millisecond {
			t.Errorf("it was asked to wait, and took %v", took)
		}
		ids := map[uint64]bool{}
		for _, txn := range w.txns {
			ids[txn.ID.Seq] = true
			if txn.Age != w.txns[0].Age || txn.Age == 0 {
				t.Errorf("the age is %d, then %d", w.txns[0].Age, txn.Age)
			}
		}
		if len(ids) != 4 {
			t.Errorf("ids: %v", ids)
		}
	})
}

// TestTxnOverLostAnswers checks that a commit whose answer is lost is sent again to another node under the same id, and takes
// effect once.
func TestTxnOverLostAnswers(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, h http.Handler) {
		for i := range 5 {
			p.set("near", losesWrites(h))
			p.set("mid", losesWrites(h))
			p.ids = nil
			runs := 0
			err := c.Txn(t.Context(), func(tx *Tx) error {
				runs++
				if _, err := tx.Get(t.Context(), "n"); err != nil && !errors.Is(err, api.CodeNotFound) {
					return err
				}
				return tx.Add("n", 1)
			})
			if err != nil || runs != 1 {
				t.Fatalf("%v, %d runs", err, runs)
			}
			if ids := slicesWithout(p.ids, ""); len(ids) != 3 || ids[0] != ids[1] || ids[1] != ids[2] {
				t.Errorf("ids %q", p.ids)
			}
			if v, err := c.Get(t.Context(), "n"); err != nil || number(t, v.Value) != i+1 {
				t.Errorf("%s, %v", v.Value, err)
			}
			time.Sleep(time.Minute) // no node is skipped any more
		}
	})
}

// losesWrites breaks the connection after requests that have an id.
func losesWrites(h http.Handler) node {
	return func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Idempotency-Key") != "" {
			return losesAnswers(h)(r)
		}
		return of(h)(r)
	}
}

func slicesWithout(all []string, none string) (some []string) {
	for _, s := range all {
		if s != none {
			some = append(some, s)
		}
	}
	return some
}

// TestTxnOutcome checks what a transaction returns if it cannot be carried out.
func TestTxnOutcome(t *testing.T) {
	reads := func(n node) node { // reads work
		return func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Idempotency-Key") == "" {
				return of(httpd.New(front.New(front.Config{Store: storetest.NewMemory()}), httpd.Config{}))(r)
			}
			return n(r)
		}
	}
	for _, c := range []struct {
		name           string
		near, mid, far node
		want           api.Code
		waits          bool // until the time is up
		again          bool // f runs again
	}{
		{"all refuse connections", refused, refused, refused, api.CodeUnavailable, true, false},
		{"reads work, commits reach no node", reads(refused), reads(refused), reads(refused), api.CodeUnavailable, true, true},
		{"unavailable", reads(says(api.CodeUnavailable)), reads(says(api.CodeUnavailable)), reads(says(api.CodeUnavailable)), api.CodeUnavailable, true, true},
		{"silent", reads(silent), reads(silent), reads(silent), api.CodeAmbiguous, true, false},
		{"silent, then unavailable", reads(silent), reads(says(api.CodeUnavailable)), reads(refused), api.CodeAmbiguous, true, false},
		{"silent, then refused by a function", reads(silent), reads(says(api.CodePreconditionFailed)), reads(refused), api.CodeAmbiguous, false, false},
		{"refused by a function", reads(says(api.CodePreconditionFailed)), reads(refused), reads(refused), api.CodePreconditionFailed, false, false},
		{"denied", reads(says(api.CodeDenied)), reads(refused), reads(refused), api.CodeDenied, false, false},
		{"a fault everywhere", reads(says(api.CodeInternal)), reads(says(api.CodeInternal)), reads(says(api.CodeInternal)), api.CodeAmbiguous, false, false},
	} {
		onPlanet(t, func(t *testing.T, cl *Client, p *planet, _ http.Handler) {
			p.set("near", c.near)
			p.set("mid", c.mid)
			p.set("far", c.far)
			began, runs := time.Now(), 0
			err := cl.Txn(t.Context(), func(tx *Tx) error {
				runs++
				if _, err := tx.Get(t.Context(), "k"); err != nil && !errors.Is(err, api.CodeNotFound) {
					return err
				}
				return tx.Add("n", 1)
			})
			took := time.Since(began)
			if api.CodeOf(err) != c.want || runs > 1 != c.again {
				t.Errorf("%s: %v after %d runs, want %s", c.name, err, runs, c.want)
			}
			if (took == api.DefaultTimeout) != c.waits || errors.Is(err, context.DeadlineExceeded) != c.waits {
				t.Errorf("%s: it took %v and gave %v", c.name, took, err)
			}
		})
	}
}

// TestTxnEndsWithItsContext checks that a transaction ends with its context, and that the error says that nothing was written.
func TestTxnEndsWithItsContext(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, h http.Handler) {
		w := &watched{Memory: storetest.NewMemory()}
		w.onDo = func(n int) (*api.TxnResult, error) { w.put(t, "k", strconv.Itoa(n)); return nil, nil }
		p.set("near", of(httpd.New(front.New(front.Config{Store: w}), httpd.Config{})))
		increment := func(ctx context.Context) func(tx *Tx) error {
			return func(tx *Tx) error {
				if _, err := tx.Get(ctx, "k"); err != nil && !errors.Is(err, api.CodeNotFound) {
					return err
				}
				return tx.Put("k", nil)
			}
		}
		for _, d := range []time.Duration{100 * time.Millisecond, time.Minute, 0} {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			if d == 0 {
				ctx, d = t.Context(), api.DefaultTimeout
			}
			began := time.Now()
			err := c.Txn(ctx, increment(context.Background()))
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, api.CodeUnavailable) || !strings.Contains(err.Error(), "changed by others") {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took != d {
				t.Errorf("with %v it took %v", d, took)
			}
			cancel()
		}
		if n := len(w.txns); n < 60 || n > 400 {
			t.Errorf("%d attempts in 70 s", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := c.Txn(ctx, increment(ctx)); !errors.Is(err, context.Canceled) || api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("%v", err)
		}
		runs := 0
		if err := c.Txn(ctx, func(*Tx) error { runs++; return nil }); api.CodeOf(err) != api.CodeUnavailable || runs != 0 {
			t.Errorf("%v, %d runs", err, runs)
		}
		// A read in it ends with the transaction, whatever context it was given.
		p.set("near", silent)
		p.set("mid", silent)
		p.set("far", silent)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := c.Txn(ctx, increment(context.Background()))
		if took := time.Since(began); api.CodeOf(err) != api.CodeUnavailable || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// TestTxnOfReadsOnly checks that what was read at several moments is verified as of one instant, and that nothing is written.
func TestTxnOfReadsOnly(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		w.put(t, "a", "1")
		w.put(t, "b", "1")
		read := func(keys ...api.Key) (got string, runs int) {
			w.reads = nil
			err := c.Txn(t.Context(), func(tx *Tx) error {
				runs++
				got = ""
				for _, k := range keys {
					v, err := tx.Get(t.Context(), k)
					if err != nil && !errors.Is(err, api.CodeNotFound) {
						return err
					}
					got += string(v.Value)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			return got, runs
		}
		if got, runs := read("a", "a"); got != "11" || runs != 1 || len(w.reads) != 1 {
			t.Errorf("one key: %s, %d runs, %d reads", got, runs, len(w.reads))
		}
		if got, runs := read("a", "b", "absent"); got != "11" || runs != 1 || len(w.reads) != 4 || !w.reads[3].Snapshot || len(w.reads[3].Keys) != 3 {
			t.Errorf("three keys: %s, %d runs, %+v", got, runs, w.reads)
		}
		w.onRead = func(_ context.Context, n int) {
			if n == 2 {
				w.put(t, "a", "2")
				w.put(t, "b", "2")
			}
		}
		if got, runs := read("a", "b"); got != "22" || runs != 2 {
			t.Errorf("changed between: %s after %d runs", got, runs)
		}
		if len(w.txns) != 0 {
			t.Errorf("%d transactions were sent", len(w.txns))
		}
	})
}

// TestFunctionFails checks that an error or a panic of the function ends the transaction without effect.
func TestFunctionFails(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		mine := errors.New("mine")
		for name, do := range map[string]func(context.Context, func(*Tx) error) error{"txn": c.Txn, "view": c.View} {
			if err := do(t.Context(), func(tx *Tx) error { _ = tx.Put("k", nil); return mine }); !errors.Is(err, mine) || err.Error() != "mine" {
				t.Errorf("%s: %v", name, err)
			}
			func() {
				defer func() {
					if recover() != "mine" {
						t.Errorf("%s: the panic did not pass through", name)
					}
				}()
				_ = do(t.Context(), func(tx *Tx) error { _ = tx.Put("k", nil); panic("mine") })
			}()
		}
		if len(w.txns) != 0 {
			t.Error("something was sent")
		}
	})
}
