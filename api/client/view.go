package client

import (
	"context"
	"math"

	"github.com/edgehold/edgehold/api"
)

// View runs f, which only reads. Everything that f reads, with any number of reads, is one strictly serializable snapshot as of
// an instant between the call and the return of View. It never shows a part of a transaction.
//
//	err := c.View(ctx, func(tx *client.Tx) error {
//		es, err := tx.GetAll(ctx, "eu-west/alice", "us-east/bob")
//		...
//	})
//
// Each read asks for all keys that f has read so far together with the new ones, as of one instant. Only the versions of the
// earlier keys are sent. If one of them has changed, the read fails with [api.CodeConflict]. f should return that error, and then
// runs again with the newly read data, so that it reads only keys that are new to it.
//
// The cost is one read for each Get or GetAll that names a new key, so read all keys that are known beforehand with one GetAll.
// If the node holds leases on all the keys, a read is one short round trip to the node and uses no network beyond it. If one
// group owns all the keys, it is one round trip to the owner. If several groups own them, it is two round trips to the farthest
// of them. Over plain HTTP ([Config].PlainHTTP) all values are sent each time.
//
// f must have no side effects that cannot be repeated. Its error is returned as it is. A panic is passed on. A write in f fails
// with [api.CodeInvalid]. The error is [api.CodeUnavailable] if ctx ended before all was read. If ctx has no deadline,
// [Config].Timeout bounds the View. View is safe for concurrent use.
func (c *Client) View(ctx context.Context, f func(tx *Tx) error) error {
	ctx, cancel := c.bounded(ctx, math.MaxInt64)
	defer cancel()
	var cached map[api.Key]found
	var last *api.Error
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return gaveUp(ctx, "view", n, last)
		}
		tx := c.newTx(ctx, true)
		tx.cached = cached
		err := tx.run(f)
		switch {
		case tx.moved != nil: // whatever f returned
			cached, last = tx.moved, api.AsError(tx.fault)
		case err == nil:
			return tx.fault
		default:
			return err
		}
	}
}
