package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/fsm/placement"
)

// maxAgeGrace is how much older than its bound a table may be until the node notices.
const maxAgeGrace = 5 * time.Second

// Config makes a Warden. At and Now are required.
type Config struct {
	At Place
	// Now is a clock of this node that counts suspends, from any origin.
	Now func() time.Duration
	// Audit is where refusals and administration are written down; nil is nowhere.
	Audit *Audit
	// Checked is called for each request that is judged, Limited for each that is over its token's rate. nil: they are not counted.
	Checked, Limited func()
}

// Warden holds the newest table and decides by it. It is safe for concurrent use, never blocks but for the audit log, and starts
// nothing. Before the first [Warden.Update] it refuses every client.
type Warden struct {
	cfg   Config
	table atomic.Pointer[Table]
	// current is the time of the node's clock at which the table was certainly the newest; unknown before the first Heard.
	current atomic.Int64
	checked atomic.Int64 // process time until which the age need not be looked at again
	started time.Time
	socket  *token                         // the principal of the admin socket
	sum     func([]byte) [sha256.Size]byte // SHA-256

	mu   sync.Mutex // held by Update
	seen sync.Map   // placement.TokenID -> *atomic.Int64: when the token was last used here, in Unix seconds
}

var (
	_ front.Access = (*Warden)(nil)
	_ front.Pacer  = (*Warden)(nil)
)

// unheard is the value of current while the age is not known.
const unheard = int64(-1) << 62

// NewWarden returns a warden without a table.
func NewWarden(cfg Config) *Warden {
	if cfg.Limited == nil {
		cfg.Limited = func() {}
	}
	if cfg.Checked == nil {
		cfg.Checked = func() {}
	}
	w := &Warden{cfg: cfg, started: time.Now(), socket: everything(cfg.At.Role), sum: sha256.Sum256}
	w.current.Store(unheard)
	return w
}

// Update gives the warden a revision of the roll. Requests that begin after it returned are judged by it; an older revision than
// the present one is ignored. The Source that the warden has already costs nothing.
func (w *Warden) Update(s Source) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.table.Load()
	if before != nil && (s == before.source || s.Roll != nil && s.Roll.Revision < before.Revision) {
		return
	}
	now := newTable(s, w.cfg.At, before)
	w.table.Store(now)
	w.checked.Store(0)
	w.seen.Range(func(id, _ any) bool {
		if now.tokens[id.(placement.TokenID)] == nil {
			w.seen.Delete(id)
		}
		return true
	})
}

// Heard notes that the table was the newest one so long before the time at of the node's clock.
func (w *Warden) Heard(at, age time.Duration) {
	for {
		have := w.current.Load()
		if int64(at-age) <= have {
			return
		}
		if w.current.CompareAndSwap(have, int64(at-age)) {
			w.checked.Store(0)
			return
		}
	}
}

// Revision returns the revision of the roll by which requests are judged, and the roll's age; heard is false if that is not known.
func (w *Warden) Revision() (revision uint64, age time.Duration, heard bool) {
	t, current := w.table.Load(), w.current.Load()
	if t != nil {
		revision = t.Revision
	}
	if current == unheard {
		return revision, 0, false
	}
	return revision, max(0, w.cfg.Now()-time.Duration(current)), true
}

// hearWithin is how long a node that starts may wait until it hears how old its table is.
const hearWithin = 30 * time.Second

// Stale reports whether the table has more than half of the age at which clients are refused. While the age is not known it counts from
// the start of the node, and more than hearWithin is stale.
func (w *Warden) Stale() bool {
	t := w.table.Load()
	if t == nil || t.maxAge == 0 {
		return false
	}
	_, age, heard := w.Revision()
	if !heard {
		return time.Since(w.started) > min(hearWithin, t.maxAge/2)
	}
	return age > t.maxAge/2
}

// Errors of credentials. Each has one text, so that a client learns nothing of why.
var (
	errNeeded  = &api.Error{Code: api.CodeUnauthenticated, Hint: "a token is needed"}
	errUnknown = &api.Error{Code: api.CodeUnauthenticated, Hint: "the token is not known here"}
	errMissing = &api.Error{Code: api.CodeUnavailable, Hint: "this node does not know the tokens of its cluster yet", RetryAfter: time.Second}
)

// Usable returns the refusal of every client, if the table is missing or too old; nil if it may be used.
func (w *Warden) Usable() error { return w.fresh(w.table.Load()) }

// fresh returns the refusal of a node whose table is missing or too old; nil if it may be used.
func (w *Warden) fresh(t *Table) error {
	switch {
	case t == nil:
		return errMissing
	case t.maxAge == 0:
		return nil
	}
	now := int64(time.Since(w.started))
	if now < w.checked.Load() {
		return nil
	}
	_, age, heard := w.Revision()
	switch {
	case !heard:
		return &api.Error{Code: api.CodeUnavailable, RetryAfter: time.Second,
			Hint: "this node has not heard yet whether its access table is the newest"}
	case age > t.maxAge+maxAgeGrace:
		return &api.Error{Code: api.CodeUnavailable, RetryAfter: time.Second,
			Hint: fmt.Sprintf("the access table is %s old: this node is cut off", inWords(age))}
	}
	// A suspend stops the process time and not the age: so the age is looked at every second of the process.
	w.checked.Store(now + int64(time.Second))
	return nil
}

// inWords returns the age in its largest unit: seconds, or minutes from two on.
func inWords(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	return fmt.Sprintf("%dm", int(d.Minutes()))
}

// grant is what the warden keeps of a principal that came with a token. It is judged again when there is a new table.
type grant struct {
	id   placement.TokenID
	hash [sha256.Size]byte // of the secret that the principal has shown
	last atomic.Pointer[verdict]
}

// verdict is what a table says of a grant. It names the table by its number, so that a connection that is idle keeps no old table in
// memory. token is nil if it is not valid.
type verdict struct {
	table uint64
	token *token
}

// Authenticate implements front.Access. All tokens that are not valid cost the same, whatever is wrong with them: one lookup, one
// sum and two comparisons, against a dummy if there is nothing to compare with.
func (w *Warden) Authenticate(credential, from string) (*front.Principal, error) {
	t := w.table.Load()
	if err := w.fresh(t); err != nil {
		return nil, err
	}
	if credential == "" {
		return &front.Principal{From: from}, nil
	}
	var c Token
	formed := c.parse(credential)
	g := &grant{id: c.ID, hash: w.sum(c.secret[:])}
	x := t.find(g)
	if !formed || x == nil {
		w.cfg.Checked()
		w.cfg.Audit.denied(&front.Principal{From: from}, act{verb: "authenticate"}, api.CodeUnauthenticated)
		return nil, errUnknown
	}
	g.last.Store(&verdict{t.number, x})
	w.see(c.ID)
	return &front.Principal{Name: x.Name, ID: c.ID.String(), From: from, Grant: g}, nil
}

// dummy stands for the token of an id that there is not. No secret has its hash.
var dummy = &token{AccessToken: placement.AccessToken{Hashes: [][]byte{make([]byte, sha256.Size)}}}

// find returns the token of a grant; nil if it is not valid at this node.
func (t *Table) find(g *grant) *token {
	x, known := t.tokens[g.id]
	if !known {
		x = dummy
	}
	first, second := x.Hashes[0], x.Hashes[len(x.Hashes)-1]
	same := subtle.ConstantTimeCompare(first, g.hash[:]) | subtle.ConstantTimeCompare(second, g.hash[:])
	if same == 1 && known && x.here {
		return x
	}
	return nil
}

// judge returns what the newest table says of the principal.
func (w *Warden) judge(p *front.Principal) (*token, error) {
	g, ok := p.Grant.(*grant)
	if !ok && p.Name == front.Socket {
		return w.socket, nil
	}
	t := w.table.Load()
	switch {
	case t == nil:
		return nil, errMissing
	case ok:
	case p.Anonymous():
		return t.anonymous, nil
	default:
		return nil, errUnknown
	}
	v := g.last.Load()
	if v.table != t.number {
		v = &verdict{t.number, t.find(g)}
		g.last.Store(v)
	}
	if v.token == nil {
		return nil, errUnknown
	}
	return v.token, nil
}

// Check implements front.Access.
func (w *Warden) Check(p *front.Principal) error {
	_, err := w.check(p)
	if err != nil {
		w.refused(p, act{verb: "authenticate"}, err)
	}
	return err
}

// check returns what the newest table says of the principal, if the table may be used and gives it any right.
func (w *Warden) check(p *front.Principal) (*token, error) {
	if p.Grant == nil && p.Name == front.Socket {
		return w.socket, nil
	}
	if err := w.fresh(w.table.Load()); err != nil {
		return nil, err
	}
	x, err := w.judge(p)
	if err == nil && p.Anonymous() && x.rights().none() {
		err = errNeeded
	}
	return x, err
}

// refused writes down what a principal was refused.
func (w *Warden) refused(p *front.Principal, x act, why error) {
	if code := api.CodeOf(why); code == api.CodeDenied || code == api.CodeUnauthenticated {
		w.cfg.Audit.denied(p, x, code)
	}
}

// Enter implements front.Access.
func (w *Warden) Enter(p *front.Principal, bytes int64) error {
	w.cfg.Checked()
	x, err := w.check(p)
	if err != nil {
		w.refused(p, act{verb: "authenticate"}, err)
		return err
	}
	if x.bucket != nil {
		if wait, ok := x.bucket.take(time.Now(), bytes); !ok {
			w.cfg.Limited()
			return &api.Error{Code: api.CodeLimited, RetryAfter: wait, Hint: fmt.Sprintf(
				"the token %s is over its rate at this node: wait %v", p.Name, wait.Round(time.Millisecond))}
		}
	}
	return nil
}

// Charge implements front.Access.
func (w *Warden) Charge(p *front.Principal, bytes int64) {
	if x, err := w.judge(p); err == nil {
		x.bucket.charge(bytes)
	}
}

// Pace implements front.Pacer.
func (w *Warden) Pace(p *front.Principal) time.Duration {
	x, err := w.judge(p)
	if err != nil {
		return 0 // the watch ends
	}
	return x.bucket.pace(time.Now())
}

// Holds implements front.Access.
func (w *Warden) Holds(p *front.Principal, r front.Right, k api.Key) bool {
	x, err := w.judge(p)
	if err != nil {
		return false
	}
	if r >= front.Observe {
		return x.rights().cluster.has(r)
	}
	return x.rights().key(r, k)
}

// AllowKey implements front.Access.
func (w *Warden) AllowKey(p *front.Principal, verb string, r front.Right, k api.Key) error {
	x, err := w.judge(p)
	switch {
	case err != nil:
	case !x.rights().key(r, k):
		err = lacking(p, deniedKey[r])
	case x.audit:
		return w.note(p, act{verb, r, string(k)})
	default:
		return nil
	}
	w.refused(p, act{verb, r, string(k)}, err)
	return err
}

// AllowRange implements front.Access.
func (w *Warden) AllowRange(p *front.Principal, verb string, r front.Right, keys api.Range) error {
	x, err := w.judge(p)
	target := string(keys.Start)
	switch {
	case err != nil:
	case !x.rights().keys(r, keys):
		err = lacking(p, deniedRange[r])
	case x.audit:
		return w.note(p, act{verb, r, target})
	default:
		return nil
	}
	w.refused(p, act{verb, r, target}, err)
	return err
}

// AllowCluster implements front.Access. What is to be operated or administered is written down before it is allowed, but for the
// admin socket, whose user could read the disk anyway.
func (w *Warden) AllowCluster(p *front.Principal, verb string, r front.Right, target string) error {
	w.cfg.Checked()
	x, err := w.check(p)
	if err == nil && !x.rights().cluster.has(r) {
		err = lacking(p, deniedCluster[r])
	}
	if err != nil {
		w.refused(p, act{verb, r, target}, err)
		return err
	}
	if r < front.Operate {
		return nil
	}
	if err := w.note(p, act{verb, r, target}); err != nil && p.Name != front.Socket {
		return err
	}
	return nil
}

// Changes implements front.Access. The tables of a warden are numbered.
func (w *Warden) Changes() uint64 {
	if t := w.table.Load(); t != nil {
		return t.number
	}
	return 0
}

// Describe implements front.Access.
func (w *Warden) Describe(p *front.Principal) (*api.Self, error) {
	x, err := w.judge(p)
	if err != nil {
		return nil, err
	}
	r := x.rights()
	self := &api.Self{
		Principal: p.Name, ID: p.ID, Policies: x.Policies, Node: w.cfg.At.Node,
		Observe: r.cluster.has(front.Observe), Operate: r.cluster.has(front.Operate), Admin: r.cluster.has(front.Administer),
	}
	for _, rule := range x.rules {
		self.Rules = append(self.Rules, api.PolicyRule(rule))
	}
	self.Revision, _, _ = w.Revision()
	return self, nil
}

// note writes down what is to be carried out.
func (w *Warden) note(p *front.Principal, x act) error {
	if err := w.cfg.Audit.begun(p, x); err != nil {
		return &api.Error{Code: api.CodeUnavailable, RetryAfter: time.Second, Err: err,
			Hint: "the audit log cannot be written: nothing was done; see --audit"}
	}
	return nil
}

// The refusals of principals that lack a right. Absent and present keys have the same.
var (
	deniedKey = [...]*api.Error{
		front.Read:  {Code: api.CodeDenied, Hint: "this token may not read this key"},
		front.List:  {Code: api.CodeDenied, Hint: "this token may not list this key"},
		front.Write: {Code: api.CodeDenied, Hint: "this token may not write this key"},
	}
	deniedRange = [...]*api.Error{
		front.Read:  {Code: api.CodeDenied, Hint: "this token may not read all keys of this range: ask for keys only, or for a prefix that it may read"},
		front.List:  {Code: api.CodeDenied, Hint: "ask for a prefix that this token may list"},
		front.Write: {Code: api.CodeDenied, Hint: "this token may not write all keys of this range"},
	}
	deniedCluster = [...]*api.Error{
		front.Observe:    {Code: api.CodeDenied, Hint: "this token may not observe the cluster"},
		front.Operate:    {Code: api.CodeDenied, Hint: "this token may not operate the cluster"},
		front.Administer: {Code: api.CodeDenied, Hint: "this token may not administer the cluster"},
	}
)

// lacking returns the refusal of a principal that lacks a right: a client without a token needs one.
func lacking(p *front.Principal, denied *api.Error) error {
	if p.Anonymous() {
		return errNeeded
	}
	return denied
}

// see notes that the token was used here.
func (w *Warden) see(id placement.TokenID) {
	at, _ := w.seen.LoadOrStore(id, new(atomic.Int64))
	at.(*atomic.Int64).Store(time.Now().Unix())
}

// SeenAt returns when each token was last shown to this node, in Unix seconds, since the node's start.
func (w *Warden) SeenAt() map[placement.TokenID]int64 {
	all := map[placement.TokenID]int64{}
	w.seen.Range(func(id, at any) bool {
		all[id.(placement.TokenID)] = at.(*atomic.Int64).Load()
		return true
	})
	return all
}
