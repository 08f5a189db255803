package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestTxSeesItsOwnWrites checks that reads see the transaction's own writes as they will be carried out.
func TestTxSeesItsOwnWrites(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		w.put(t, "n", "5")
		w.put(t, "s", "<1>")
		w.put(t, "word", "x")
		get := func(tx *Tx, k api.Key) string {
			v, err := tx.Get(t.Context(), k)
			if err != nil {
				return string(api.CodeOf(err))
			}
			if v.Value == nil {
				t.Errorf("%s is there and nil", k)
			}
			return string(v.Value) + "@" + v.Version.String()
		}
		var got []string
		note := func(tx *Tx, k api.Key) { got = append(got, get(tx, k)) }
		err := c.Txn(t.Context(), func(tx *Tx) error {
			got = nil
			_ = tx.Put("p", []byte("own"))
			note(tx, "p")
			_ = tx.Delete("p")
			note(tx, "p")
			_ = tx.Add("p", 4)
			note(tx, "p")
			_ = tx.Add("n", 2)
			note(tx, "n")
			_ = tx.Add("n", -7)
			note(tx, "n")
			_ = tx.AppendIfAbsent("s", []byte("<1>"))
			note(tx, "s")
			_ = tx.AppendIfAbsent("s", []byte("<2>"))
			note(tx, "s")
			_ = tx.Add("new", 1)
			note(tx, "new")
			_ = tx.Put("empty", nil)
			note(tx, "empty")
			es, err := tx.GetAll(t.Context(), "n", "p", "word", "none", "n")
			if err != nil {
				return err
			}
			for _, e := range es {
				got = append(got, fmt.Sprintf("%s=%s %v", e.Key, e.Value, e.Exists))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := "own@0.0 not_found 4@0.0 7@0.0 0@0.0 <1>@1.2 <1><2>@0.0 1@0.0 @0.0 n=0 true p=4 true word=x true none= false n=0 true"
		if s := strings.Join(got, " "); s != want {
			t.Errorf("got  %s\nwant %s", s, want)
		}
		if w.value(t, "n") != "0" || w.value(t, "s") != "<1><2>" || w.value(t, "p") != "4" || w.value(t, "new") != "1" {
			t.Error("what was written is not what was seen")
		}
		for _, conds := range w.txns[0].If {
			if conds.Key == "p" || conds.Key == "empty" {
				t.Errorf("%s was not read, and is tested", conds.Key)
			}
		}
		err = c.Txn(t.Context(), func(tx *Tx) error {
			_ = tx.Add("word", 1)
			_, err := tx.Get(t.Context(), "word")
			return err
		})
		if !errors.Is(err, api.CodePreconditionFailed) {
			t.Errorf("an add to a word, seen: %v", err)
		}
		err = c.Txn(t.Context(), func(tx *Tx) error { return tx.Add("word", 1) })
		if !errors.Is(err, api.CodePreconditionFailed) {
			t.Errorf("an add to a word, unseen: %v", err)
		}
	})
}

// TestTxCopies checks that the caller may change what it passed in, and owns what it got.
func TestTxCopies(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		w.put(t, "k", "before")
		err := c.Txn(t.Context(), func(tx *Tx) error {
			value := []byte("mine")
			_ = tx.Put("own", value)
			copy(value, "fake")
			for _, k := range []api.Key{"k", "own", "k", "own"} {
				v, err := tx.Get(t.Context(), k)
				if err != nil || string(v.Value) != map[api.Key]string{"k": "before", "own": "mine"}[k] {
					t.Errorf("%s is %s, %v", k, v.Value, err)
				}
				copy(v.Value, "xxxxxx")
			}
			return nil
		})
		if err != nil || w.value(t, "own") != "mine" {
			t.Errorf("%v, %s", err, w.value(t, "own"))
		}
	})
}

// TestTxLimits checks that an operation over a limit is refused at once with the limit and the size, and that the transaction
// fails.
func TestTxLimits(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		mib := make([]byte, api.MaxValueBytes)
		long := api.Key(strings.Repeat("k", api.MaxKeyBytes+1))
		for name, test := range map[string]struct {
			do     func(tx *Tx) error
			naming []string
		}{
			"key":   {func(tx *Tx) error { return tx.Delete(long) }, []string{"4097", "4096"}},
			"value": {func(tx *Tx) error { return tx.Put("k", append(mib, 0)) }, []string{"1048577", "1048576"}},
			"operations": {func(tx *Tx) error {
				if _, err := tx.Get(t.Context(), "read"); !errors.Is(err, api.CodeNotFound) {
					return err
				}
				for range api.MaxTxnOps - 1 {
					if err := tx.Add("k", 1); err != nil {
						return fmt.Errorf("too early: %w", err)
					}
				}
				return tx.Add("k", 1)
			}, []string{fmt.Sprint(api.MaxTxnOps + 1), fmt.Sprint(api.MaxTxnOps)}},
			"bytes": {func(tx *Tx) error {
				for range 7 {
					if err := tx.Put("k", mib); err != nil {
						return fmt.Errorf("too early: %w", err)
					}
				}
				return tx.AppendIfAbsent("k", mib)
			}, []string{fmt.Sprint(8 * (api.MaxValueBytes + 1)), fmt.Sprint(api.MaxTxnBytes)}},
			"keys read": {func(tx *Tx) error {
				keys := make([]api.Key, api.MaxTxnOps+1)
				for i := range keys {
					keys[i] = api.Key(fmt.Sprint(i))
				}
				_, err := tx.GetAll(t.Context(), keys...)
				return err
			}, []string{fmt.Sprint(api.MaxTxnOps + 1), fmt.Sprint(api.MaxTxnOps)}},
		} {
			err := c.Txn(t.Context(), test.do)
			if !errors.Is(err, api.CodeTooLarge) || strings.Contains(err.Error(), "too early") {
				t.Errorf("%s: %.200v", name, err)
				continue
			}
			for _, n := range test.naming {
				if !strings.Contains(err.Error(), n) {
					t.Errorf("%s: %.200v does not name %s", name, err, n)
				}
			}
			if name == "keys read" {
				continue
			}
			if err := c.Txn(t.Context(), func(tx *Tx) error { _ = test.do(tx); return nil }); !errors.Is(err, api.CodeTooLarge) {
				t.Errorf("%s, unheeded: %v", name, err)
			}
		}
		if err := c.Txn(t.Context(), func(tx *Tx) error { return tx.Put("", nil) }); !errors.Is(err, api.CodeInvalid) {
			t.Errorf("an empty key: %v", err)
		}
		if len(w.txns) != 0 {
			t.Error("something was sent")
		}
		if err := c.Txn(t.Context(), func(tx *Tx) error {
			for i := range 7 {
				_ = tx.Put(api.Key(fmt.Sprint("big", i)), mib)
			}
			return nil
		}); err != nil || len(w.value(t, "big6")) != len(mib) {
			t.Errorf("7 MiB: %v", err)
		}
	})
}

// TestTxIsOver checks that once the function has returned, its Tx refuses calls, and calls under way end.
func TestTxIsOver(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		reading := make(chan struct{})
		w.onRead = func(ctx context.Context, _ int) { close(reading); <-ctx.Done() }
		for name, do := range map[string]func(context.Context, func(*Tx) error) error{"txn": c.Txn, "view": c.View} {
			var kept *Tx
			if err := do(t.Context(), func(tx *Tx) error { kept = tx; return nil }); err != nil {
				t.Fatal(err)
			}
			_, err1 := kept.Get(t.Context(), "k")
			_, err2 := kept.GetAll(t.Context(), "k", "l")
			for _, err := range []error{err1, err2, kept.Put("k", nil), kept.Delete("k"), kept.Add("k", 1), kept.AppendIfAbsent("k", nil)} {
				if !errors.Is(err, api.CodeInvalid) || !strings.Contains(err.Error(), "has returned") {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		late := make(chan error, 1)
		if err := c.Txn(t.Context(), func(tx *Tx) error {
			go func() { _, err := tx.Get(context.Background(), "k"); late <- err }()
			<-reading
			return nil
		}); err != nil {
			t.Error(err)
		}
		if err := <-late; err == nil {
			t.Error("a read went on after its transaction")
		}
	})
}

// TestTxIsShared checks that goroutines of one function may use its Tx concurrently.
func TestTxIsShared(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		for i := range 10 {
			w.put(t, api.Key(fmt.Sprint("k", i)), "1")
		}
		for name, do := range map[string]func(context.Context, func(*Tx) error) error{"txn": c.Txn, "view": c.View} {
			if err := do(t.Context(), func(tx *Tx) error {
				var all sync.WaitGroup
				for i := range 20 {
					all.Go(func() {
						k := api.Key(fmt.Sprint("k", i%10))
						if v, err := tx.Get(t.Context(), k); err != nil || len(v.Value) == 0 {
							t.Errorf("%s: %v", name, err)
						}
						if name == "txn" {
							_ = tx.Add("sum", 1)
						}
					})
				}
				all.Wait()
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
		if got := w.value(t, "sum"); got != "20" {
			t.Errorf("sum %s", got)
		}
	})
}
