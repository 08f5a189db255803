package consul

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// row is a client's key as it is stored.
type row struct {
	name                         string
	data, created, flags, locked api.Entry
	lock                         lock // what locked holds
}

// lock is what the sibling of a locked key holds.
type lock struct {
	Session string `json:"session,omitempty"` // whose key must exist for the lock to be held
	Index   uint64 `json:"index,omitempty"`   // how often the lock was taken
	Delete  bool   `json:"delete,omitempty"`  // the end of the session deletes the key
	// After is a session that had the lock when it ended: nothing may take the lock before its lock-delay is over.
	After string `json:"after,omitempty"`
}

// siblings of a value, in the order in which they are read after it.
var siblings = [3]string{created, flags, locked}

// keys returns the keys of a row.
func keysOf(name string) []api.Key {
	k := dataKey(name)
	return []api.Key{k, k + created, k + flags, k + locked}
}

// set takes over what is stored as the value, or as a sibling.
func (r *row) set(sibling string, e *api.Entry) {
	switch sibling {
	case "":
		r.data = *e
	case created:
		r.created = *e
	case flags:
		r.flags = *e
	case locked:
		r.locked = *e
		_ = json.Unmarshal(e.Value, &r.lock) // what is no lock holds none
	}
}

// session is a session as it is stored.
type session struct {
	Name      string        `json:"name,omitempty"`
	Node      string        `json:"node"`
	TTL       string        `json:"ttl,omitempty"` // as the client wrote it
	LockDelay time.Duration `json:"lock_delay"`
	Behavior  string        `json:"behavior"`
	Checks    []string      `json:"checks,omitempty"`
}

func parseSession(e *api.Entry) (s session) {
	_ = json.Unmarshal(e.Value, &s) // what is no session has no properties
	return s
}

// ttl is how long the session lives after it was created or renewed; 0 is for ever.
func (s *session) ttl() time.Duration {
	d, _ := time.ParseDuration(s.TTL)
	return d
}

// cell is a client's key as a client sees it.
type cell struct {
	*row
	exists  bool
	value   []byte
	flag    uint64
	create  uint64 // CreateIndex; 0 is that of the transaction at hand
	modify  uint64 // ModifyIndex; 0 is that of the transaction at hand
	taken   uint64 // LockIndex
	session string // that holds the lock
	after   string // a session that has ended, and whose lock-delay counts for the lock
	index   uint64 // of a query of this key

	// What an evaluation has done with it.
	wrote      bool
	deletes    bool // with the end of the session that has taken the lock
	onData     bool // the outcome depends on the value's version
	onDelay    bool // the outcome depends on the lock-delay being over
	recreated  bool // the key was absent
	delayed    bool // the lock-delay lasts
	requires   []api.Key
	wasHeld    bool // lock.Session exists
	hadSession bool // the lock names a session
}

// newCell returns what a client sees of a row. holder is the key of the session that the row's lock names; nil if it names none.
func newCell(r *row, holder *api.Entry) *cell {
	c := &cell{row: r, exists: r.data.Exists, value: r.data.Value, modify: r.data.Version.Integer(), taken: r.lock.Index, after: r.lock.After}
	c.create, c.index = c.modify, c.modify
	if r.created.Exists {
		c.create = r.created.Version.Integer()
	}
	if r.flags.Exists {
		c.flag, _ = strconv.ParseUint(string(r.flags.Value), 10, 64) // what is no number is none
	}
	if c.hadSession = r.lock.Session != ""; c.hadSession && holder != nil {
		if c.wasHeld = holder.Exists; c.wasHeld {
			c.session, c.deletes = r.lock.Session, r.lock.Delete
		} else {
			c.after = r.lock.Session
			c.modify = max(c.modify, holder.Version.Integer())
			c.index = max(c.index, c.modify)
			c.exists = c.exists && !r.lock.Delete
		}
	}
	if !c.exists {
		c.clear()
	}
	return c
}

// clear makes the cell that of an absent key.
func (c *cell) clear() {
	c.exists, c.value, c.flag, c.create, c.taken, c.session, c.deletes = false, nil, 0, 0, 0, "", false
}

// pair is a key as the protocol has it.
type pair struct {
	LockIndex   uint64
	Key         string
	Flags       uint64
	Value       []byte // null if it is empty
	Session     string `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64

	absent bool // there is no such key
}

func (c *cell) pair(withValue bool) *pair {
	p := &pair{LockIndex: c.taken, Key: c.name, Flags: c.flag, Session: c.session, CreateIndex: c.create, ModifyIndex: c.modify, absent: !c.exists}
	if p.absent {
		p.ModifyIndex = 0
	}
	if withValue && len(c.value) > 0 {
		p.Value = c.value
	}
	return p
}
