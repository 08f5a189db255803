package front

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

// Ask describes a request that wants in.
type Ask struct {
	// Key is the key that the request is about, or the first of them; "" if there is none. It is not kept.
	Key api.Key
	// Writes: it is a transaction. Else Consistency is the read's.
	Writes      bool
	Consistency api.Consistency
	// Bytes is the memory for what it brings.
	Bytes int64
}

// Admit lets a request of the principal of ctx in, before anything is done for it, or returns the refusal, which may be shared.
// The place must be left.
func (b *Backend) Admit(ctx context.Context, q Ask) (*admission.Ticket, *api.Error) {
	ask := admission.Ask{Class: admission.Request, Caller: PrincipalFrom(ctx).Name, Key: q.Key, Bytes: q.Bytes}
	if q.Key != "" && b.classify != nil {
		class, refusal := b.classify(q.Key, q.Writes, q.Consistency, b.room.UnderWay())
		if refusal != nil {
			return nil, refusal
		}
		ask.Class = class
	}
	return b.room.Enter(ask)
}

// AdmitLate is Admit for a front whose refused clients may ask again at once, each at the price of a connection: a request that
// is refused waits for a moment to be let in after all ([admission.Room.Wait]). The wait ends when stop is closed.
func (b *Backend) AdmitLate(ctx context.Context, q Ask, stop <-chan struct{}) (*admission.Ticket, *api.Error) {
	place, refusal := b.Admit(ctx, q)
	if refusal == nil {
		return place, nil
	}
	return b.room.Wait(ctx, stop, refusal, func() (*admission.Ticket, *api.Error) { return b.Admit(ctx, q) })
}

// AdmitStream lets a stream in, whose requests enter by themselves, or returns the refusal. The place must be left.
func (b *Backend) AdmitStream(ctx context.Context) (*admission.Ticket, *api.Error) {
	return b.room.Enter(admission.Ask{Class: admission.Waiting, Caller: PrincipalFrom(ctx).Name})
}
