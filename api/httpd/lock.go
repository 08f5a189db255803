package httpd

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/lock"
)

// lockJSON is the body of a request about a lock.
var lockJSON = body{"body", "application/json", 16 << 10}

// The members of the bodies.
var (
	takeMembers    = []string{"ttl", "wait", "owner"}
	renewMembers   = []string{"id", "fence", "ttl"}
	releaseMembers = []string{"id", "fence"}
)

func locks(h *handler) bool { return h.Locks() }

// lockBody is what a request says of a lock.
type lockBody struct {
	jsonReader
	ttl, wait time.Duration
	owner     string
	id        string
	fence     uint64
	given     map[string]bool
}

// readLock reads the body, whose members must be among those named; the first must of them must be given.
func (x *exchange) readLock(must int, members ...string) (*lockBody, error) {
	raw, err := x.readBody()
	if err != nil {
		return nil, err
	}
	b := &lockBody{jsonReader: jsonReader{b: raw}, given: map[string]bool{}}
	b.skipMark()
	b.object(func(name string) {
		if !slices.Contains(members, name) {
			b.unknown(name)
			return
		}
		b.given[name] = true
		b.member(name)
	})
	b.end()
	for _, m := range members[:must] {
		if !b.given[m] {
			b.fail("%s is missing", m)
		}
	}
	return b, b.err
}

func (b *lockBody) member(name string) {
	switch name {
	case "ttl":
		var err error
		b.ttl, err = parseTTL(string(b.text()))
		b.refuse(err)
	case "wait":
		text := string(b.text())
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > lock.MaxWait {
			b.fail("wait %.40q is not a duration from 0s to %v", text, lock.MaxWait)
		}
		b.wait = d
	case "owner":
		b.owner = string(b.text())
	case "id":
		b.id = string(b.text())
	case "fence":
		n, err := strconv.ParseUint(b.integer(), 10, 64)
		if err != nil {
			b.fail("fence is not a whole number")
		}
		b.fence = n
	}
}

// postLock asks for a lock, and waits for it. While it waits it holds no place that other requests want.
func postLock(x *exchange) error {
	b, err := x.readLock(1, takeMembers...)
	if err != nil {
		return err
	}
	key, err := idempotencyKey(x.R.Header)
	if err != nil {
		return err
	}
	until := x.Ctx.Until().Add(b.wait)
	_ = http.NewResponseController(x.W).SetWriteDeadline(until.Add(door.WriteTimeout)) // a connection without deadlines has none to set
	ctx := door.NewContext(x.Base, until)
	defer ctx.End()
	lasting, end := whileOpen(ctx, x.Closing().Done())
	defer end()
	x.writes = true
	h, err := x.Store.AcquireLock(lasting, &lock.Request{
		Name: string(x.key), TTL: b.ttl, Wait: b.wait, Owner: b.owner, Waiting: x.Leave,
	}, key)
	if err != nil {
		return err
	}
	return x.replyHeld(h)
}

// whileOpen returns a context that ends with ctx, or when draining is closed. end must be called.
func whileOpen(ctx context.Context, draining <-chan struct{}) (lasting context.Context, end func()) {
	lasting, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		select {
		case <-draining:
			cancel()
		case <-lasting.Done():
		}
	})
	return lasting, func() { cancel(); wait.Wait() }
}

// idempotencyKey returns the Idempotency-Key as it was sent, "" if there is none.
func idempotencyKey(h http.Header) (string, error) {
	if _, err := requestID(h); err != nil {
		return "", err
	}
	return h.Get("Idempotency-Key"), nil
}

// heldBody is a tenure of a lock.
type heldBody struct {
	ID      string `json:"id"`
	Fence   uint64 `json:"fence"`
	Version string `json:"version"`
	TTL     string `json:"ttl,omitempty"`
}

func bodyOfHeld(h *lock.Held) heldBody {
	b := heldBody{ID: h.ID, Fence: h.Fence, Version: h.Version.String()}
	if h.TTL > 0 {
		b.TTL = wholeTTL(h.TTL).String()
	}
	return b
}

func (x *exchange) replyHeld(h *lock.Held) error { return x.replyJSON(bodyOfHeld(h)) }

// putLock renews a tenure.
func putLock(x *exchange) error {
	b, err := x.readLock(2, renewMembers...)
	if err != nil {
		return err
	}
	x.writes = true
	h, err := x.Store.RenewLock(x.Ctx, string(x.key), b.id, b.fence, b.ttl)
	if err != nil {
		return err
	}
	return x.replyHeld(h)
}

// deleteLock ends a tenure, if it lasts.
func deleteLock(x *exchange) error {
	b, err := x.readLock(2, releaseMembers...)
	if err != nil {
		return err
	}
	x.writes = true
	released, err := x.Store.ReleaseLock(x.Ctx, string(x.key), b.id, b.fence)
	if err != nil {
		return err
	}
	return x.replyJSON(releasedBody{released})
}

// releasedBody reports whether a tenure has ended by the request.
type releasedBody struct {
	Released bool `json:"released"`
}

// contenderBody is the holder of a lock, or one that waits.
type contenderBody struct {
	heldBody
	Owner string `json:"owner"`
}

func bodyOfContender(c *lock.Contender) contenderBody {
	return contenderBody{bodyOfHeld(&c.Held), c.Owner}
}

// shownBody is a lock.
type shownBody struct {
	Holder *contenderBody  `json:"holder"`
	Queue  []contenderBody `json:"queue"`
}

// getLock shows the holder of a lock and the clients that wait for it.
func getLock(x *exchange) error {
	s, err := x.Store.ShowLock(x.Ctx, string(x.key))
	if err != nil {
		return err
	}
	out := shownBody{Queue: []contenderBody{}}
	if s.Holder != nil {
		holder := bodyOfContender(s.Holder)
		out.Holder = &holder
	}
	for i := range s.Queue {
		out.Queue = append(out.Queue, bodyOfContender(&s.Queue[i]))
	}
	return x.replyJSON(out)
}
