package group

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// heldKeys are overdue keys with the same holders.
type heldKeys struct {
	name    string
	keys    []fsm.Due
	holders [][]fsm.Holder // of each key
}

func (s *heldKeys) add(d fsm.Due, holders []fsm.Holder) {
	s.keys, s.holders = append(s.keys, d), append(s.holders, holders)
}

// parts divides the keys so that the leases of each part fit in one command.
func (s *heldKeys) parts() (parts []*heldKeys) {
	leases := 0
	for i, d := range s.keys {
		if leases += len(s.holders[i]); i == 0 || leases > maxExpireLeases {
			parts, leases = append(parts, &heldKeys{name: s.name}), len(s.holders[i])
		}
		parts[len(parts)-1].add(d, s.holders[i])
	}
	return parts
}

// slowHolders is the set of all holders of a key if one of them is known not to answer.
const slowHolders = "slow"

// setOf names the set of the holders. Keys with the same set are cleared together, so a dead holder delays no key of others. All
// keys with a holder that is known not to answer are one set: they wait for that in any case.
func (e *expiry) setOf(holders []fsm.Holder) string {
	e.Authority.mu.Lock()
	defer e.Authority.mu.Unlock()
	sids := make([]ident.SessionID, len(holders))
	for i := range holders {
		sids[i] = holders[i].Session
		if h := e.lead.holders[sids[i]]; h != nil && (h.standing != good || h.unreachable) {
			return slowHolders
		}
	}
	slices.SortFunc(sids, func(a, b ident.SessionID) int {
		return cmp.Or(cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.Index, b.Index))
	})
	var name []byte
	for _, sid := range sids {
		name = binary.AppendUvarint(binary.AppendUvarint(name, sid.Incarnation), sid.Index)
	}
	return string(name)
}

// takeHeld ends leased keys once their leases are cleared.
func (e *expiry) takeHeld(s *heldKeys) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(s.keys)
	if e.waiting >= clearsAtOnce || e.clearing+n > maxClearing || e.clears[s.name] > 0 && (s.name == slowHolders || e.clears[s.name]+n > maxClearingEach) {
		e.left = true
		return
	}
	e.waiting, e.clearing = e.waiting+1, e.clearing+n
	e.clears[s.name] += n
	e.mark(s.keys)
	e.run(func(ctx context.Context) {
		c, err := e.clearKeys(ctx, s.keys, slices.Concat(s.holders...))
		e.mu.Lock()
		e.waiting, e.clearing = e.waiting-1, e.clearing-n
		if e.clears[s.name] -= n; e.clears[s.name] == 0 {
			delete(e.clears, s.name)
		}
		e.mu.Unlock()
		var res fsm.Result
		if err == nil {
			res, err = e.end(ctx, s.keys, &c)
		}
		e.settled(s.keys, err != nil || len(res.Left) > 0)
	})
}

// clearKeys revokes the leases on the keys and waits for their holders, as a write does. If that gains too much to be part of an
// Expire, it goes into the log before.
func (e *expiry) clearKeys(ctx context.Context, due []fsm.Due, holders []fsm.Holder) (clearance, error) {
	keys := keysOf(due)
	e.latch(e.lead, keys)
	defer e.unlatch(e.lead, keys)
	c, err := e.clear(ctx, e.lead, holders, nil)
	if err == nil && (len(c.cleared) > maxReleased || len(c.killed) > maxKilled) {
		err = e.drop(ctx, e.lead, c)
		c = clearance{}
	}
	return c, err
}

// takeTurn ends a key that transactions hold. It waits in the queue for them, so that younger ones do not lock the key meanwhile:
// transactions that share the key could otherwise keep it for ever.
func (e *expiry) takeTurn(d fsm.Due) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.turns >= turnsAtOnce {
		e.left = true
		return
	}
	e.turns++
	e.mark([]fsm.Due{d})
	e.run(func(ctx context.Context) {
		left, err := e.turn(ctx, d)
		e.mu.Lock()
		e.turns--
		e.mu.Unlock()
		e.settled([]fsm.Due{d}, err != nil || left)
	})
}

// turn waits for the transactions that hold the key, and ends it. It reports whether something else has kept the key, such as a
// lease that was granted meanwhile.
func (e *expiry) turn(ctx context.Context, d fsm.Due) (left bool, err error) {
	keys := []api.Key{d.Key}
	w := waiter{Authority: e.Authority, lead: e.lead, position: positionOf(ident.TxnRef{}, keys, keys)}
	defer w.end()
	for {
		if in := e.cfg.Machine.Intents(keys); len(in) > 0 {
			wait := w.await
			if !guardExpiryTurn {
				wait = func(ctx context.Context, in []fsm.Intent) error { return w.awaitIntents(ctx, w.lead, in) }
			}
			if err := wait(ctx, in); err != nil {
				return false, err
			}
		}
		c, err := e.clearKeys(ctx, []fsm.Due{d}, e.cfg.Machine.Holders(keys))
		if err != nil {
			return false, err
		}
		res, err := e.end(ctx, []fsm.Due{d}, &c)
		if err != nil || len(res.Intents) == 0 {
			return len(res.Left) > 0, err
		}
	}
}
