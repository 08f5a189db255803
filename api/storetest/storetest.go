// Package storetest is the test suite for [api.Store]. Every Store passes it: a group's authority, a stub for a peer, the router,
// the lease cache, the SDK over HTTP. [NewMemory] returns the reference implementation, which passes it too.
package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Options say what a Store cannot do, and on which keys to test it. The zero Options require everything, on any key.
type Options struct {
	// Prefix is the beginning of every key of the suite. A Store that owns only a part of the keys sets it to one of its own.
	Prefix api.Key
	// SingleKey is set for a Store whose transactions are one write with conditions of version, existence or absence on the
	// written key and no Else: those that plain HTTP requests can express.
	SingleKey bool
	// Time is set for a Store that has times to live, and the steps touch and list.
	Time bool
	// Functions is set for a Store that has the steps append, sum64, min64 and max64, steps that keep the deadline of their key, and
	// times to live.
	Functions bool
	// Together is set for a Store that makes several lists at once ([api.ListRequest].Also).
	Together bool
	// Patience bounds each call. 0 means 30 s.
	Patience time.Duration
}

// ListStore is a Store that also lists.
type ListStore interface {
	api.Store
	api.Lister
}

// Case is one test of the suite. Names are unique.
type Case struct {
	Name string
	Run  func(t *testing.T, s api.Store)
}

// ListCase is one test of the suite for Stores that list.
type ListCase struct {
	Name string
	Run  func(t *testing.T, s ListStore)
}

// Read is s.Read with a new result.
func Read(ctx context.Context, s api.Store, r *api.ReadRequest) (*api.ReadResult, error) {
	out := new(api.ReadResult)
	if err := s.Read(ctx, r, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Answer copies res to out, for a Store that gets its results from elsewhere. It returns err. If err is not nil, out is
// unchanged.
func Answer(out, res *api.ReadResult, err error) error {
	if err == nil {
		entries := out.Entries[:0]
		entries = append(entries, res.Entries...)
		*out = *res
		out.Entries = entries
	}
	return err
}

// Run runs the suite, each case in a subtest with the Store that open returns for it. Cases and runs may share a Store: no two of
// them use the same key. A synctest bubble does not allow subtests; use [Cases] there.
func Run(t *testing.T, open func(t *testing.T) api.Store, opts ...Options) {
	t.Helper()
	for _, c := range Cases(opts...) {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, open(t)) })
	}
}

// RunLister runs the suite and then the cases for Stores that list, as [Run] does.
func RunLister(t *testing.T, open func(t *testing.T) ListStore, opts ...Options) {
	t.Helper()
	Run(t, func(t *testing.T) api.Store { return open(t) }, opts...)
	for _, c := range ListCases(opts...) {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, open(t)) })
	}
}

// Cases returns the tests that [Run] runs.
func Cases(opts ...Options) []Case {
	o := pick(opts)
	cases := []testCase{
		{"ReadAbsent", false, (*suite).readAbsent},
		{"ReadPresent", false, (*suite).readPresent},
		{"ReadManyInOrder", false, (*suite).readManyInOrder},
		{"ReadKnown", false, (*suite).readKnown},
		{"ReadReusesMemory", false, (*suite).readReusesMemory},
		{"ReadConsistencies", false, (*suite).readConsistencies},
		{"EmptyValueIsNotAbsent", false, (*suite).emptyValueIsNotAbsent},
		{"AnyBytes", false, (*suite).anyBytes},
		{"ValuesAreCopied", false, (*suite).valuesAreCopied},
		{"Delete", false, (*suite).delete},
		{"DeleteAbsent", false, (*suite).deleteAbsent},
		{"VersionsRise", false, (*suite).versionsRise},
		{"CondVersion", false, (*suite).condVersion},
		{"CondVersionOfAbsence", false, (*suite).condVersionOfAbsence},
		{"CondExists", false, (*suite).condExists},
		{"CondAbsent", false, (*suite).condAbsent},
		{"CondValue", true, (*suite).condValue},
		{"CondsAllHold", true, (*suite).condsAllHold},
		{"TxnIsAtomic", true, (*suite).txnIsAtomic},
		{"TxnElse", true, (*suite).txnElse},
		{"TxnGets", true, (*suite).txnGets},
		{"TxnSameKeyAgain", true, (*suite).txnSameKeyAgain},
		{"TxnAdds", true, (*suite).txnAdds},
		{"TxnAppendsIfAbsent", true, (*suite).txnAppendsIfAbsent},
		{"TxnRefusedByFunction", true, (*suite).txnRefusedByFunction},
		{"OnceAdds", true, (*suite).onceAdds},
		{"TxnMovesMoney", true, (*suite).txnMovesMoney},
		{"OnceReplays", false, (*suite).onceReplays},
		{"OnceReplaysGets", true, (*suite).onceReplaysGets},
		{"OnceReplaysRefusals", false, (*suite).onceReplaysRefusals},
		{"OnceOtherBody", false, (*suite).onceOtherBody},
		{"OnceOpaque", false, (*suite).onceOpaque},
		{"OnceRefusesIDs", false, (*suite).onceRefusesIDs},
		{"OnceRejectedLeavesNoRecord", false, (*suite).onceRejectedLeavesNoRecord},
		{"OnceConcurrent", false, (*suite).onceConcurrent},
		{"LimitKey", false, (*suite).limitKey},
		{"LimitValue", false, (*suite).limitValue},
		{"LimitOps", true, (*suite).limitOps},
		{"LimitTxnBytes", true, (*suite).limitTxnBytes},
		{"LimitReadKeys", false, (*suite).limitReadKeys},
		{"Invalid", true, (*suite).invalid},
		{"ConcurrentCounter", false, (*suite).concurrentCounter},
		{"ConcurrentReadersSeeVersionsRise", false, (*suite).concurrentReaders},
		{"Cancelled", false, (*suite).cancelled},
	}
	if o.Time {
		cases = append(cases, timeCases...)
	}
	if o.Functions {
		cases = append(cases, functionCases...)
	}
	var out []Case
	for _, c := range cases {
		if c.multi && o.SingleKey {
			continue
		}
		out = append(out, Case{c.name, func(t *testing.T, s api.Store) {
			t.Helper()
			c.run(newSuite(t, s, o))
		}})
	}
	return out
}

// testCase is a row of the table of cases.
type testCase struct {
	name  string
	multi bool // needs what a SingleKey Store cannot do
	run   func(*suite)
}

// timeCases are those for Stores that have times to live.
var timeCases = []testCase{
	{"TTLExpires", false, (*suite).ttlExpires},
	{"TTLOfPut", false, (*suite).ttlOfPut},
	{"TTLBounds", false, (*suite).ttlBounds},
	{"TTLOfFunctions", true, (*suite).ttlOfFunctions},
	{"TouchRaises", true, (*suite).touchRaises},
	{"TouchKeepsAlive", true, (*suite).touchKeepsAlive},
	{"ListStep", true, (*suite).listStep},
	{"OnceReplaysNoLists", true, (*suite).onceReplaysNoLists},
}

// functionCases are those for Stores that have the functions of bytes.
var functionCases = []testCase{
	{"TxnAppends", true, (*suite).txnAppends},
	{"TxnFolds", true, (*suite).txnFolds},
	{"TxnRefusedByFold", true, (*suite).txnRefusedByFold},
	{"KeepsTTL", true, (*suite).keepsTTL},
	{"KeepTTLOfPut", false, (*suite).keepTTLOfPut},
	{"OnceAppends", true, (*suite).onceAppends},
}

// ListCases returns the tests that [RunLister] adds.
func ListCases(opts ...Options) []ListCase {
	o := pick(opts)
	cases := []listTestCase{
		{"ListOrder", (*suite).listOrder},
		{"ListBounds", (*suite).listBounds},
		{"ListPages", (*suite).listPages},
		{"ListKeysOnly", (*suite).listKeysOnly},
		{"ListDeleted", (*suite).listDeleted},
		{"ListDefaultLimit", (*suite).listDefaultLimit},
		{"ListBytes", (*suite).listBytes},
		{"ListLimits", (*suite).listLimits},
	}
	if o.Together {
		cases = append(cases, listTestCase{"ListTogether", (*suite).listTogether})
	}
	if o.Time {
		cases = append(cases, listTestCase{"ListTTL", (*suite).listTTL})
	}
	out := make([]ListCase, 0, len(cases))
	for _, c := range cases {
		out = append(out, ListCase{c.name, func(t *testing.T, s ListStore) {
			t.Helper()
			c.run(newSuite(t, s, o), s)
		}})
	}
	return out
}

type listTestCase struct {
	name string
	run  func(*suite, api.Lister)
}

func pick(opts []Options) Options {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	return o
}

// suite is one running case: a Store, a folder for its keys, and a client.
type suite struct {
	*testing.T
	store  api.Store
	folder api.Key // ends in '/'; its first two segments keep all its keys in one shard
	ctx    context.Context
	client api.ClientID
	seq    atomic.Uint64
	single bool
}

// runs numbers the cases of the process, so that no two use the same keys.
var runs atomic.Uint64

func newSuite(t *testing.T, s api.Store, o Options) *suite {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), o.Patience)
	t.Cleanup(cancel)
	n := runs.Add(1)
	u := &suite{T: t, store: s, ctx: ctx, single: o.SingleKey}
	u.folder = o.Prefix + api.Key(fmt.Sprintf("storetest/%d/", n))
	copy(u.client[:], fmt.Sprintf("storetest%07d", n))
	return u
}

// key returns a key of this case.
func (u *suite) key(name string) api.Key { return u.folder + api.Key(name) }

// nextID returns a fresh request id of this case's client.
func (u *suite) nextID() api.RequestID { return api.RequestID{Client: u.client, Seq: u.seq.Add(1)} }

func (u *suite) read(k api.Key) api.Entry {
	u.Helper()
	return u.readAll(k)[0]
}

func (u *suite) readAll(keys ...api.Key) []api.Entry {
	u.Helper()
	res, err := Read(u.ctx, u.store, &api.ReadRequest{Keys: keys})
	if err != nil {
		u.Fatalf("read %q: %v", keys, err)
	}
	if len(res.Entries) != len(keys) {
		u.Fatalf("read of %d keys gave %d entries", len(keys), len(res.Entries))
	}
	for i, e := range res.Entries {
		if e.Key != keys[i] {
			u.Fatalf("entry %d is of key %q, want %q", i, e.Key, keys[i])
		}
	}
	return res.Entries
}

func (u *suite) do(t *api.Txn) *api.TxnResult {
	u.Helper()
	res, err := u.store.Do(u.ctx, t)
	if err != nil {
		u.Fatalf("do: %v", err)
	}
	return res
}

// put writes k without a condition and returns the version.
func (u *suite) put(k api.Key, value string) api.Version {
	u.Helper()
	res := u.do(putTxn(k, value))
	u.wantCommitted(res, true)
	if e := res.Entries[0]; e.Key != k || !e.Exists || len(e.Value) != 0 || e.Version.IsZero() {
		u.Fatalf("put of %.40q returned %+v, want the key, that it exists, its version and no value", k, e)
	}
	return res.Entries[0].Version
}

func putTxn(k api.Key, value string, conds ...api.Cond) *api.Txn {
	return &api.Txn{If: conds, Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte(value)}}}
}

func deleteTxn(k api.Key, conds ...api.Cond) *api.Txn {
	return &api.Txn{If: conds, Then: []api.Op{{Kind: api.OpDelete, Key: k}}}
}

func (u *suite) wantCommitted(res *api.TxnResult, want bool) {
	u.Helper()
	if res.Committed != want {
		u.Fatalf("committed = %v, want %v", res.Committed, want)
	}
	if len(res.Entries) == 0 {
		u.Fatal("the result has no entries")
	}
}

func (u *suite) wantValue(k api.Key, want string) {
	u.Helper()
	if e := u.read(k); !e.Exists || string(e.Value) != want {
		u.Fatalf("key %q: exists = %v, value = %.40q, want %.40q", k, e.Exists, e.Value, want)
	}
}

func (u *suite) wantAbsent(k api.Key) {
	u.Helper()
	if e := u.read(k); e.Exists || len(e.Value) != 0 {
		u.Fatalf("key %.40q: exists = %v, value = %.40q, want it absent", k, e.Exists, e.Value)
	}
}

// wantCode requires that err has the code, and that its text contains the given numbers.
func (u *suite) wantCode(err error, code api.Code, naming ...string) {
	u.Helper()
	if api.CodeOf(err) != code {
		u.Fatalf("error = %v, want code %s", err, code)
	}
	for _, n := range naming {
		if !strings.Contains(err.Error(), n) {
			u.Errorf("error %q does not name %s", err, n)
		}
	}
}
