package client

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/edgehold/edgehold/api"
)

// conflictPause is the first pause after a transaction that others were in the way of.
const conflictPause = 4 * time.Millisecond

// Txn runs f and then carries out, atomically and strictly serializable, all that it has written, over keys of any regions:
//
//	err := c.Txn(ctx, func(tx *client.Tx) error {
//		from, err := tx.Get(ctx, "eu-west/alice")
//		if err != nil {
//			return err
//		}
//		n, err := strconv.Atoi(string(from.Value))
//		if err != nil || n < 10 {
//			return errors.New("not enough")
//		}
//		_ = tx.Add("eu-west/alice", -10) // where it is refused, Txn tells
//		return tx.Add("us-east/bob", 10)
//	})
//
// It is optimistic. The writes are kept here until f has returned nil; then they are sent together with the version of every
// key that f has read (the absence of a key has one too), and take effect only if all those still stand. Where one does not, f
// runs again, after a pause that grows, until it has worked or ctx is over. So f runs any number of times: it must do nothing
// else that cannot be done twice, and set what it gives to the outside anew in each run. The transaction keeps its age over
// all runs; the older one goes first where two meet. What f has read, if it writes nothing, is checked to have stood at one
// instant.
//
// However often it is sent, it takes effect at most once. An error of f ends it without effect and is returned as it is; a
// panic passes through. ctx, which f should use for its reads, ends everything; without a deadline it is [Config].Timeout.
//
// Errors: [api.CodeAmbiguous] only where the commit was sent and what became of it could not be learnt before ctx ended; after
// every other error nothing was written. [api.CodeUnavailable] where ctx ended before, [api.CodePreconditionFailed] and
// [api.CodeTooLarge] where an [Tx.Add] or [Tx.AppendIfAbsent] could not be carried out on what the key holds.
func (c *Client) Txn(ctx context.Context, f func(tx *Tx) error) error {
	ctx, cancel := c.bounded(ctx, math.MaxInt64)
	defer cancel()
	age := uint64(time.Now().UnixNano())
	var last *api.Error
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return gaveUp(ctx, "txn", n, last)
		}
		again, err := c.tryTxn(ctx, age, f)
		if !again {
			return err
		}
		last = api.AsError(err)
		pauseFrom(ctx, conflictPause, n, last.RetryAfter)
	}
}

// tryTxn runs f once and commits what it has done. again: nothing was written, and another run may do better.
func (c *Client) tryTxn(ctx context.Context, age uint64, f func(tx *Tx) error) (again bool, err error) {
	tx := c.newTx(ctx, false)
	if err := tx.run(f); err != nil {
		return false, err
	}
	if tx.fault != nil { // f did not look
		return false, tx.fault
	}
	if len(tx.steps) == 0 {
		return c.checkReads(ctx, tx)
	}
	t := &api.Txn{Then: tx.steps, Age: age}
	for _, k := range tx.order {
		t.If = append(t.If, api.Cond{Kind: api.CondVersion, Key: k, Version: tx.read[k].Version})
	}
	id, end, err := c.beginWrite()
	if err != nil {
		return false, failed("txn", "", err)
	}
	defer end()
	res, err := c.do(ctx, t, func() identity { return identity{request: id()} })
	switch {
	case api.CodeOf(err) == api.CodeUnavailable && ctx.Err() == nil:
		return true, err
	case err != nil:
		return false, err
	case !res.Committed:
		return true, errMoved()
	}
	return false, nil
}

func errMoved() error {
	return &api.Error{Code: api.CodeConflict, Op: "txn", Hint: "what it had read was changed by others"}
}

// checkReads ends a transaction that has written nothing: what it has read must have stood at one instant. It reads the
// versions again as a snapshot, which leases may answer, where a commit of conditions alone would go to every owner.
func (c *Client) checkReads(ctx context.Context, tx *Tx) (again bool, err error) {
	if len(tx.order) == 0 || tx.reads == 1 && tx.snapshot {
		return false, nil
	}
	q := &api.ReadRequest{Keys: tx.order, Snapshot: true}
	for _, k := range tx.order {
		q.Known = append(q.Known, tx.read[k].Version)
	}
	res, _, err := c.readAll(ctx, "txn", q)
	if err != nil {
		return false, err
	}
	for i := range res.Entries {
		if res.Entries[i].Version != q.Known[i] {
			return true, errMoved()
		}
	}
	return false, nil
}

// gaveUp is the error of a transaction whose time is over, and of which nothing was written.
func gaveUp(ctx context.Context, op string, runs int, last *api.Error) error {
	e := &api.Error{Code: api.CodeUnavailable, Op: op, Err: ctx.Err()}
	if last != nil {
		e.Hint = fmt.Sprintf("gave up after run %d", runs)
		e.RetryAfter = last.RetryAfter
		e.Err = fmt.Errorf("%w; the last one: %w", ctx.Err(), last)
	}
	return e
}
