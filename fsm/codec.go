package fsm

import (
	"math"

	"github.com/edgehold/edgehold/api"
)

// Encode returns the command as it stands in the log of a group of that level: the first byte is the version, which is the
// level, the second is the kind.
func Encode(c Command, level Level) []byte {
	w := writer{b: make([]byte, 0, sizeHint(c)), level: level}
	w.byte(byte(level))
	w.byte(byte(c.kind()))
	c.put(&w)
	return w.b
}

// sizeHint is near the encoded size of what is often large.
func sizeHint(c Command) int {
	n := 64
	switch c := c.(type) {
	case Write:
		n += txnSize(&c.Txn) + 48*len(c.Cleared) + 16*len(c.Killed)
	case Grant:
		for i := range c.Items {
			n += 48
			for _, k := range c.Items[i].Keys {
				n += len(k) + 16
			}
		}
	}
	return n
}

// Decode takes apart what Encode wrote, and refuses everything else with CodeInvalid. Values share memory with b, which
// must not change while they are used; keys do not.
func Decode(b []byte) (Command, Level, error) {
	r := reader{b: b}
	version, k := head(&r)
	c := read(k, &r)
	if err := endOf(&r); err != nil {
		return nil, 0, err
	}
	return c, version, nil
}

// endOf tells what is wrong with the command that was read; nil where nothing is.
func endOf(r *reader) *api.Error {
	if r.end(); r.bad != "" {
		return api.Errorf(api.CodeInvalid, "malformed command: %s", r.bad)
	}
	return nil
}

// head reads what stands before a command.
func head(r *reader) (Level, kind) {
	r.level = Level(r.byte())
	if r.bad == "" && (r.level == 0 || r.level > NewestLevel) {
		r.fail("a format version that this program does not know")
	}
	return r.level, kind(r.byte())
}

func read(k kind, r *reader) Command {
	switch k {
	case kindInit:
		return readInit(r)
	case kindTermStart:
		return TermStart{api.NodeID(r.name())}
	case kindWrite:
		return readWrite(r)
	case kindGrant:
		return Grant{api.Term(r.uint()), list(r, maxItems, 20, readItem)}
	case kindSessionOpen:
		return SessionOpen{api.NodeID(r.name()), r.array16(), r.time(), r.time()}
	case kindSessionClose:
		return SessionClose{r.session(), r.array16()}
	case kindSuspect:
		return Suspect{api.Term(r.uint()), r.session()}
	case kindUnsuspect:
		return Unsuspect{api.Term(r.uint()), r.session()}
	case kindKill:
		return Kill{api.Term(r.uint()), readSessions(r)}
	case kindRelease:
		return Release{readDropped(r)}
	case kindCede:
		return readCede(r)
	case kindAdopt:
		return readAdopt(r)
	case kindTrimTombstones:
		return TrimTombstones{api.Term(r.uint()), r.uint(), readLimit(r)}
	case kindAdvanceDedupEpoch:
		return AdvanceDedupEpoch{api.Term(r.uint())}
	case kindExpireDedup:
		return ExpireDedup{api.Term(r.uint()), readLimit(r)}
	}
	return readTxnCommand(k, r)
}

func readTxnCommand(k kind, r *reader) Command {
	switch k {
	case kindPrepare:
		return readPrepare(r)
	case kindDecide:
		return readDecide(r)
	case kindPush:
		return Push{readTxnRef(r)}
	case kindCommitLast:
		return readCommitLast(r)
	case kindResolve:
		return Resolve{readGroup(r), readTxnID(r), readOutcome(r)}
	case kindResolved:
		return Resolved{readTxnID(r), readGroup(r)}
	case kindForget:
		return Forget{r.array16(), r.uint()}
	case kindSetLevel:
		return readSetLevel(r)
	case kindReap:
		return Reap{api.Term(r.uint()), readLimit(r)}
	}
	r.fail("a kind of command that this program does not know")
	return nil
}

func (c TermStart) put(w *writer)         { w.text(string(c.Node)) }
func (c SessionClose) put(w *writer)      { w.session(c.Session); w.raw(c.Nonce[:]) }
func (c Suspect) put(w *writer)           { w.uint(uint64(c.Term)); w.session(c.Session) }
func (c Unsuspect) put(w *writer)         { w.uint(uint64(c.Term)); w.session(c.Session) }
func (c Kill) put(w *writer)              { w.uint(uint64(c.Term)); putList(w, c.Sessions, putSession) }
func (c Release) put(w *writer)           { putList(w, c.Leases, putDropped) }
func (c AdvanceDedupEpoch) put(w *writer) { w.uint(uint64(c.Term)) }

func (c SessionOpen) put(w *writer) {
	w.text(string(c.Node))
	w.raw(c.Nonce[:])
	w.time(c.T)
	w.time(c.P)
}

func (c Grant) put(w *writer) {
	w.uint(uint64(c.Term))
	putList(w, c.Items, putItem)
}

func putItem(w *writer, i *GrantItem) {
	w.session(i.Session)
	w.raw(i.Nonce[:])
	putList(w, i.Keys, putKey)
	putList(w, i.Known, putVersion)
}

func readItem(r *reader) GrantItem {
	i := GrantItem{
		Session: r.session(), Nonce: r.array16(),
		Keys:  list(r, api.MaxReadKeys, 2, (*reader).keyName),
		Known: list(r, api.MaxReadKeys, 2, (*reader).version),
	}
	if len(i.Known) != 0 && len(i.Known) != len(i.Keys) {
		r.fail("known versions that are not one for each key")
	}
	return i
}

func (c Init) put(w *writer) {
	w.text(string(c.Group))
	w.uint(c.Incarnation)
	putList(w, c.Shards, putShard)
	w.time(c.MaxTerm)
	w.time(c.MaxPause)
}

func readInit(r *reader) Init {
	return Init{api.GroupID(r.name()), r.uint(), list(r, maxShards, 5, readShard), r.time(), r.time()}
}

func (c TrimTombstones) put(w *writer) {
	w.uint(uint64(c.Term))
	w.uint(c.Below)
	w.uint(uint64(max(c.Limit, 0)))
}

func (c ExpireDedup) put(w *writer) {
	w.uint(uint64(c.Term))
	w.uint(uint64(max(c.Limit, 0)))
}

func readLimit(r *reader) int {
	x := r.uint()
	if x > math.MaxInt32 {
		r.fail("a limit over 31 bits")
		return 0
	}
	return int(x)
}

func (c Write) put(w *writer) {
	w.uint(uint64(c.Term))
	putID(w, &c.Txn.ID)
	putBody(w, &c.Txn)
	putList(w, c.Cleared, putDropped)
	putList(w, c.Killed, putSession)
}

func readWrite(r *reader) Write {
	c := Write{Term: api.Term(r.uint())}
	c.Txn.ID = readID(r)
	readBody(r, &c.Txn)
	c.Cleared = readDropped(r)
	c.Killed = readSessions(r)
	return c
}

func (c Cede) put(w *writer) {
	w.uint(uint64(c.Term))
	putRange(w, c.Range)
	w.uint(c.Epoch)
	putList(w, c.To, putGroup)
	putList(w, c.Cleared, putDropped)
	putList(w, c.Killed, putSession)
}

func readCede(r *reader) Cede {
	return Cede{
		Term: api.Term(r.uint()), Range: readRange(r), Epoch: r.uint(), To: list(r, maxGroups, 1, readGroup),
		Cleared: readDropped(r), Killed: readSessions(r),
	}
}

func (c Adopt) put(w *writer) {
	putReceipt(w, &c.Receipt)
	putShard(w, &c.Shard)
	if w.level > Level1 {
		putAges(w, &c.Receipt)
	}
}

func readAdopt(r *reader) Adopt {
	c := Adopt{readReceipt(r), readShard(r)}
	if r.level > Level1 {
		readAges(r, &c.Receipt)
	}
	return c
}
