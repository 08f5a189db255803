// Package engine is the ordered keyspace under a group's machine: byte strings to byte strings, in bytewise order, with
// atomic batches and snapshots. Nothing here knows what the bytes mean, and nothing above may assume that they fit in
// memory. Every engine passes the suite in this package's tests.
package engine

// Reader is a consistent view of a keyspace.
type Reader interface {
	// Get returns the value of the key. The value must not be changed, nor kept past the view unless copied. The engine
	// does not keep key.
	Get(key []byte) (value []byte, ok bool, err error)
	// Scan visits the keys from lo (included) to hi (excluded; nil is the end) in order, or from the last to the first
	// if reverse, until visit returns false. The rules of Get hold for the key and the value that visit gets. visit must not
	// call the engine or the batch that is being scanned.
	Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) (more bool)) error
}

// Batch gathers changes and makes them all at once. Its reads see its own writes on top of the engine. It belongs to one
// goroutine, and ends with Commit or Discard.
type Batch interface {
	Reader
	// Set gives the key, which is not empty, a value. The engine copies k; it may keep v, which the caller must not change any more.
	Set(k, v []byte) error
	// Insert is Set of a key that is certainly absent. If it is deleted soon, it leaves nothing on disk.
	Insert(k, v []byte) error
	// Delete removes the key. An absent key is no error.
	Delete(k []byte) error
	// Commit makes the changes, atomically, and ends the batch.
	Commit() error
	// Discard ends the batch without any change. After Commit it does nothing.
	Discard()
}

// Engine is one keyspace. Its own reads see the newest committed state, each Get and each Scan by itself. Reads and
// snapshots are safe for concurrent use, also beside one writer; there is at most one Batch or Load at a time.
type Engine interface {
	Reader
	NewBatch() Batch
	// NewLoad begins a new content that replaces the present one as a whole when it is committed.
	NewLoad() (Load, error)
	// Snapshot returns the present state, unaffected by later writes. It takes a time that does not depend on the size.
	Snapshot() Snapshot
	// Clear removes all keys at once.
	Clear() error
	// Close releases what the engine holds. Snapshots must be closed before it.
	Close() error
}

// Durable is an engine whose state outlives the process. A batch is on disk some time after its Commit, in the order of the
// commits and each as a whole: what a crash leaves is the state after one of them, at least that of the last Flush. A Load,
// Adopt or Clear is on disk when it has returned.
type Durable interface {
	Engine
	// Flush returns when everything that was committed before the call is on disk. It does not stop writes.
	Flush() error
	// Checkpoint makes the folder dir, which does not exist, a copy of the state after some batch, at or after the last that
	// was committed before the call. If the file system can, the copy shares unchanged files with the engine, so that
	// its cost does not depend on the size. It does not stop writes. After an error dir may exist, and is useless.
	Checkpoint(dir string) error
	// Adopt replaces the content as a whole by that of a checkpoint, which stays as it is. Before that, check reads the
	// new content; if it returns an error, the engine keeps its content.
	Adopt(dir string, check func(Reader) error) error
}

// Snapshot is an immutable state, safe for concurrent use until Close.
type Snapshot interface {
	Reader
	Close() error
}

// Load fills an engine with a new content, in bounded memory beyond what the engine itself takes.
type Load interface {
	// Set adds a key, greater than every one before. Both k and v are as in Batch.Set.
	Set(k, v []byte) error
	// Commit atomically replaces the engine's content, and ends the load.
	Commit() error
	// Discard ends the load; the engine keeps what it had. After Commit it does nothing.
	Discard()
}
