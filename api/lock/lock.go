// Package lock keeps locks with owners in an [api.Store], as a recipe of transactions with times to live and of a watch. No part of
// the store knows what a lock is.
//
// The lock NAME is the directory NAME/.lock/. Each contender has an entry in it, NAME/.lock/ID, that lives for the ttl of the lock
// and is kept alive by touches. The entry with the lowest version holds the lock, so that locks are given in the order in which they
// were asked for. The version of the entry, as one integer, is the fence of the tenure: it rises from one tenure to the next.
//
// Entries are written by transactions of one group alone, without a request id: the entry itself is the record of a request. A
// front refuses all other writes of such keys ([Reserved]).
package lock

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

// segment is the segment of a key that makes it a lock's.
const segment = ".lock"

const (
	// MaxNameBytes bounds the name of a lock.
	MaxNameBytes = 1024
	// MaxOwnerBytes bounds the text of an owner.
	MaxOwnerBytes = 1024
	// MaxContenders bounds the entries of a lock: a list of [api.MaxListLimit] entries may not be the whole.
	MaxContenders = api.MaxListLimit - 1
	// MaxWait bounds how long one request waits for a lock.
	MaxWait = time.Hour
	// idBytes is the length of an ID, before it is written in hexadecimal digits.
	idBytes = 16
	// marks is the beginning, within the directory of a lock, of the keys that say which attempt of a repeated request is the newest. They
	// stand behind all entries, so that a list of the directory has no mark unless it has every entry.
	marks = "try/"
)

// Reserved reports whether only locks may write the key: one of its segments is .lock.
func Reserved(k api.Key) bool {
	for s := range strings.SplitSeq(string(k), "/") {
		if s == segment {
			return true
		}
	}
	return false
}

// CheckTxn refuses, with CodeInvalid, a transaction that writes or touches the entry of a lock. Only locks write them, with transactions
// of one group: an entry that is prepared would become visible later than its version says, below one that holds the lock already.
func CheckTxn(t *api.Txn) error {
	for _, branch := range [2][]api.Op{t.Then, t.Else} {
		for i := range branch {
			if o := &branch[i]; guardReserved && !o.ReadsOnly() && Reserved(o.Key) {
				return &api.Error{Code: api.CodeInvalid, Op: "txn", Key: o.Key,
					Hint: "keys with a segment .lock belong to locks: ask for one at /v1/locks; conditions on such a key are allowed"}
			}
		}
	}
	return nil
}

// CheckName returns nil if name is the name of a lock, CodeInvalid or CodeTooLarge if it is not: 1 to [MaxNameBytes] bytes, of which
// no segment is .lock, and which neither begins nor ends with a slash.
func CheckName(name string) error {
	switch {
	case name == "":
		return &api.Error{Code: api.CodeInvalid, Op: "lock", Hint: "the name of the lock is empty"}
	case len(name) > MaxNameBytes:
		return api.Errorf(api.CodeTooLarge, "name of a lock of %d bytes is over the limit of %d bytes", len(name), MaxNameBytes)
	case Reserved(api.Key(name)):
		return api.Errorf(api.CodeInvalid, "the name of a lock has no segment %s", segment)
	case name[0] == '/' || name[len(name)-1] == '/':
		return api.Errorf(api.CodeInvalid, "the name of a lock neither begins nor ends with a slash")
	}
	return nil
}

// Directory returns the beginning of the keys of a lock.
func Directory(name string) api.Key { return api.Key(name + "/" + segment + "/") }

// Key returns the key of the entry with the ID. A condition on its version is a condition that the tenure lasts.
func Key(name, id string) api.Key { return Directory(name) + api.Key(id) }

// Fence returns the version of an entry as one integer, which rises as versions do. A JSON number holds it exactly up to epoch 8191.
func Fence(v api.Version) uint64 { return v.Integer() }

// versionOf returns the version that a fence stands for while the group has carried out fewer than 2^40 commands.
func versionOf(fence uint64) api.Version { return api.VersionOf(fence) }

// IDOf returns the ID of the contender whose requests have the Idempotency-Key, in the space of a principal.
func IDOf(space, idempotencyKey string) string {
	sum := sha256.Sum256([]byte("lock\x00" + space + "\x00" + idempotencyKey))
	return hex.EncodeToString(sum[:idBytes])
}

// random returns an ID that no other contender has.
func random() string {
	var b [idBytes]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// checkID returns CodeInvalid if id is not an ID.
func checkID(id string) error {
	if b, err := hex.DecodeString(id); err != nil || len(b) != idBytes || strings.ToLower(id) != id {
		return api.Errorf(api.CodeInvalid, "id %.40q is not one that a lock was given under: %d hexadecimal digits", id, 2*idBytes)
	}
	return nil
}

// Request asks for a lock.
type Request struct {
	Name string
	// TTL is how long the lock is held after the last request that renews it: [api.MinTTL] to [api.MaxTTL].
	TTL time.Duration
	// Wait is how long to wait if the lock is held, up to [MaxWait]; 0 tries once.
	Wait time.Duration
	// Owner is the text that names the holder of the lock to other clients: at most [MaxOwnerBytes] bytes.
	Owner string
	// ID is that of [IDOf], if the request may be repeated: a repetition finds its entry, its place and its fence. "" draws one.
	ID string
	// Waiting, if not nil, is called once if the request begins to wait.
	Waiting func()
}

// Check returns nil if the request is valid, and CodeInvalid or CodeTooLarge if it is not.
func (r *Request) Check() error {
	if err := CheckName(r.Name); err != nil {
		return err
	}
	if err := api.CheckTTL(r.TTL); err != nil {
		return err
	}
	if r.ID != "" {
		if err := checkID(r.ID); err != nil {
			return err
		}
	}
	if r.Wait < 0 || r.Wait > MaxWait {
		return api.Errorf(api.CodeInvalid, "wait %v is not from 0 to %v", r.Wait, MaxWait)
	}
	if n := len(r.Owner); n > MaxOwnerBytes {
		return api.Errorf(api.CodeTooLarge, "owner of %d bytes is over the limit of %d bytes", n, MaxOwnerBytes)
	}
	return nil
}

// Held is a tenure of a lock.
type Held struct {
	ID string
	// Fence is greater than that of every earlier tenure of the lock.
	Fence   uint64
	Version api.Version // of the entry, of which Fence is another form
	TTL     time.Duration
}

func held(id string, v api.Version, ttl time.Duration) *Held {
	return &Held{ID: id, Fence: Fence(v), Version: v, TTL: ttl}
}

// Contender is one entry of a lock: the holder, or one that waits.
type Contender struct {
	Held
	Owner string
}

// State is the holder of a lock and the clients that wait for it.
type State struct {
	Holder *Contender // nil if the lock is free
	Queue  []Contender
}

// value is what an entry holds.
type value struct {
	Owner string `json:"owner"`
	TTL   string `json:"ttl"`
}

func valueOf(owner string, ttl time.Duration) []byte {
	b, err := json.Marshal(value{Owner: owner, TTL: ttl.String()})
	if err != nil {
		panic(err) // it consists of text
	}
	return b
}

// parseValue reads what valueOf has written; what is not that has no owner.
func parseValue(b []byte) (owner string, ttl time.Duration) {
	var v value
	if json.Unmarshal(b, &v) != nil {
		return "", 0
	}
	ttl, _ = time.ParseDuration(v.TTL) // 0 is none
	return v.Owner, ttl
}

// idOf returns the ID of an entry's key, "" if the key is not that of an entry.
func idOf(directory, k api.Key) string {
	id := strings.TrimPrefix(string(k), string(directory))
	if checkID(id) != nil {
		return ""
	}
	return id
}
