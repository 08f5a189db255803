package fsm

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// The time of a group is a number of milliseconds, [Meta.Now], that only log entries move on. It never falls. A leader that proposes
// a command with a Now states a lower bound of the time that has passed, so the greatest of them counts, whichever leader stated it.
//
// The deadline of a key is a value of group time; 0 means that it has none. A key whose deadline has passed is still there until an
// [Expire] ends it. docs/decisions/0038 describes the rules.

// MaxExpire bounds the keys of one Expire.
const MaxExpire = 1000

// maxTime bounds the times that commands name, so that no deadline overflows.
const maxTime = 1 << 53

// readTime reads a group time.
func readTime(r *codec.Reader) uint64 {
	x := r.Uint()
	if x > maxTime {
		r.Fail("a time over 53 bits")
		return 0
	}
	return x
}

// putNow writes the Now of a command that had none before level 5.
func putNow(w *codec.Writer, now uint64) {
	if Level(w.Format) >= Level5 {
		w.Uint(now)
	}
}

func readNow(r *codec.Reader) uint64 {
	if Level(r.Format) >= Level5 {
		return readTime(r)
	}
	return 0
}

// readDeadline reads the deadline of a key that has one.
func readDeadline(r *codec.Reader) uint64 {
	d := r.Uint()
	if d == 0 || d > 2*maxTime {
		r.Fail("a deadline that cannot be")
	}
	return d
}

// deadlineOf returns the deadline of what lives for the ttl from now on, or 0 if ttl is 0. It rounds up: no key ends early.
func deadlineOf(now uint64, ttl time.Duration) uint64 {
	if ttl == 0 {
		return 0
	}
	return now + uint64((ttl+time.Millisecond-1)/time.Millisecond)
}

// noteDeadline adds the deadline of the newest of n entries to those of the others. There is none while all are 0.
func noteDeadline(ds []uint64, n int, d uint64) []uint64 {
	if d == 0 && len(ds) == 0 {
		return nil
	}
	return append(append(ds, make([]uint64, n-1-len(ds))...), d)
}

const kindTick kind = 27

// Tick moves the time of the group on to Now, if that is later.
type Tick struct {
	Term api.Term
	Now  uint64
}

func (Tick) kind() kind                          { return kindTick }
func (c Tick) judgedIn() api.Term                { return c.Term }
func (c Tick) put(w *codec.Writer)               { w.Uint(uint64(c.Term)); w.Uint(c.Now) }
func readTick(r *codec.Reader) Tick              { return Tick{api.Term(r.Uint()), readTime(r)} }
func (t *tx) tick(c *Tick, _ *Result) *api.Error { t.pass(c.Now); t.meta.Now = t.now; return nil }
func (t *tx) pass(now uint64)                    { t.now = max(t.now, now) }

const kindExpire kind = 28

// Expire ends keys whose deadline has passed. Each key is judged by itself: it ends if it is still at that version, its deadline is
// at or before the group's time, no transaction has locked it, and no live lease on it is outside Cleared and Killed. A key that
// ends becomes absent, at a version with the index of the command. Result.Left names the others in the order of Keys;
// Result.Holders and Result.Intents say what is in the way of those that could end otherwise.
//
// The Expire as a whole is refused only if it is malformed, or was judged in another term. What it names in Cleared and Killed ends
// whether keys do or not.
type Expire struct {
	Term api.Term
	Now  uint64
	// Keys are at most [MaxExpire], as [Machine.Due] returned them.
	Keys []KeyVersion
	// Cleared and Killed are as in a Write.
	Cleared []ident.DroppedLease
	Killed  []ident.SessionID
}

// KeyVersion is a key at a version.
type KeyVersion struct {
	Key     api.Key
	Version api.Version
}

func (Expire) kind() kind           { return kindExpire }
func (c Expire) judgedIn() api.Term { return c.Term }

// size is near the size of the command's bytes.
func (c Expire) size() int {
	n := 48*len(c.Cleared) + 16*len(c.Killed)
	for i := range c.Keys {
		n += len(c.Keys[i].Key) + 12
	}
	return n
}

func (c Expire) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	w.Uint(c.Now)
	codec.PutList(w, c.Keys, func(w *codec.Writer, k *KeyVersion) { w.Text(string(k.Key)); w.Version(k.Version) })
	codec.PutList(w, c.Cleared, putDropped)
	codec.PutList(w, c.Killed, putSessionID)
}

func readExpire(r *codec.Reader) Expire {
	return Expire{
		Term: api.Term(r.Uint()), Now: readTime(r),
		Keys: codec.List(r, MaxExpire, 4, func(r *codec.Reader) KeyVersion {
			return KeyVersion{r.KeyName(), r.Version()}
		}),
		Cleared: readDropped(r), Killed: readSessions(r),
	}
}

// expireKeys ends the keys that may end.
func (t *tx) expireKeys(c *Expire, res *Result) *api.Error {
	if err := t.tooMany(c.Killed); err != nil {
		return err
	}
	t.pass(c.Now)
	t.meta.Now = t.now
	t.kill(c.Killed, nil, res)
	t.drop(c.Cleared) // the live leases that are left are in the way
	var f found
	for i := range c.Keys {
		x := &c.Keys[i]
		row, lapsed := t.lapsed(x, &f, res)
		if !lapsed {
			res.Left = append(res.Left, x.Key)
			continue
		}
		o, _ := t.shardOf(x.Key)
		t.removeRow(x.Key, row)
		t.gone(x.Key, api.Version{Epoch: o.Epoch, Index: t.index}, api.EventExpire)
	}
	res.Intents = f.intents
	return nil
}

// lapsed returns the key's row and reports whether the key may end. It adds the intents and leases that are in the way.
func (t *tx) lapsed(x *KeyVersion, f *found, res *Result) (row []byte, ok bool) {
	row, ok = t.get(t.key.ofKey(tableKV, x.Key))
	if !ok {
		return nil, false
	}
	v := valueOf(row)
	if v.deadline == 0 || v.deadline > t.now || v.version != x.Version && guardExpireVersion {
		return nil, false
	}
	if in, ok := t.intents(x.Key); ok {
		if len(f.intents) < MaxNamedIntents {
			f.add(&t.view, x.Key, &in)
		}
		return nil, false
	}
	holders := t.leased(x.Key).holders
	if len(holders) == 0 || !guardExpireUnderLease {
		return row, true
	}
	for _, l := range holders {
		res.Holders = append(res.Holders, t.holder(x.Key, l))
	}
	return nil, false
}

// touch moves the deadline of a key that exists. Its version stays.
func (t *tx) touch(k api.Key, deadline uint64) {
	row, _ := t.get(t.key.ofKey(tableKV, k))
	x := valueOf(row)
	t.undue(k, row)
	x.deadline = deadline
	t.due(k, deadline)
	t.set(t.key.ofKey(tableKV, k), x.row())
}

// due notes the deadline of a key.
func (t *tx) due(k api.Key, deadline uint64) {
	t.set(t.key.due(deadline, k), nil)
	t.meta.Deadlines++
}

// undue drops the note of the deadline of a key, if its row has one.
func (t *tx) undue(k api.Key, row []byte) {
	if row[0] != timed {
		return
	}
	t.del(t.key.due(valueOf(row).deadline, k))
	t.meta.Deadlines--
}

// Due is a key that has a deadline.
type Due struct {
	Key      api.Key
	Version  api.Version
	Deadline uint64
}

// maxDueBytes is how many bytes of rows end what DueAfter returns, and so what one Expire has to read.
const maxDueBytes = 8 << 20

// Due returns the keys whose deadline is at or before now, by deadline and key, at most limit of them, and fewer if they are large.
func (m *Machine) Due(now uint64, limit int) []Due { return m.DueAfter(Due{}, now, limit) }

// DueAfter is like Due, but returns only keys that come after the named one, by deadline and key. So keys that cannot end yet are
// passed over.
func (m *Machine) DueAfter(after Due, now uint64, limit int) (due []Due) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	if v.meta.Deadlines == 0 || limit <= 0 {
		return nil
	}
	lo := append(slices.Clone(v.key.due(after.Deadline, after.Key)), 0)
	if after.Deadline == 0 {
		lo = []byte{tableDue}
	}
	hi := slices.Clone(v.key.due(min(now, 2*maxTime)+1, ""))
	v.scan(lo, hi, func(k, _ []byte) bool {
		r := codec.Reader{B: k[1:]}
		due = append(due, Due{Deadline: r.Fixed64(), Key: api.Key(r.B)})
		return len(due) < limit
	})
	size := 0
	for i := range due {
		if row, ok := v.get(v.key.ofKey(tableKV, due[i].Key)); ok {
			due[i].Version = valueOf(row).version
			size += len(row)
		}
		if size >= maxDueBytes {
			return due[:i+1]
		}
	}
	return due
}

// Overdue returns those of the keys whose deadline is at or before now, in their order, each once.
func (m *Machine) Overdue(keys []api.Key, now uint64) (due []Due) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	if v.meta.Deadlines == 0 {
		return nil
	}
	for _, k := range keys {
		row, ok := v.get(v.key.ofKey(tableKV, k))
		if !ok || row[0] != timed {
			continue
		}
		x := valueOf(row)
		if x.deadline > now || slices.ContainsFunc(due, func(d Due) bool { return d.Key == k }) {
			continue
		}
		due = append(due, Due{Key: k, Version: x.version, Deadline: x.deadline})
	}
	return due
}

// Now returns the time of the group, in milliseconds.
func (m *Machine) Now() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.meta.Now
}
