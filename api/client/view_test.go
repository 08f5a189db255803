package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestView checks that every read asks for all keys so far as of one instant, and that known values are not sent again.
func TestView(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		w.put(t, "a", "1")
		w.put(t, "b", "2")
		runs := 0
		err := c.View(t.Context(), func(tx *Tx) error {
			runs++
			for _, k := range []api.Key{"a", "a", "b", "absent", "a"} {
				v, err := tx.Get(t.Context(), k)
				if want := map[api.Key]string{"a": "1", "b": "2"}[k]; string(v.Value) != want || (err == nil) != (want != "") {
					t.Errorf("%s is %s, %v", k, v.Value, err)
				}
			}
			_, err := tx.GetAll(t.Context(), "a", "c", "d", "c")
			return err
		})
		if err != nil || runs != 1 {
			t.Errorf("%v after %d runs", err, runs)
		}
		var asked string
		for _, r := range w.reads {
			if !r.Snapshot {
				t.Errorf("asked %+v", r)
			}
			asked += fmt.Sprint(r.Keys)
		}
		if asked != "[a][a b][a b absent][a b absent c d]" {
			t.Errorf("asked %s", asked)
		}
	})
}

// TestViewRunsAgain checks that the function runs again with the newly read data if what it read has changed, and that it then
// reads only new keys.
func TestViewRunsAgain(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		for _, k := range []api.Key{"a", "b", "c"} {
			w.put(t, k, "1")
		}
		w.onRead = func(_ context.Context, n int) {
			if n == 2 || n == 3 {
				for _, k := range []api.Key{"a", "b", "c"} {
					w.put(t, k, fmt.Sprint(n))
				}
			}
		}
		var seen []string
		err := c.View(t.Context(), func(tx *Tx) error {
			s := ""
			defer func() { seen = append(seen, s) }()
			for _, k := range []api.Key{"a", "b", "c"} {
				v, err := tx.Get(t.Context(), k)
				if err != nil {
					s += " " + string(api.CodeOf(err))
					if _, again := tx.Get(t.Context(), "a"); api.CodeOf(again) != api.CodeConflict {
						t.Errorf("after a change: %v", again)
					}
					return nil // ignoring the error does not stop it from running again
				}
				s += string(v.Value)
			}
			return nil
		})
		if err != nil || fmt.Sprint(seen) != "[1 conflict 22 conflict 333]" || len(w.reads) != 3 {
			t.Errorf("saw %q in %d reads, %v", seen, len(w.reads), err)
		}
	})
}

// TestViewReadsOnly checks that a write in a View fails the View, even if the function ignores the error.
func TestViewReadsOnly(t *testing.T) {
	onWatched(t, func(t *testing.T, c *Client, w *watched) {
		for _, write := range []func(tx *Tx) error{
			func(tx *Tx) error { return tx.Put("k", nil) }, func(tx *Tx) error { return tx.Delete("k") },
			func(tx *Tx) error { return tx.Add("k", 1) }, func(tx *Tx) error { return tx.AppendIfAbsent("k", nil) },
		} {
			for range 2 {
				if err := c.View(t.Context(), write); !errors.Is(err, api.CodeInvalid) {
					t.Error(err)
				}
				heeded := write
				write = func(tx *Tx) error { _ = heeded(tx); return nil }
			}
		}
		if len(w.txns) != 0 {
			t.Error("something was sent")
		}
	})
}

// TestViewEndsWithItsContext checks that a View ends with its context even if the keys change all the time.
func TestViewEndsWithItsContext(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, h http.Handler) {
		w := &watched{Memory: storetest.NewMemory()}
		w.onRead = func(_ context.Context, n int) {
			time.Sleep(10 * time.Millisecond)
			w.put(t, api.Key(fmt.Sprint("k", n-1)), "x")
		}
		p.set("near", of(httpd.New(front.New(front.Config{Store: w}), httpd.Config{})))
		began, n := time.Now(), 0
		err := c.View(t.Context(), func(tx *Tx) error {
			for {
				n++ // each run reads a different value
				if _, err := tx.GetAll(t.Context(), api.Key(fmt.Sprint("k", n))); err != nil {
					return err
				}
			}
		})
		if took := time.Since(began); api.CodeOf(err) != api.CodeUnavailable || took != api.DefaultTimeout {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// TestSendTxn checks that the JSON of a transaction is sent unchanged and once, and that its answer is returned unchanged.
func TestSendTxn(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, h http.Handler) {
		p.set("near", losesAnswers(h))
		const body = ` {"then":[{"add":{"key":"n","delta":"1"}}]}`
		got, err := c.SendTxn(t.Context(), []byte(body))
		if want := `{"committed":true,"results":[{"key":"n","value":"1","version":"1.1"}],"version":"1.1","replayed":true}` + "\n"; err != nil || string(got) != want {
			t.Errorf("%s, %v", got, err)
		}
		for range 2 {
			if _, err := c.SendTxn(t.Context(), []byte(body), IdempotencyKey("mine")); err != nil {
				t.Error(err)
			}
		}
		if v, err := c.Get(t.Context(), "n"); err != nil || string(v.Value) != "2" {
			t.Errorf("%s, %v", v.Value, err)
		}
		if _, err := c.SendTxn(t.Context(), []byte(`{"then":[{"put":{}}]}`)); !errors.Is(err, api.CodeInvalid) {
			t.Error(err)
		}
		if _, err := c.SendTxn(t.Context(), []byte(body), IfAbsent()); !errors.Is(err, api.CodeInvalid) {
			t.Error(err)
		}
	})
}

// TestViewOfMuch checks that what does not fit one trip is refused and can be read in several, and that known values are not sent
// again.
func TestViewOfMuch(t *testing.T) {
	w := &watched{Memory: storetest.NewMemory()}
	c := open(t, Config{Endpoints: []string{serve(t, httpd.New(front.New(front.Config{Store: w}), httpd.Config{}))}})
	keys := make([]api.Key, 20)
	for i := range keys {
		keys[i] = api.Key(fmt.Sprint("k", i))
		w.put(t, keys[i], strings.Repeat("v", api.MaxValueBytes))
	}
	if err := c.View(t.Context(), func(tx *Tx) error { _, err := tx.GetAll(t.Context(), keys...); return err }); !errors.Is(err, api.CodeTooLarge) {
		t.Errorf("all at once: %v", err)
	}
	if err := c.View(t.Context(), func(tx *Tx) error {
		_, err1 := tx.GetAll(t.Context(), keys[:10]...)
		_, err2 := tx.GetAll(t.Context(), keys[10:]...)
		es, err3 := tx.GetAll(t.Context(), keys...)
		for _, e := range es {
			if len(e.Value) != api.MaxValueBytes {
				t.Errorf("%s has %d bytes", e.Key, len(e.Value))
			}
		}
		return errors.Join(err1, err2, err3)
	}); err != nil {
		t.Errorf("in two trips: %v", err)
	}
}
