package front

import (
	"context"

	"github.com/edgehold/edgehold/api"
)

var _ api.Observer = Caller{}

// Observed reports whether the node has an Observer.
func (b *Backend) Observed() bool { return b.observer != nil }

// Live implements api.Observer. It needs [Observe], which is judged again before each event if rights may have changed: the stream then
// ends with the refusal. A stream is no request in flight.
func (c Caller) Live(ctx context.Context, tell func(*api.Live) error) error {
	a := c.backend.access
	if a == nil {
		return c.backend.observer.Live(ctx, tell)
	}
	changes := a.Changes() // before the rights are judged, so that a later change is not missed
	if err := c.May("live", Observe, ""); err != nil {
		return err
	}
	return c.backend.observer.Live(ctx, func(l *api.Live) error {
		if err := a.Check(c.principal); err != nil {
			return err
		}
		if now := a.Changes(); now != changes {
			if err := c.May("live", Observe, ""); err != nil {
				return err
			}
			changes = now
		}
		return tell(l)
	})
}

// UnderWay returns how many requests of clients are under way, and how many watches are open.
func (b *Backend) UnderWay() (requests, watches int) {
	return b.room.UnderWay(), int(b.watching.open.Load())
}
