package fsm

import (
	"math"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// Encode returns the command as it stands in the log of a group of that level: the first byte is the version, which is the
// level, the second is the kind.
func Encode(c Command, level Level) []byte {
	w := codec.Writer{B: make([]byte, 0, sizeHint(c)), Format: uint8(level)}
	w.Byte(byte(level))
	w.Byte(byte(c.kind()))
	c.put(&w)
	return w.B
}

// sizeHint is near the encoded size of what is often large.
func sizeHint(c Command) int {
	n := 64
	switch c := c.(type) {
	case Write:
		n += codec.StepsSize(&c.Txn) + 48*len(c.Cleared) + 16*len(c.Killed)
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
	r := codec.Reader{B: b}
	version, k := head(&r)
	c := read(k, &r)
	if err := endOf(&r); err != nil {
		return nil, 0, err
	}
	return c, version, nil
}

// endOf tells what is wrong with the command that was read; nil where nothing is.
func endOf(r *codec.Reader) *api.Error {
	if r.End(); r.Fault() != "" {
		return api.Errorf(api.CodeInvalid, "malformed command: %s", r.Fault())
	}
	return nil
}

// head reads what stands before a command.
func head(r *codec.Reader) (Level, kind) {
	r.Format = r.Byte()
	if r.Fault() == "" && (Level(r.Format) == 0 || Level(r.Format) > NewestLevel) {
		r.Fail("a format version that this program does not know")
	}
	return Level(r.Format), kind(r.Byte())
}

func read(k kind, r *codec.Reader) Command {
	switch k {
	case kindInit:
		return readInit(r)
	case kindTermStart:
		return TermStart{api.NodeID(r.Text(codec.MaxNameBytes))}
	case kindWrite:
		return readWrite(r)
	case kindGrant:
		return Grant{api.Term(r.Uint()), codec.List(r, maxItems, 20, readItem)}
	case kindSessionOpen:
		return SessionOpen{api.NodeID(r.Text(codec.MaxNameBytes)), r.Array16(), r.Duration(), r.Duration()}
	case kindSessionClose:
		return SessionClose{readSessionID(r), r.Array16()}
	case kindSuspect:
		return Suspect{api.Term(r.Uint()), readSessionID(r)}
	case kindUnsuspect:
		return Unsuspect{api.Term(r.Uint()), readSessionID(r)}
	case kindKill:
		return Kill{api.Term(r.Uint()), readSessions(r)}
	case kindRelease:
		return Release{readDropped(r)}
	case kindCede:
		return readCede(r)
	case kindAdopt:
		return readAdopt(r)
	case kindTrimTombstones:
		return TrimTombstones{api.Term(r.Uint()), r.Uint(), readLimit(r)}
	case kindAdvanceDedupEpoch:
		return AdvanceDedupEpoch{api.Term(r.Uint())}
	case kindExpireDedup:
		return ExpireDedup{api.Term(r.Uint()), readLimit(r)}
	}
	return readTxnCommand(k, r)
}

func readTxnCommand(k kind, r *codec.Reader) Command {
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
		return Resolve{r.Group(), readTxnID(r), readOutcome(r)}
	case kindResolved:
		return Resolved{readTxnID(r), r.Group()}
	case kindForget:
		return Forget{r.Array16(), r.Uint()}
	case kindSetLevel:
		return readSetLevel(r)
	case kindReap:
		return Reap{api.Term(r.Uint()), readLimit(r)}
	}
	r.Fail("a kind of command that this program does not know")
	return nil
}

func (c TermStart) put(w *codec.Writer)    { w.Text(string(c.Node)) }
func (c SessionClose) put(w *codec.Writer) { putSession(w, c.Session); w.Raw(c.Nonce[:]) }
func (c Suspect) put(w *codec.Writer)      { w.Uint(uint64(c.Term)); putSession(w, c.Session) }
func (c Unsuspect) put(w *codec.Writer)    { w.Uint(uint64(c.Term)); putSession(w, c.Session) }
func (c Kill) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	codec.PutList(w, c.Sessions, putSessionID)
}
func (c Release) put(w *codec.Writer)           { codec.PutList(w, c.Leases, putDropped) }
func (c AdvanceDedupEpoch) put(w *codec.Writer) { w.Uint(uint64(c.Term)) }

func (c SessionOpen) put(w *codec.Writer) {
	w.Text(string(c.Node))
	w.Raw(c.Nonce[:])
	w.Duration(c.T)
	w.Duration(c.P)
}

func (c Grant) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	codec.PutList(w, c.Items, putItem)
}

func putItem(w *codec.Writer, i *GrantItem) {
	putSession(w, i.Session)
	w.Raw(i.Nonce[:])
	codec.PutList(w, i.Keys, codec.PutKey)
	codec.PutList(w, i.Known, codec.PutVersion)
}

func readItem(r *codec.Reader) GrantItem {
	i := GrantItem{
		Session: readSessionID(r), Nonce: r.Array16(),
		Keys:  codec.List(r, api.MaxReadKeys, 2, (*codec.Reader).KeyName),
		Known: codec.List(r, api.MaxReadKeys, 2, (*codec.Reader).Version),
	}
	if len(i.Known) != 0 && len(i.Known) != len(i.Keys) {
		r.Fail("known versions that are not one for each key")
	}
	return i
}

func (c Init) put(w *codec.Writer) {
	w.Text(string(c.Group))
	w.Uint(c.Incarnation)
	codec.PutList(w, c.Shards, putShard)
	w.Duration(c.MaxTerm)
	w.Duration(c.MaxPause)
}

func readInit(r *codec.Reader) Init {
	return Init{api.GroupID(r.Text(codec.MaxNameBytes)), r.Uint(), codec.List(r, maxShards, 5, readShard), r.Duration(), r.Duration()}
}

func (c TrimTombstones) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	w.Uint(c.Below)
	w.Uint(uint64(max(c.Limit, 0)))
}

func (c ExpireDedup) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	w.Uint(uint64(max(c.Limit, 0)))
}

func readLimit(r *codec.Reader) int {
	x := r.Uint()
	if x > math.MaxInt32 {
		r.Fail("a limit over 31 bits")
		return 0
	}
	return int(x)
}

func (c Write) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	codec.PutRequestID(w, &c.Txn.ID)
	codec.PutSteps(w, &c.Txn)
	codec.PutList(w, c.Cleared, putDropped)
	codec.PutList(w, c.Killed, putSessionID)
}

func readWrite(r *codec.Reader) Write {
	c := Write{Term: api.Term(r.Uint())}
	c.Txn.ID = r.RequestID()
	r.Steps(&c.Txn)
	c.Cleared = readDropped(r)
	c.Killed = readSessions(r)
	return c
}

func (c Cede) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	codec.PutRange(w, c.Range)
	w.Uint(c.Epoch)
	codec.PutList(w, c.To, codec.PutGroup)
	codec.PutList(w, c.Cleared, putDropped)
	codec.PutList(w, c.Killed, putSessionID)
}

func readCede(r *codec.Reader) Cede {
	return Cede{
		Term: api.Term(r.Uint()), Range: r.Range(), Epoch: r.Uint(), To: codec.List(r, maxGroups, 1, (*codec.Reader).Group),
		Cleared: readDropped(r), Killed: readSessions(r),
	}
}

func (c Adopt) put(w *codec.Writer) {
	putReceipt(w, &c.Receipt)
	putShard(w, &c.Shard)
	if Level(w.Format) > Level1 {
		putAges(w, &c.Receipt)
	}
}

func readAdopt(r *codec.Reader) Adopt {
	c := Adopt{readReceipt(r), readShard(r)}
	if Level(r.Format) > Level1 {
		readAges(r, &c.Receipt)
	}
	return c
}
