package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// Tx is a running transaction. The function given to [Client.Txn] or [Client.View] reads and writes through it. A Tx sees its own
// writes, and each key as it was when the Tx first read it. It is safe for concurrent use. Once the function has returned, its
// methods fail with [api.CodeInvalid]. Keys and values are copied in both directions.
//
// Reads and writes count together: a transaction has at most [api.MaxTxnOps] keys read and writes, and at most [api.MaxTxnBytes]
// bytes of keys and written values. One that only reads has at most [api.MaxReadKeys] keys. An operation over a limit fails with [api.CodeTooLarge] at once. If a write fails, the whole
// transaction fails, even if the function ignores the error.
type Tx struct {
	c      *Client
	ctx    context.Context // ends with the function, or when the transaction's time is up
	cancel context.CancelFunc
	view   bool
	turn   chan struct{} // used by a View: holds one element during a read

	mu     sync.Mutex
	over   bool  // guarded by mu, as all below: the function has returned
	fault  error // why a write was refused, or why a View must start again
	read   map[api.Key]found
	order  []api.Key // the keys of read
	steps  []api.Op
	guards []api.Cond // that locks are held
	count  int        // against api.MaxTxnOps
	size   int        // against api.MaxTxnBytes
	// reads is how many answers filled read. If it is 1 and that answer is a snapshot, no check is needed.
	reads    int
	snapshot bool
	// cached and moved are used by a View. cached has what an earlier run read and this run has not, as of the same instant as
	// read. moved is what the next run begins with.
	cached, moved map[api.Key]found
}

// found is a key as it was read, and the node that answered.
type found struct {
	api.Entry
	by    api.ServedBy
	owner api.GroupID
	node  api.NodeID
}

// newTx returns a transaction whose time is bounded by ctx.
func (c *Client) newTx(ctx context.Context, view bool) *Tx {
	tx := &Tx{c: c, view: view, turn: make(chan struct{}, 1), read: map[api.Key]found{}}
	tx.ctx, tx.cancel = context.WithCancel(ctx)
	return tx
}

// run runs the function once. A panic is passed on.
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

// Get returns the value of key. The read is linearizable. If the key is absent, the error is [api.CodeNotFound], and the Value
// has the version of the absence. If the transaction itself has written the key, or changed it with a function
// such as [Tx.Add], the version is zero. The read counts against the limits of the transaction; one over them fails with
// [api.CodeTooLarge].
//
// In a Txn, reads at different moments need not be consistent with each other until the commit has checked them. So an error that
// is based on two reads may be based on a state that never existed. In a [Client.View] all reads are of one state.
func (tx *Tx) Get(ctx context.Context, key api.Key) (Value, error) {
	es, err := tx.get(ctx, "get", []api.Key{key})
	if err != nil {
		return Value{}, err
	}
	e := es[0]
	v := Value{Value: e.Value, Version: e.Version, ServedBy: e.by, Owner: e.owner, Node: e.node, TTL: e.TTL}
	if !e.Exists {
		return v, &api.Error{Code: api.CodeNotFound, Op: "get", Key: key, Version: e.Version, Hint: "there is no such key"}
	}
	return v, nil
}

// GetAll returns an Entry for each key, in the given order. Keys that the transaction has not read yet are read in one round
// trip. An absent key is not an error: its Entry has Exists false. The error is [api.CodeTooLarge] if the values of one round
// trip are over about 16 MiB; in that case read the keys in several calls.
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

// Put sets key to value. Like every write it is carried out when the transaction commits, and fails with [api.CodeInvalid] in a
// View. An invalid key or value fails with [api.CodeInvalid] or [api.CodeTooLarge]. The key expires if [TTL] or [KeepTTL] says so, which
// are the only options; the time of a TTL begins with the commit.
func (tx *Tx) Put(key api.Key, value []byte, opts ...WriteOption) error {
	return tx.writeExpiring("put", api.Op{Kind: api.OpPut, Key: key, Value: value}, opts)
}

// Delete removes key. Deleting an absent key is not an error.
func (tx *Tx) Delete(key api.Key) error {
	return tx.write("delete", api.Op{Kind: api.OpDelete, Key: key})
}

// Add adds delta to the key's value without reading it. The value is a decimal integer of 64 bits; an absent key counts as 0.
// Transactions that only add to a key do not conflict with each other. If the value is not such an integer, or the sum does not
// fit into one, the transaction fails with [api.CodePreconditionFailed].
func (tx *Tx) Add(key api.Key, delta int64) error {
	return tx.write("add", api.Op{Kind: api.OpAdd, Key: key, Delta: delta})
}

// AppendIfAbsent appends value to the key's value without reading it, unless the key's value already contains value; see
// [api.OpAppendIfAbsent]. If the result would be over [api.MaxValueBytes], the transaction fails with [api.CodeTooLarge].
func (tx *Tx) AppendIfAbsent(key api.Key, value []byte) error {
	return tx.write("append_if_absent", api.Op{Kind: api.OpAppendIfAbsent, Key: key, Value: value})
}

// Append appends value to the key's value without reading it; see [api.OpAppend]. The options are those of [Tx.Put]. If the result
// would be over [api.MaxValueBytes], the transaction fails with [api.CodeTooLarge].
func (tx *Tx) Append(key api.Key, value []byte, opts ...WriteOption) error {
	return tx.writeExpiring("append", api.Op{Kind: api.OpAppend, Key: key, Value: value}, opts)
}

// Sum64 adds n to the key's value without reading it: an unsigned integer in 8 bytes, little endian. The sum wraps. An absent key
// gets n. The options are those of [Tx.Put]. If the value has another length, the transaction fails with
// [api.CodePreconditionFailed]. [Tx.Add] is for decimal integers.
func (tx *Tx) Sum64(key api.Key, n uint64, opts ...WriteOption) error {
	return tx.fold("sum64", api.OpSum64, key, n, opts)
}

// Min64 is like [Tx.Sum64], but writes the lesser of n and the key's value.
func (tx *Tx) Min64(key api.Key, n uint64, opts ...WriteOption) error {
	return tx.fold("min64", api.OpMin64, key, n, opts)
}

// Max64 is like [Tx.Sum64], but writes the greater of n and the key's value.
func (tx *Tx) Max64(key api.Key, n uint64, opts ...WriteOption) error {
	return tx.fold("max64", api.OpMax64, key, n, opts)
}

func (tx *Tx) fold(name string, kind api.OpKind, key api.Key, n uint64, opts []WriteOption) error {
	return tx.writeExpiring(name, api.Op{Kind: kind, Key: key, Value: binary.LittleEndian.AppendUint64(nil, n)}, opts)
}

func (tx *Tx) write(op string, o api.Op) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.usable(op, o.Key); err != nil {
		return err
	}
	if err := tx.checkWrite(&o); err != nil {
		tx.fault = failed(op, o.Key, err)
		return tx.fault
	}
	o.Value = bytes.Clone(o.Value)
	tx.steps = append(tx.steps, o)
	return nil
}

// refuse fails the transaction because of a write that is not possible.
func (tx *Tx) refuse(op string, key api.Key, err error) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.usable(op, key); err != nil {
		return err
	}
	tx.fault = failed(op, key, err)
	return tx.fault
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
	if o.Kind == api.OpTouch {
		if err := api.CheckTTL(o.TTL); err != nil {
			return err
		}
	}
	return tx.grow(1, len(o.Key)+len(o.Value))
}

// usable returns nil if the transaction can go on.
func (tx *Tx) usable(op string, key api.Key) error {
	if tx.over {
		return failed(op, key, api.Errorf(api.CodeInvalid, "the transaction's function has returned"))
	}
	return tx.fault
}

// grow counts operations and bytes that the transaction will send. It returns CodeTooLarge if they are over the limits.
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

// failed returns err as an error of the operation on the key.
func failed(op string, key api.Key, err error) error {
	e := *api.AsError(err)
	e.Op, e.Key = op, key
	return &e
}
