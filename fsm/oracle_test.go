package fsm

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// oracle computes what a machine must answer. It knows the rules and none of the machine's tables: plain maps, no limits, one
// shard that owns everything.
type oracle struct {
	index    uint64
	epoch    uint64 // of dedup
	version  Level  // of the commands
	keys     map[api.Key]api.Entry
	deleted  map[api.Key]bool  // absent keys whose tombstone is still there
	floors   map[uint16]uint64 // by bucket
	once     map[request]answer
	acked    map[api.ClientID]uint64
	seen     map[api.ClientID]uint64 // the epoch of the newest write
	sessions map[ident.SessionID]*holding
	level    Level // of the group
	off      bool  // the history may take 0 bytes
	floor    uint64
	events   []Event // all that there ever were
	// now is the time of the group, deadlines are those of keys that exist.
	now       uint64
	deadlines map[api.Key]uint64
}

type request struct {
	client api.ClientID
	seq    uint64
}

type answer struct {
	body   api.Txn
	result api.TxnResult
	epoch  uint64
}

// holding is what a session holds: each leased key with what its holder was given.
type holding struct {
	nonce   ident.Nonce
	suspect bool
	leases  map[api.Key]leasedEntry
}

// leasedEntry is what a holder was given, and its lease on it.
type leasedEntry struct {
	api.Entry
	lid ident.LeaseID
}

func newOracle() *oracle {
	return &oracle{
		epoch: 1, keys: map[api.Key]api.Entry{}, deleted: map[api.Key]bool{}, floors: map[uint16]uint64{},
		once: map[request]answer{}, acked: map[api.ClientID]uint64{}, seen: map[api.ClientID]uint64{},
		sessions: map[ident.SessionID]*holding{}, deadlines: map[api.Key]uint64{},
	}
}

func (o *oracle) entry(k api.Key) api.Entry {
	e, ok := o.keys[k]
	if !ok {
		e = api.Entry{Key: k}
	}
	if e.Exists {
		return e
	}
	for _, s := range o.sessions {
		if granted, held := s.leases[k]; held { // all were given the same
			e.Version = granted.Version
			return e
		}
	}
	if floor := o.floors[bucketOf(k)]; floor > e.Version.Index {
		e.Version = api.Version{Epoch: 1, Index: floor}
	}
	return e
}

// step returns what must become of the command in an entry of the term. Hints are not compared.
func (o *oracle) step(term api.Term, c Command) Result {
	o.index++
	res := Result{Index: o.index}
	fail := func(code api.Code) Result {
		return Result{Index: o.index, Err: &api.Error{Code: code}, Holders: res.Holders}
	}
	judged := func(t api.Term) bool { return t == term }
	switch c := c.(type) {
	case Write:
		return o.write(term, &c)
	case Grant:
		if !judged(c.Term) {
			return fail(api.CodeNotLeader)
		}
		for _, item := range c.Items {
			for _, k := range item.Keys {
				e, lid := o.grant(item.Session, k)
				res.Entries, res.Leases = append(res.Entries, e), append(res.Leases, lid)
				res.Deadlines = append(res.Deadlines, o.deadlines[k])
			}
		}
		res.Deadlines = someDeadlines(res.Deadlines)
	case Tick:
		if !judged(c.Term) {
			return fail(api.CodeNotLeader)
		}
		o.now = max(o.now, c.Now)
	case Expire:
		if !judged(c.Term) {
			return fail(api.CodeNotLeader)
		}
		o.lapse(&c, &res)
	case SessionOpen:
		res.Session = ident.SessionID{Incarnation: 7, Index: o.index}
		o.sessions[res.Session] = &holding{nonce: c.Nonce, leases: map[api.Key]leasedEntry{}}
	case SessionClose:
		switch s := o.sessions[c.Session]; {
		case s != nil && s.nonce != c.Nonce:
			return fail(api.CodeDenied)
		case s != nil:
			res.Effect = o.kill([]ident.SessionID{c.Session})
		}
	case Suspect:
		if !judged(c.Term) {
			return fail(api.CodeNotLeader)
		}
		if o.sessions[c.Session] == nil {
			return fail(api.CodeSessionDead)
		}
		o.sessions[c.Session].suspect = true
		res.Effect = Effect{Kind: EffectSuspect, Sessions: []ident.SessionID{c.Session}}
	case Unsuspect:
		if !judged(c.Term) {
			return fail(api.CodeNotLeader)
		}
		if o.sessions[c.Session] == nil {
			return fail(api.CodeSessionDead)
		}
		o.sessions[c.Session].suspect = false
		res.Effect = Effect{Kind: EffectUnsuspect, Sessions: []ident.SessionID{c.Session}}
	case Kill:
		if !judged(c.Term) {
			return fail(api.CodeNotLeader)
		}
		res.Effect = o.kill(c.Sessions)
	case Release:
		o.drop(c.Leases)
	case TrimTombstones:
		if !judged(c.Term) {
			return fail(api.CodeNotLeader)
		}
		o.trim(c.Below)
	case AdvanceDedupEpoch:
		if !judged(c.Term) {
			return fail(api.CodeNotLeader)
		}
		o.epoch++
	case ExpireDedup:
		if !judged(c.Term) {
			return fail(api.CodeNotLeader)
		}
		o.expire()
	case Reap:
		if !judged(c.Term) {
			return fail(api.CodeNotLeader)
		}
	case SetLevel:
		if o.level < Level4 && c.Level >= Level4 {
			o.floor = o.index
		}
		o.level = max(o.level, c.Level)
	case TrimHistory:
		if !judged(c.Term) {
			return fail(api.CodeNotLeader)
		}
	case HistoryMax:
		if !judged(c.Term) {
			return fail(api.CodeNotLeader)
		}
		if o.off || c.Bytes == 0 {
			o.floor = o.index
		}
		o.off = c.Bytes == 0
	}
	return res
}

// changes returns what has become visible since the state was before, in the order in which the steps name
// the keys.
func (o *oracle) changes(before map[api.Key]api.Entry, branch []api.Op) (events []Event) {
	if o.level < Level4 || o.off {
		return nil
	}
	for i := range branch {
		k := branch[i].Key
		was, is := before[k], o.keys[k]
		switch {
		case branch[i].Kind == api.OpList:
		case slices.ContainsFunc(branch[:i], func(op api.Op) bool { return op.Key == k && op.Kind != api.OpList }):
		case is.Exists && is.Version != was.Version:
			events = append(events, Event{Index: o.index, Kind: api.EventPut, Key: k, Version: is.Version, Value: is.Value, Deadline: o.deadlines[k]})
		case was.Exists && !is.Exists:
			events = append(events, Event{Index: o.index, Kind: api.EventDelete, Key: k, Version: is.Version})
		}
	}
	o.events = append(o.events, events...)
	return events
}

// historyOf wants the machine's history to be what became visible above its floor, in that order, each change once. The floor
// depends on how commands are packed into entries: it is at least that of the last time when there was no history.
func (o *oracle) historyOf(m *Machine) error {
	pos := m.Position()
	if pos.Floor < o.floor || pos.Floor > pos.Counter || pos.Counter != o.index {
		return fmt.Errorf("HistoryTrim: the position is %+v, want the counter %d and a floor from %d on", pos, o.index, o.floor)
	}
	if m.Meta().Level >= Level4 && pos.Max > 0 && pos.Bytes == 0 && pos.Floor < pos.Counter {
		if i := slices.IndexFunc(o.events, func(e Event) bool { return e.Index > pos.Floor }); i >= 0 {
			return fmt.Errorf("FeedWhole: an empty history above %d, want %+v", pos.Floor, o.events[i])
		}
	}
	for _, after := range []uint64{pos.Floor, pos.Floor + (pos.Counter-pos.Floor)/2, pos.Counter} {
		var got []Event
		for at := after; at < pos.Counter; {
			h, err := m.History(at, 200)
			if err != nil || h.To <= at {
				return fmt.Errorf("the history after %d goes to %d (%w)", at, h.To, err)
			}
			got, at = append(got, h.Events...), h.To
		}
		i := slices.IndexFunc(o.events, func(e Event) bool { return e.Index > after })
		if i < 0 {
			i = len(o.events)
		}
		if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", o.events[i:]); a != b {
			return fmt.Errorf("FeedWhole: after %d the history is\n%s\nwant\n%s", after, a, b)
		}
	}
	return nil
}

// someDeadlines returns nil if no key has a deadline.
func someDeadlines(ds []uint64) []uint64 {
	if !slices.ContainsFunc(ds, func(d uint64) bool { return d > 0 }) {
		return nil
	}
	return ds
}

// lapse ends the keys that an Expire may end.
func (o *oracle) lapse(c *Expire, res *Result) {
	o.now = max(o.now, c.Now)
	res.Effect = o.kill(c.Killed)
	o.drop(c.Cleared)
	for _, x := range c.Keys {
		d := o.deadlines[x.Key]
		ends := d > 0 && d <= o.now && o.keys[x.Key].Version == x.Version
		var holders []Holder
		if ends {
			holders = o.inTheWay([]api.Op{{Kind: api.OpDelete, Key: x.Key}}, &Write{})
		}
		if !ends || holders != nil {
			res.Left, res.Holders = append(res.Left, x.Key), append(res.Holders, holders...)
			continue
		}
		o.keys[x.Key] = api.Entry{Key: x.Key, Version: api.Version{Epoch: 1, Index: o.index}}
		o.deleted[x.Key] = true
		delete(o.deadlines, x.Key)
		res.Events = append(res.Events, Event{Index: o.index, Kind: api.EventExpire, Key: x.Key, Version: o.keys[x.Key].Version})
	}
	if o.level < Level4 || o.off {
		res.Events = nil
	}
	o.events = append(o.events, res.Events...)
}

// moveDeadline moves the deadline of a key as the step does, after it has changed the key or not.
func (o *oracle) moveDeadline(op api.Op, changed, exists bool) {
	to := o.now + uint64(op.TTL.Milliseconds())
	switch d := o.deadlines[op.Key]; {
	case op.Kind == api.OpTouch:
		if exists && d > 0 && to > d {
			o.deadlines[op.Key] = to
		}
	case !changed || op.Kind == api.OpAdd || op.KeepTTL:
	case op.TTL > 0:
		o.deadlines[op.Key] = to
	default:
		delete(o.deadlines, op.Key)
	}
}

// under lists the keys that begin with p.
func (o *oracle) under(p api.Key, limit int) []api.Entry {
	page := []api.Entry{}
	for _, k := range slices.Sorted(maps.Keys(o.keys)) {
		if e := o.keys[k]; e.Exists && strings.HasPrefix(string(k), string(p)) && len(page) < limit {
			page = append(page, api.Entry{Key: k, Version: e.Version, Exists: true})
		}
	}
	return page
}

func (o *oracle) grant(sid ident.SessionID, k api.Key) (e api.Entry, lid ident.LeaseID) {
	e = o.entry(k)
	if s := o.sessions[sid]; s != nil && !s.suspect {
		lid = ident.LeaseID(o.index)
		s.leases[k] = leasedEntry{e, lid}
	}
	return e, lid
}

func (o *oracle) kill(sids []ident.SessionID) (e Effect) {
	for _, sid := range sids {
		if o.sessions[sid] != nil {
			delete(o.sessions, sid)
			e = Effect{Kind: EffectKilled, Sessions: append(e.Sessions, sid)}
		}
	}
	return e
}

func (o *oracle) drop(ls []ident.DroppedLease) {
	for _, d := range ls {
		if s := o.sessions[d.Session]; s != nil {
			if e, ok := s.leases[d.Key]; ok && e.lid <= d.Lease {
				delete(s.leases, d.Key)
			}
		}
	}
}

func (o *oracle) trim(below uint64) {
	for k := range o.deleted {
		if v := o.keys[k].Version; v.Index < below {
			delete(o.deleted, k)
			delete(o.keys, k)
			o.floors[bucketOf(k)] = max(o.floors[bucketOf(k)], v.Index)
		}
	}
}

func (o *oracle) expire() {
	for r, a := range o.once {
		last := a.epoch
		if r.seq > 0 {
			last = o.seen[r.client]
		}
		if last+DedupEpochs < o.epoch {
			delete(o.once, r)
		}
	}
	for c, last := range o.seen {
		if last+DedupEpochs < o.epoch {
			delete(o.seen, c)
			delete(o.acked, c)
		}
	}
}

func (o *oracle) write(term api.Term, w *Write) Result {
	fail := func(code api.Code) Result { return Result{Index: o.index, Err: &api.Error{Code: code}} }
	id := w.Txn.ID
	body := w.Txn
	body.ID = api.RequestID{}
	if !id.IsZero() {
		if a, ok := o.once[request{id.Client, id.Seq}]; ok {
			if !reflect.DeepEqual(a.body, body) {
				return fail(api.CodeConflict)
			}
			again := a.result
			again.Replayed = true
			return Result{Index: o.index, Txn: &again}
		}
		if id.Seq > 0 && id.Seq < max(o.acked[id.Client], id.AckedBelow) || w.Epoch.Count > 0 && w.Epoch.Count+DedupEpochs < o.epoch {
			return fail(api.CodeConflict)
		}
	}
	if w.Term != term {
		return fail(api.CodeNotLeader)
	}
	committed := !slices.ContainsFunc(w.Txn.If, func(c api.Cond) bool { return !o.holds(c) })
	branch := w.Txn.Then
	if !committed {
		branch = w.Txn.Else
	}
	if !o.possible(branch) {
		return fail(api.CodePreconditionFailed)
	}
	if hs := o.inTheWay(branch, w); hs != nil {
		return Result{Index: o.index, Err: &api.Error{Code: RetryLeases}, Holders: hs}
	}
	effect := o.kill(w.Killed)
	o.drop(w.Cleared)
	before := maps.Clone(o.keys)
	if o.version >= Level5 {
		o.now = max(o.now, w.Now)
	}
	res, deadlines := o.execute(&w.Txn, branch, committed)
	events := o.changes(before, branch)
	if !id.IsZero() {
		o.record(id, body, res)
	}
	return Result{Index: o.index, Txn: &res, Deadlines: deadlines, Effect: effect, Events: events}
}

// possible reports whether every function of the branch meets what it is for.
func (o *oracle) possible(branch []api.Op) bool {
	now := map[api.Key]api.Entry{}
	for _, op := range branch {
		e, ok := now[op.Key]
		if !ok {
			e = o.entry(op.Key)
		}
		if e, ok = after(e, op); !ok {
			return false
		}
		now[op.Key] = e
	}
	return true
}

// after returns what a step makes of a key, or false if it cannot be carried out. Numbers in tests are small.
func after(e api.Entry, op api.Op) (api.Entry, bool) {
	switch op.Kind {
	case api.OpPut:
		e.Value, e.Exists = op.Value, true
	case api.OpDelete:
		e.Value, e.Exists = nil, false
	case api.OpAdd:
		n := 0
		if e.Exists {
			var err error
			if n, err = strconv.Atoi(string(e.Value)); err != nil {
				return e, false
			}
		}
		e.Value, e.Exists = []byte(strconv.Itoa(n+int(op.Delta))), true
	case api.OpAppendIfAbsent:
		if !e.Exists || !bytes.Contains(e.Value, op.Value) {
			e.Value, e.Exists = []byte(string(e.Value)+string(op.Value)), true
		}
	case api.OpAppend:
		e.Value, e.Exists = []byte(string(e.Value)+string(op.Value)), true
	case api.OpSum64, api.OpMin64, api.OpMax64:
		if e.Exists && len(e.Value) != 8 {
			return e, false
		}
		e.Value, e.Exists = folded(op, e), true
	}
	return e, true
}

// folded is what a function of integers of 8 bytes makes of them, reckoned digit by digit.
func folded(op api.Op, e api.Entry) []byte {
	made := slices.Clone(op.Value)
	if !e.Exists {
		return made
	}
	if op.Kind == api.OpSum64 {
		carry := 0
		for i := range made {
			carry += int(e.Value[i]) + int(op.Value[i])
			made[i], carry = byte(carry), carry>>8
		}
		return made
	}
	held, given := slices.Clone(e.Value), slices.Clone(op.Value)
	slices.Reverse(held)
	slices.Reverse(given)
	if less := bytes.Compare(held, given) < 0; less == (op.Kind == api.OpMin64) {
		return slices.Clone(e.Value)
	}
	return made
}

func (o *oracle) record(id api.RequestID, body api.Txn, res api.TxnResult) {
	res.Entries, res.Lists = slices.Clone(res.Entries), nil
	branch := branchOf(&body, res.Committed)
	for i := range res.Entries {
		if e := &res.Entries[i]; o.version == Level1 && i < len(branch) && branch[i].Kind == api.OpGet {
			e.Value, e.Elided = nil, e.Exists
		}
	}
	if id.Seq > 0 {
		o.seen[id.Client] = o.epoch
		o.acked[id.Client] = max(o.acked[id.Client], id.AckedBelow)
		maps.DeleteFunc(o.once, func(r request, _ answer) bool {
			return r.client == id.Client && r.seq > 0 && r.seq < id.AckedBelow
		})
	}
	o.once[request{id.Client, id.Seq}] = answer{body, res, o.epoch}
}

func (o *oracle) holds(c api.Cond) bool {
	e := o.entry(c.Key)
	switch c.Kind {
	case api.CondVersion:
		return e.Version == c.Version
	case api.CondExists:
		return e.Exists
	case api.CondAbsent:
		return !e.Exists
	}
	return e.Exists && string(e.Value) == string(c.Value)
}

// inTheWay are the leases on what the branch writes that the write does not clear, by key and session.
func (o *oracle) inTheWay(branch []api.Op, w *Write) (hs []Holder) {
	seen := map[api.Key]bool{}
	for _, op := range branch {
		if !op.Writes() || seen[op.Key] {
			continue
		}
		seen[op.Key] = true
		for _, sid := range o.live() {
			s := o.sessions[sid]
			e, held := s.leases[op.Key]
			if !held || slices.Contains(w.Killed, sid) || slices.ContainsFunc(w.Cleared, func(d ident.DroppedLease) bool {
				return d.Session == sid && d.Key == op.Key && d.Lease >= e.lid
			}) {
				continue
			}
			hs = append(hs, Holder{Session: sid, Nonce: s.nonce, Key: op.Key, Lease: e.lid})
		}
	}
	return hs
}

// live are the sessions in order.
func (o *oracle) live() []ident.SessionID {
	return slices.SortedFunc(maps.Keys(o.sessions), compareSessions)
}

func (o *oracle) execute(t *api.Txn, branch []api.Op, committed bool) (res api.TxnResult, deadlines []uint64) {
	res = api.TxnResult{Committed: committed, Group: "g.1", Entries: []api.Entry{}}
	if !committed && len(branch) == 0 {
		for _, c := range t.If {
			e := o.entry(c.Key)
			e.Value = nil
			res.Entries = append(res.Entries, e)
		}
		return res, nil
	}
	ver := api.Version{Epoch: 1, Index: o.index}
	for _, op := range branch {
		if op.Kind == api.OpList {
			res.Entries, res.Lists = append(res.Entries, api.Entry{Key: op.Key}), append(res.Lists, o.under(op.Key, op.Limit))
			deadlines = append(deadlines, 0)
			continue
		}
		e := o.entry(op.Key)
		if op.Writes() {
			res.Version = ver
		}
		made, _ := after(e, op)
		there := op.Kind == api.OpAppendIfAbsent && e.Exists && string(made.Value) == string(e.Value)
		o.moveDeadline(op, op.Writes() && !there, e.Exists)
		deadlines = append(deadlines, o.deadlines[op.Key])
		switch {
		case there:
		case op.Writes() && op.Kind != api.OpDelete:
			o.keys[op.Key] = api.Entry{Key: op.Key, Value: made.Value, Version: ver, Exists: true}
			delete(o.deleted, op.Key)
		case op.Kind == api.OpDelete && (e.Exists || e.Version.IsZero()):
			o.keys[op.Key] = api.Entry{Key: op.Key, Version: ver}
			o.deleted[op.Key] = true
		}
		if op.Writes() {
			e = o.entry(op.Key)
		}
		switch op.Kind {
		case api.OpGet, api.OpAdd:
		case api.OpAppend:
			e.Value = []byte(strconv.Itoa(len(e.Value)))
		default:
			e.Value = nil
		}
		res.Entries = append(res.Entries, e)
	}
	return res, someDeadlines(deadlines)
}

// compare wants the machine's result to be what the oracle said.
func (o *oracle) compare(t testing.TB, got, want Result) error {
	t.Helper()
	if got.Err != nil && want.Err != nil && got.Err.Code == want.Err.Code {
		got.Err, want.Err = nil, nil
	}
	got.Swept = Swept{}
	got.Holders = slices.Clone(got.Holders)
	for i := range got.Holders {
		got.Holders[i].Node = ""
	}
	if a, b := resultText(got), resultText(want); a != b {
		return fmt.Errorf("the result is\n%s\nwant\n%s", a, b)
	}
	return nil
}

// resultText is a result without pointers.
func resultText(r Result) string {
	txn := "none"
	if r.Txn != nil {
		txn = txnText(r.Txn)
	}
	r.Txn = nil
	return fmt.Sprintf("%+v; txn %s", r, txn)
}

// state requires that the machine's reads agree, and that every live lease is on what its holder was given.
func (o *oracle) state(m *Machine, keys []api.Key) error {
	es, ds, err := m.Read(keys)
	if err != nil {
		return err
	}
	for i, k := range keys {
		if want := o.deadlines[k]; len(ds) == 0 && want > 0 || len(ds) > 0 && ds[i] != want {
			return fmt.Errorf("ExpiryLogged: the deadlines of %q are %d, want %d of %q", keys, ds, want, k)
		}
	}
	if m.Now() != o.now {
		return fmt.Errorf("the time is %d, want %d", m.Now(), o.now)
	}
	for _, e := range es {
		if want := o.entry(e.Key); entriesText([]api.Entry{e}) != entriesText([]api.Entry{want}) {
			return fmt.Errorf("read %s, want %s", entriesText([]api.Entry{e}), entriesText([]api.Entry{want}))
		}
	}
	var ids []ident.SessionID
	for _, s := range m.Sessions() {
		ids = append(ids, s.ID)
	}
	if !slices.Equal(ids, o.live()) {
		return fmt.Errorf("KillWhole: the sessions are %v, want %v", ids, o.live())
	}
	n := 0
	for _, h := range m.HoldersIn(api.Range{}, 1<<20) {
		granted, ok := o.sessions[h.Session].leases[h.Key]
		if !ok || granted.lid != h.Lease {
			return fmt.Errorf("Superset: %+v, the holder was granted %+v", h, granted)
		}
		if now := o.entry(h.Key); now.Exists != granted.Exists || now.Version != granted.Version || string(now.Value) != string(granted.Value) {
			return fmt.Errorf("NoStale: %+v holds %+v, which is %+v now", h, granted, now)
		}
		n++
	}
	for sid, s := range o.sessions {
		if n -= len(s.leases); n < 0 {
			return fmt.Errorf("Superset: leases of %v are missing", sid)
		}
	}
	return nil
}
