package client

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestTTL: a Client puts keys that expire, touches them and reads what is left, in every way of connecting.
func TestTTL(t *testing.T) {
	for name, c := range clients(t, storetest.NewMemory()) {
		t.Run(name, func(t *testing.T) { clientTTL(t, c, api.Key(name)+"/") })
	}
}

func clientTTL(t *testing.T, c *Client, d api.Key) {
	ctx := t.Context()
	left := func(k api.Key, want time.Duration) {
		t.Helper()
		if v, err := c.Get(ctx, k); err != nil || v.TTL > want || want > 0 && v.TTL <= want-time.Minute || want == 0 && v.TTL != 0 {
			t.Errorf("%s: %v and %v left, want %v", k, err, v.TTL, want)
		}
	}
	if _, err := c.Put(ctx, d+"a", nil, TTL(time.Hour), IfAbsent()); err != nil {
		t.Fatal(err)
	}
	left(d+"a", time.Hour)
	if got, err := c.Touch(ctx, d+"a", 2*time.Hour); err != nil || got > 2*time.Hour || got < 2*time.Hour-time.Minute {
		t.Errorf("touch: %v, %v", got, err)
	}
	if _, err := c.Touch(ctx, d+"none", time.Hour); api.CodeOf(err) != api.CodeNotFound {
		t.Errorf("touch of an absent key: %v", err)
	}
	err := c.Txn(ctx, func(tx *Tx) error {
		_ = tx.Put(d+"b", []byte("x"))
		_ = tx.Put(d+"c", []byte("1"), TTL(time.Hour))
		_ = tx.Touch(d+"a", 3*time.Hour)
		_ = tx.Add(d+"a", 1) // the value is not a number: but see what it holds after its own touch
		v, err := tx.Get(ctx, d+"c")
		if string(v.Value) != "1" {
			t.Errorf("the transaction sees %q, %v", v.Value, err)
		}
		return nil
	})
	if api.CodeOf(err) != api.CodePreconditionFailed {
		t.Errorf("add to an empty value: %v", err)
	}
	err = c.Txn(ctx, func(tx *Tx) error {
		_ = tx.Put(d+"c", []byte("1"), TTL(time.Hour))
		_ = tx.Touch(d+"a", 3*time.Hour)
		v, err := tx.Get(ctx, d+"a")
		if err == nil && v.TTL < 2*time.Hour-time.Minute {
			t.Errorf("the transaction reads a ttl of %v", v.TTL)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	left(d+"a", 3*time.Hour)
	left(d+"c", time.Hour)
	if _, err := c.Put(ctx, d+"a", nil); err != nil {
		t.Fatal(err)
	}
	left(d+"a", 0)
	if got, err := c.Touch(ctx, d+"a", time.Hour); err != nil || got != 0 {
		t.Errorf("touch of a key that does not expire: %v, %v", got, err)
	}
	for e, err := range c.List(ctx, d) {
		if err != nil || (e.TTL > 0) != (e.Key == d+"c") {
			t.Errorf("listed %+v, %v", e, err)
		}
	}
}

// TestFunctionsOfBytes: a Tx appends, sums and compares without reading, and keeps deadlines, in every way of connecting.
func TestFunctionsOfBytes(t *testing.T) {
	for name, c := range clients(t, storetest.NewMemory()) {
		t.Run(name, func(t *testing.T) {
			d, ctx := api.Key(name)+"/", t.Context()
			for range 2 {
				err := c.Txn(ctx, func(tx *Tx) error {
					_ = tx.Append(d+"a", []byte("ab"), KeepTTL())
					_ = tx.Sum64(d+"sum", 1<<40)
					_ = tx.Min64(d+"min", 7)
					_ = tx.Max64(d+"max", 7, TTL(time.Hour))
					v, err := tx.Get(ctx, d+"sum")
					if err == nil && (len(v.Value) != 8 || v.Value[5] == 0) {
						t.Errorf("the transaction sees the sum %x", v.Value)
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Put(ctx, d+"max", []byte{5, 0, 0, 0, 0, 0, 0, 0}, KeepTTL()); err != nil {
					t.Fatal(err)
				}
			}
			for k, want := range map[api.Key]string{"a": "abab", "sum": "\x00\x00\x00\x00\x00\x02\x00\x00", "min": "\x07\x00\x00\x00\x00\x00\x00\x00", "max": "\x05\x00\x00\x00\x00\x00\x00\x00"} {
				if v, err := c.Get(ctx, d+k); err != nil || string(v.Value) != want || (v.TTL > 0) != (k == "max") {
					t.Errorf("%s is %q with %v left (%v), want %q", k, v.Value, v.TTL, err, want)
				}
			}
			if err := c.Txn(ctx, func(tx *Tx) error { return tx.Sum64(d+"a", 1) }); api.CodeOf(err) != api.CodePreconditionFailed {
				t.Errorf("a sum of a text gave %v", err)
			}
		})
	}
}

// TestTTLOptions: a time to live that is out of bounds, or has no place, is refused before anything is sent.
func TestTTLOptions(t *testing.T) {
	c := New(storetest.NewMemory())
	ctx := t.Context()
	_, put := c.Put(ctx, "k", nil, TTL(time.Millisecond))
	_, both := c.Put(ctx, "k", nil, TTL(time.Hour), KeepTTL())
	_, kept := c.Delete(ctx, "k", KeepTTL())
	_, zero := c.Put(ctx, "k", nil, TTL(0))
	_, del := c.Delete(ctx, "k", TTL(time.Hour))
	_, touch := c.Touch(ctx, "k", api.MaxTTL+1)
	_, send := c.SendTxn(ctx, []byte(`{}`), TTL(time.Hour))
	in := func(f func(*Tx) error) error { return c.Txn(ctx, f) }
	for what, err := range map[string]error{
		"put": put, "both": both, "kept": kept, "zero": zero, "delete": del, "touch": touch, "send": send,
		"tx.Put":       in(func(tx *Tx) error { return tx.Put("k", nil, TTL(time.Millisecond)) }),
		"tx.Put if":    in(func(tx *Tx) error { _ = tx.Put("k", nil, IfAbsent()); return nil }),
		"tx.Touch":     in(func(tx *Tx) error { return tx.Touch("k", 0) }),
		"View's touch": c.View(ctx, func(tx *Tx) error { return tx.Touch("k", time.Hour) }),
	} {
		if api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.Get(ctx, "k"); api.CodeOf(err) != api.CodeNotFound {
		t.Errorf("something was put: %v", err)
	}
}
