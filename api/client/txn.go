package client

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/edgehold/edgehold/api"
)

// conflictPause is the first pause after a conflict with other transactions.
const conflictPause = 4 * time.Millisecond

// Txn runs f and then commits, atomically, everything that f has written, over keys of any regions. It is strictly serializable:
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
//		_ = tx.Add("eu-west/alice", -10) // Txn returns the error if this is refused
//		return tx.Add("us-east/bob", 10)
//	})
//
// A transaction is optimistic. The Client keeps the writes until f has returned nil. Then it sends them together with the version
// of every key that f has read (an absent key has a version too). They take effect only if all those versions are still current.
// If one is not, f runs again after a growing pause, until the transaction commits or ctx ends. So f may run any number of times.
// It must have no side effects that cannot be repeated, and must set its results anew in each run. A transaction keeps its age
// over all runs, and of two that conflict the older goes first. If f writes nothing, Txn checks that everything it read was
// current at one instant.
//
// A transaction takes effect at most once, however often it is sent. If f returns an error, nothing is written, and Txn returns
// that error as it is. A panic of f is passed on. f should use ctx for its reads. The end of ctx ends the transaction. If ctx has
// no deadline, the transaction ends after [Config].Timeout. See [Tx] for the limits. Txn is safe for concurrent use.
//
// The error is [api.CodeAmbiguous] only if the commit was sent and its outcome could not be found out before ctx ended. After
// every other error nothing was written. [api.CodeUnavailable] means that ctx ended before the commit.
// [api.CodePreconditionFailed] and [api.CodeTooLarge] mean that an [Tx.Add] or [Tx.AppendIfAbsent] was not possible on what the
// key holds; [api.CodeTooLarge] also that the transaction is over a limit.
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

// tryTxn runs f once and commits its writes. again is true if nothing was written and another run may succeed.
func (c *Client) tryTxn(ctx context.Context, age uint64, f func(tx *Tx) error) (again bool, err error) {
	tx := c.newTx(ctx, false)
	if err := tx.run(f); err != nil {
		return false, err
	}
	if tx.fault != nil { // f ignored the error of a write
		return false, tx.fault
	}
	if len(tx.steps) == 0 {
		if again, err = c.checkReads(ctx, tx); err == nil {
			err = c.checkGuards(ctx, tx)
		}
		return again, err
	}
	t := &api.Txn{Then: tx.steps, Age: age}
	for _, k := range tx.order {
		t.If = append(t.If, api.Cond{Kind: api.CondVersion, Key: k, Version: tx.read[k].Version})
	}
	t.If = append(t.If, tx.guards...)
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
		if err := c.checkGuards(ctx, tx); err != nil {
			return false, err
		}
		return true, errMoved()
	}
	return false, nil
}

func errMoved() error {
	return &api.Error{Code: api.CodeConflict, Op: "txn", Hint: "what it had read was changed by others"}
}

// checkReads ends a transaction that has written nothing. Everything it read must have been current at one instant. It reads the
// versions again as a snapshot, which leases can answer. A commit that has only conditions would go to every owner.
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

// gaveUp returns the error of a transaction whose time is up and that has written nothing.
func gaveUp(ctx context.Context, op string, runs int, last *api.Error) error {
	e := &api.Error{Code: api.CodeUnavailable, Op: op, Err: ctx.Err()}
	if last != nil {
		e.Hint = fmt.Sprintf("gave up after run %d", runs)
		e.RetryAfter = last.RetryAfter
		e.Err = fmt.Errorf("%w; the last one: %w", ctx.Err(), last)
	}
	return e
}
