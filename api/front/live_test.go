package front

import (
	"context"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// observing sends events until tell returns an error.
type observing struct{ told int }

func (o *observing) Live(_ context.Context, tell func(*api.Live) error) error {
	for {
		o.told++
		if err := tell(&api.Live{Seq: uint64(o.told)}); err != nil {
			return err
		}
	}
}

// changing is an Access whose rights change at each event; from the third question on the principal may no longer observe.
type changing struct {
	asking
	asked, changes uint64
}

func (c *changing) Changes() uint64 { c.changes++; return c.changes }
func (c *changing) AllowCluster(*Principal, string, Right, string) error {
	if c.asked++; c.asked >= 3 {
		return api.Errorf(api.CodeDenied, "no more")
	}
	return nil
}

// TestLiveIsJudgedAgain: a live stream whose principal loses its right ends with the refusal, before anything more is sent.
func TestLiveIsJudgedAgain(t *testing.T) {
	o := &observing{}
	b := New(Config{Store: &everything{}, Observer: o, Access: &changing{}})
	told := 0
	err := b.For(t.Context()).Live(t.Context(), func(*api.Live) error { told++; return nil })
	if api.CodeOf(err) != api.CodeDenied || told != 1 || o.told != 2 {
		t.Errorf("the stream ends with %v after %d events of %d", err, told, o.told)
	}
}
