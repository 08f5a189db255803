package client

import (
	"context"
	"math"

	"github.com/edgehold/edgehold/api"
)

// View runs f, which only reads: all that it reads, however it reads it, is one strictly serializable snapshot, as of an
// instant between the call and its return. It never sees a half of a transaction.
//
//	err := c.View(ctx, func(tx *client.Tx) error {
//		es, err := tx.GetAll(ctx, "eu-west/alice", "us-east/bob")
//		...
//	})
//
// Each read asks for all keys that f has read so far, together with the new ones, as of one instant; of those before only the
// versions travel. Where one has changed meanwhile, the read fails with [api.CodeConflict], f should return that, and runs again,
// on what was found; it has to read nothing anew but what it did not read before. So the cost is one read for each Get or GetAll
// that names a new key: read with one GetAll what is known beforehand. Where the node holds leases on all of the keys it is
// one short trip to the node and no network beyond; else one round trip to the owner where one group owns them all, two to the
// farthest of several. Over plain HTTP ([Config].PlainHTTP) the values travel each time.
//
// f must do nothing that cannot be done twice. Its error is returned as it is, a panic passes through. A write in it is
// [api.CodeInvalid]. [api.CodeUnavailable] where ctx (without a deadline: [Config].Timeout) ended before all was read.
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
		case tx.moved != nil: // whatever f has made of that
			cached, last = tx.moved, api.AsError(tx.fault)
		case err == nil:
			return tx.fault
		default:
			return err
		}
	}
}
