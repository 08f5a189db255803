package client

import (
	"bytes"
	"context"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// Tx is a transaction at work: what the function given to [Client.Txn] or [Client.View] reads and writes through. It sees its
// own writes, and each key as it was when it first read it. It is safe for concurrent use; once the function has returned,
// every call of it fails with [api.CodeInvalid]. Keys and values are copied, both ways.
//
// What it reads and writes counts together: at most [api.MaxTxnOps] keys read and writes, and [api.MaxTxnBytes] of keys and
// written values. One over gets [api.CodeTooLarge] at once. A write that was refused so ends the transaction, also where the
// function does not look at the error.
type Tx struct {
	c      *Client
	ctx    context.Context // ends with the function, or with the transaction's time
	cancel context.CancelFunc
	view   bool
	turn   chan struct{} // of a View: holds one while something is read

	mu    sync.Mutex
	over  bool  // guarded by mu, as all below: the function has returned
	fault error // what a write was refused for, or that a View must begin anew
	read  map[api.Key]found
	order []api.Key // of read
	steps []api.Op
	count int // against api.MaxTxnOps
	size  int // against api.MaxTxnBytes
	// reads counts the answers that read came from, of which a single one that is a snapshot needs no check.
	reads    int
	snapshot bool
	// Of a View: cached holds what an earlier run had read and this one has not, as of the same instant as read; moved is what the
	// next run begins with.
	cached, moved map[api.Key]found
}

// found is what a key was read as, and who answered.
type found struct {
	api.Entry
	by    api.ServedBy
	owner api.GroupID
	node  api.NodeID
}

// newTx is a transaction whose time is ctx's.
func (c *Client) newTx(ctx context.Context, view bool) *Tx {
	tx := &Tx{c: c, view: view, turn: make(chan struct{}, 1), read: map[api.Key]found{}}
	tx.ctx, tx.cancel = context.WithCancel(ctx)
	return tx
}

// run is one run of the function. A panic passes through.
func (tx *Tx) run(f func(*Tx) error) error {
	defer tx.end()
	return f(tx)
}

func (tx *Tx) end() {
	tx.cancel()
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.over = true
}

// Get reads a key, linearizably. [api.CodeNotFound] where it is absent; then the Value tells the version of its absence. Of a
// value that the transaction itself has written, or made with [Tx.Add] or [Tx.AppendIfAbsent], the version is zero.
//
// In a Txn, what is read at different moments need not fit together until the commit has checked that it does: an error that
// rests on two reads may rest on a state that never was. [Client.View] shows one state only.
func (tx *Tx) Get(ctx context.Context, key api.Key) (Value, error) {
	es, err := tx.get(ctx, "get", []api.Key{key})
	if err != nil {
		return Value{}, err
	}
	e := es[0]
	v := Value{Value: e.Value, Version: e.Version, ServedBy: e.by, Owner: e.owner, Node: e.node}
	if !e.Exists {
		return v, &api.Error{Code: api.CodeNotFound, Op: "get", Key: key, Version: e.Version, Hint: "there is no such key"}
	}
	return v, nil
}

// GetAll reads keys, those that were not read yet in one round trip, and returns an Entry for each, in the order asked. A key
// that is absent is no error: its Entry does not Exist. [api.CodeTooLarge] where what comes in one trip is over some 16 MiB:
// then read in several.
func (tx *Tx) GetAll(ctx context.Context, keys ...api.Key) ([]api.Entry, error) {
	found, err := tx.get(ctx, "get all", keys)
	if err != nil {
		return nil, err
	}
	es := make([]api.Entry, 0, len(found))
	for i := range found {
		es = append(es, found[i].Entry)
	}
	return es, nil
}

// Put sets a key. [api.CodeInvalid] in a View, as for every write.
func (tx *Tx) Put(key api.Key, value []byte) error {
	return tx.write("put", api.Op{Kind: api.OpPut, Key: key, Value: value})
}

// Delete removes a key. To delete an absent one is no error.
func (tx *Tx) Delete(key api.Key) error {
	return tx.write("delete", api.Op{Kind: api.OpDelete, Key: key})
}

// Add adds delta to the key's value, a decimal integer of 64 bits (absent: 0), without reading it: transactions that only add
// to a key do not disturb each other. Where the value is no such integer, or the sum none, the transaction ends with
// [api.CodePreconditionFailed].
func (tx *Tx) Add(key api.Key, delta int64) error {
	return tx.write("add", api.Op{Kind: api.OpAdd, Key: key, Delta: delta})
}

// AppendIfAbsent appends value to the key's value unless that contains it already, without reading it; see
// [api.OpAppendIfAbsent]. Where the two together are over [api.MaxValueBytes], the transaction ends with [api.CodeTooLarge].
func (tx *Tx) AppendIfAbsent(key api.Key, value []byte) error {
	return tx.write("append_if_absent", api.Op{Kind: api.OpAppendIfAbsent, Key: key, Value: value})
}

func (tx *Tx) write(op string, o api.Op) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.usable(op, o.Key); err != nil {
		return err
	}
	err := tx.checkWrite(&o)
	if err != nil {
		tx.fault = failed(op, o.Key, err)
		return tx.fault
	}
	o.Value = bytes.Clone(o.Value)
	tx.steps = append(tx.steps, o)
	return nil
}

func (tx *Tx) checkWrite(o *api.Op) error {
	if tx.view {
		return api.Errorf(api.CodeInvalid, "a View only reads; write in a Txn")
	}
	if err := api.CheckKey(o.Key); err != nil {
		return err
	}
	if err := api.CheckValue(o.Value); err != nil {
		return err
	}
	return tx.grow(1, len(o.Key)+len(o.Value))
}

// usable tells whether the transaction goes on.
func (tx *Tx) usable(op string, key api.Key) error {
	if tx.over {
		return failed(op, key, api.Errorf(api.CodeInvalid, "the transaction's function has returned"))
	}
	return tx.fault
}

// grow counts what the transaction will send, if it is within the limits.
func (tx *Tx) grow(count, size int) error {
	if n := tx.count + count; n > api.MaxTxnOps {
		return api.Errorf(api.CodeTooLarge, "transaction of %d reads and writes is over the limit of %d operations", n, api.MaxTxnOps)
	}
	if n := tx.size + size; n > api.MaxTxnBytes {
		return api.Errorf(api.CodeTooLarge, "transaction of %d bytes is over the limit of %d bytes", n, api.MaxTxnBytes)
	}
	tx.count, tx.size = tx.count+count, tx.size+size
	return nil
}

// failed is err as one of the operation on the key.
func failed(op string, key api.Key, err error) error {
	e := *api.AsError(err)
	e.Op, e.Key = op, key
	return &e
}
