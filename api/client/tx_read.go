package client

import (
	"bytes"
	"context"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// get returns the state of the keys as the transaction sees it. The caller owns the result.
func (tx *Tx) get(ctx context.Context, op string, keys []api.Key) ([]found, error) {
	ctx, cancel := tx.within(ctx)
	defer cancel()
	if tx.view { // the reads of a View are one snapshot, so they run one at a time
		select {
		case tx.turn <- struct{}{}:
			defer func() { <-tx.turn }()
		case <-ctx.Done():
			return nil, &api.Error{Code: api.CodeUnavailable, Op: op, Err: ctx.Err()}
		}
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	missing, err := tx.missing(op, keys)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		if err := tx.fetch(ctx, op, missing); err != nil {
			return nil, err
		}
	}
	out := make([]found, 0, len(keys))
	for _, k := range keys {
		f, err := tx.holds(k)
		if err != nil {
			return nil, err
		}
		f.Value = bytes.Clone(f.Value)
		if f.Exists && f.Value == nil {
			f.Value = []byte{}
		}
		out = append(out, f)
	}
	return out, nil
}

// missing returns the keys that have to be read, without duplicates.
func (tx *Tx) missing(op string, keys []api.Key) ([]api.Key, error) {
	var missing []api.Key
	for _, k := range keys {
		if err := tx.usable(op, k); err != nil {
			return nil, err
		}
		if err := api.CheckKey(k); err != nil {
			return nil, failed(op, k, err)
		}
		if f, ok := tx.cached[k]; ok && tx.grow(1, len(k)) == nil {
			delete(tx.cached, k)
			tx.remember(f)
		}
		if _, ok := tx.read[k]; !ok && tx.fixed(k) < 0 {
			missing = append(missing, k)
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing), nil
}

func (tx *Tx) remember(f found) {
	tx.read[f.Key] = f
	tx.order = append(tx.order, f.Key)
}

// fixed returns the index of the newest step that sets the key regardless of what it held before, or -1 if there is none.
func (tx *Tx) fixed(k api.Key) int {
	for i := len(tx.steps) - 1; i >= 0; i-- {
		if o := &tx.steps[i]; o.Key == k && o.Writes() && !o.Function() {
			return i
		}
	}
	return -1
}

// holds returns the key as it was read, with the transaction's own steps applied.
func (tx *Tx) holds(k api.Key) (found, error) {
	f, ok := tx.read[k]
	if !ok {
		f.Key = k
	}
	for i := max(0, tx.fixed(k)); i < len(tx.steps); i++ {
		o := &tx.steps[i]
		if o.Key != k {
			continue
		}
		made, err := o.On(f.Value, f.Exists)
		if err != nil {
			return found{}, err
		}
		if made.Changed {
			f = found{Entry: api.Entry{Key: k, Value: made.Value, Exists: made.Exists}}
		}
	}
	return f, nil
}

// fetch reads keys from the store. It releases mu during the read.
func (tx *Tx) fetch(ctx context.Context, op string, keys []api.Key) error {
	size := 0
	for _, k := range keys {
		size += len(k)
	}
	if err := tx.grow(len(keys), size); err != nil {
		return failed(op, keys[0], err)
	}
	read := tx.fetchEach
	if tx.view {
		read = tx.fetchView
	}
	err := read(ctx, op, keys)
	if err != nil {
		tx.count, tx.size = tx.count-len(keys), tx.size-size
	}
	return err
}

// ask sends the request. It releases mu until the answer is there.
func (tx *Tx) ask(ctx context.Context, op string, q *api.ReadRequest) (*api.ReadResult, api.NodeID, error) {
	tx.mu.Unlock()
	res, node, err := tx.c.readAll(ctx, op, q)
	tx.mu.Lock()
	if err == nil {
		err = tx.usable(op, q.Keys[0])
	}
	return res, node, err
}

// fetchEach reads keys, each as of an instant of its own.
func (tx *Tx) fetchEach(ctx context.Context, op string, keys []api.Key) error {
	res, node, err := tx.ask(ctx, op, &api.ReadRequest{Keys: keys})
	if err != nil {
		return err
	}
	tx.reads++
	tx.snapshot = res.Snapshot || len(keys) == 1
	for i := range res.Entries {
		if _, ok := tx.read[keys[i]]; !ok { // otherwise another read was faster, and its result is kept
			tx.remember(foundIn(res, i, node))
		}
	}
	return nil
}

// within returns a context that ends when ctx or the transaction does.
func (tx *Tx) within(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, _ := tx.ctx.Deadline()
	ctx, cancel := context.WithDeadline(ctx, deadline)
	stop := context.AfterFunc(tx.ctx, func() {
		if tx.ctx.Err() == context.Canceled { // otherwise ctx has the same deadline and ends by itself
			cancel()
		}
	})
	return ctx, func() { stop(); cancel() }
}

func foundIn(res *api.ReadResult, i int, node api.NodeID) found {
	return found{Entry: res.Entries[i], by: res.ServedBy, owner: res.Group, node: node}
}

// fetchView reads keys together with all keys that this run has read before, as of one instant. If one of those has changed, the
// result is kept for the next run, and this run fails with CodeConflict.
func (tx *Tx) fetchView(ctx context.Context, op string, keys []api.Key) error {
	q := &api.ReadRequest{Keys: append(append([]api.Key{}, tx.order...), keys...), Snapshot: true}
	if len(tx.order) > 0 {
		q.Known = make([]api.Version, len(q.Keys))
		for i, k := range tx.order {
			q.Known[i] = tx.read[k].Version
		}
	}
	res, node, err := tx.ask(ctx, op, q)
	if err != nil {
		return err
	}
	now, moved := make(map[api.Key]found, len(q.Keys)), false
	for i, k := range q.Keys {
		f := foundIn(res, i, node)
		if old, ok := tx.read[k]; ok && old.Version == f.Version {
			f = old
		} else if ok {
			moved = true
		}
		now[k] = f
	}
	tx.cached = nil // it is of an older instant
	if moved {
		tx.moved = now
		tx.fault = failed(op, keys[0], api.Errorf(api.CodeConflict, "what was read before has changed: return this error, and the function runs again"))
		return tx.fault
	}
	for _, k := range keys {
		tx.remember(now[k])
	}
	return nil
}
