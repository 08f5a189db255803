package fsm

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

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

// size is near the size of the command's bytes.
func (c Grant) size() (n int) {
	for i := range c.Items {
		n += 48
		for _, k := range c.Items[i].Keys {
			n += len(k) + 16
		}
	}
	return n
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
	return Init{r.Group(), r.Uint(), codec.List(r, maxShards, 5, readShard), r.Duration(), r.Duration()}
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

// size is near the size of the command's bytes.
func (c Write) size() int { return codec.StepsSize(&c.Txn) + 48*len(c.Cleared) + 16*len(c.Killed) }

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

func readTermStart(r *codec.Reader) TermStart { return TermStart{r.Node()} }

func readGrant(r *codec.Reader) Grant {
	return Grant{api.Term(r.Uint()), codec.List(r, maxItems, 20, readItem)}
}

func readSessionOpen(r *codec.Reader) SessionOpen {
	return SessionOpen{r.Node(), r.Array16(), r.Duration(), r.Duration()}
}

func readSessionClose(r *codec.Reader) SessionClose {
	return SessionClose{readSessionID(r), r.Array16()}
}

func readSuspect(r *codec.Reader) Suspect     { return Suspect{api.Term(r.Uint()), readSessionID(r)} }
func readUnsuspect(r *codec.Reader) Unsuspect { return Unsuspect{api.Term(r.Uint()), readSessionID(r)} }
func readKill(r *codec.Reader) Kill           { return Kill{api.Term(r.Uint()), readSessions(r)} }
func readRelease(r *codec.Reader) Release     { return Release{readDropped(r)} }

func readTrimTombstones(r *codec.Reader) TrimTombstones {
	return TrimTombstones{api.Term(r.Uint()), r.Uint(), readLimit(r)}
}

func readAdvanceDedupEpoch(r *codec.Reader) AdvanceDedupEpoch {
	return AdvanceDedupEpoch{api.Term(r.Uint())}
}

func readExpireDedup(r *codec.Reader) ExpireDedup {
	return ExpireDedup{api.Term(r.Uint()), readLimit(r)}
}

func readPush(r *codec.Reader) Push            { return Push{readTxnRef(r)} }
func readResolve(r *codec.Reader) Resolve      { return Resolve{r.Group(), readTxnID(r), readOutcome(r)} }
func readResolved(r *codec.Reader) Resolved    { return Resolved{readTxnID(r), r.Group()} }
func readForget(r *codec.Reader) Forget        { return Forget{r.Array16(), r.Uint()} }
func readReap(r *codec.Reader) Reap            { return Reap{api.Term(r.Uint()), readLimit(r)} }
func (c Grant) judgedIn() api.Term             { return c.Term }
func (c Suspect) judgedIn() api.Term           { return c.Term }
func (c Unsuspect) judgedIn() api.Term         { return c.Term }
func (c Kill) judgedIn() api.Term              { return c.Term }
func (c TrimTombstones) judgedIn() api.Term    { return c.Term }
func (c AdvanceDedupEpoch) judgedIn() api.Term { return c.Term }
func (c ExpireDedup) judgedIn() api.Term       { return c.Term }
func (c SetLevel) judgedIn() api.Term          { return c.Term }
func (c Reap) judgedIn() api.Term              { return c.Term }
