package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// WatchStore is a Store that lists and can be watched.
type WatchStore interface {
	ListStore
	api.Watcher
}

// WatchCase is one test of the suite for Watchers.
type WatchCase struct {
	Name string
	Run  func(t *testing.T, s WatchStore)
}

// RunWatcher runs the cases for Watchers, and not those for Stores, as [Run] does.
func RunWatcher(t *testing.T, open func(t *testing.T) WatchStore, opts ...Options) {
	t.Helper()
	for _, c := range WatchCases(opts...) {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, open(t)) })
	}
}

// watchTestCase is a row of the table of cases for Watchers.
type watchTestCase struct {
	name  string
	multi bool // needs what a SingleKey Store cannot do
	run   func(*suite, WatchStore)
}

// WatchCases returns the tests that [RunWatcher] runs.
func WatchCases(opts ...Options) []WatchCase {
	o := pick(opts)
	cases := []watchTestCase{
		{"WatchFromNow", false, (*suite).watchFromNow},
		{"WatchVersionsInOrder", false, (*suite).watchVersionsInOrder},
		{"WatchOnlyChanges", false, (*suite).watchOnlyChanges},
		{"WatchAnyBytes", false, (*suite).watchAnyBytes},
		{"WatchBounds", false, (*suite).watchBounds},
		{"WatchTxnTogether", true, (*suite).watchTxnTogether},
		{"WatchResumes", false, (*suite).watchResumes},
		{"WatchOldest", false, (*suite).watchOldest},
		{"WatchAfterList", false, (*suite).watchAfterList},
		{"WatchAfterPages", false, (*suite).watchAfterPages},
		{"WatchLists", false, (*suite).watchLists},
		{"WatchKeysOnly", false, (*suite).watchKeysOnly},
		{"WatchCollapses", false, (*suite).watchCollapses},
		{"WatchSeenIsThere", false, (*suite).watchSeenIsThere},
		{"WatchMany", false, (*suite).watchMany},
		{"WatchBadCursors", false, (*suite).watchBadCursors},
		{"WatchLimits", false, (*suite).watchLimits},
		{"WatchEnds", false, (*suite).watchEnds},
	}
	if o.Time {
		cases = append(cases, watchTestCase{"WatchTTL", true, (*suite).watchTTL})
	}
	var out []WatchCase
	for _, c := range cases {
		if !c.multi || !o.SingleKey {
			out = append(out, WatchCase{c.name, func(t *testing.T, s WatchStore) {
				t.Helper()
				c.run(newSuite(t, s, o), s)
			}})
		}
	}
	return out
}

// watched is a watch under way.
type watched struct {
	u      *suite
	stream api.WatchStream
	cursor api.Cursor  // the newest
	events []api.Event // all that was delivered
	whole  int         // how many of them the cursor covers
}

// watch begins a watch and waits until it is ready.
func (u *suite) watch(w api.Watcher, r api.WatchRequest) *watched {
	u.Helper()
	s, err := w.Watch(u.ctx, &r)
	if err != nil {
		u.Fatalf("watch %+v: %v", r, err)
	}
	u.Cleanup(func() { _ = s.Close() }) // a watch has no error to close with
	x := &watched{u: u, stream: s}
	for !x.next().Ready {
	}
	return x
}

func (u *suite) watchFolder(w api.Watcher) *watched {
	u.Helper()
	return u.watch(w, api.WatchRequest{Range: api.PrefixRange(u.folder)})
}

// next takes one batch.
func (x *watched) next() *api.WatchBatch {
	x.u.Helper()
	b, err := x.stream.Next()
	if err != nil {
		x.u.Fatalf("after %d events: %v", len(x.events), err)
	}
	if b.Gap != nil || b.Reset {
		x.u.Fatalf("gap %v, reset %v, for no reason", b.Gap, b.Reset)
	}
	for i := range b.Events {
		e := b.Events[i]
		e.Value = bytes.Clone(e.Value)
		x.events = append(x.events, e)
	}
	if b.Cursor != "" {
		x.cursor, x.whole = b.Cursor, len(x.events)
	}
	return b
}

// until takes batches until n events were delivered in total, and the cursor covers them. More than that fail the test.
func (x *watched) until(n int) []api.Event {
	x.u.Helper()
	for len(x.events) < n || x.whole < len(x.events) {
		x.next()
	}
	if len(x.events) != n {
		x.u.Fatalf("%d events, want %d: %s", len(x.events), n, x.text())
	}
	return x.events
}

// text shows the events without the folder of the case.
func (x *watched) text() string { return x.u.eventsText(x.events) }

func (u *suite) eventsText(events []api.Event) string {
	var b bytes.Buffer
	for _, e := range events {
		fmt.Fprintf(&b, "%v %q", e.Kind, e.Key[len(u.folder):])
		if e.Kind == api.EventPut {
			fmt.Fprintf(&b, "=%.20q", e.Value)
		}
		b.WriteString("; ")
	}
	return b.String()
}

func (x *watched) want(text string) {
	x.u.Helper()
	if got := x.text(); got != text {
		x.u.Fatalf("got %s\nwant %s", got, text)
	}
}

func (u *suite) watchFromNow(w WatchStore) {
	u.put(u.key("before"), "1")
	x := u.watchFolder(w)
	v := u.put(u.key("after"), "2")
	x.until(1)
	x.want(`put "after"="2"; `)
	if e := x.events[0]; e.Version != v || e.Key != u.key("after") || e.Txn != 0 || e.TTL != 0 || e.Elided {
		u.Errorf("got %+v, want version %v", e, v)
	}
}

func (u *suite) watchVersionsInOrder(w WatchStore) {
	x := u.watchFolder(w)
	var want []api.Version
	for i := range 10 {
		want = append(want, u.put(u.key("k"), fmt.Sprint(i)))
		if i%3 == 2 {
			want = append(want, u.do(deleteTxn(u.key("k"))).Entries[0].Version)
		}
	}
	for i, e := range x.until(len(want)) {
		if kind := [...]api.EventKind{api.EventPut, api.EventPut, api.EventPut, api.EventDelete}[i%4]; e.Version != want[i] || e.Kind != kind {
			u.Errorf("event %d is %v of version %v, want %v of %v", i, e.Kind, e.Version, kind, want[i])
		}
	}
}

// watchOnlyChanges: what changes nothing visible is not delivered.
func (u *suite) watchOnlyChanges(w WatchStore) {
	x := u.watchFolder(w)
	u.do(deleteTxn(u.key("never")))
	u.put(u.key("k"), "same")
	u.put(u.key("k"), "same")
	u.do(putTxn(u.key("k"), "refused", api.Cond{Kind: api.CondAbsent, Key: u.key("k")}))
	u.do(deleteTxn(u.key("k")))
	u.do(deleteTxn(u.key("k")))
	u.put(u.key("end"), "")
	x.until(4)
	x.want(`put "k"="same"; put "k"="same"; delete "k"; put "end"=""; `)
}

func (u *suite) watchAnyBytes(w WatchStore) {
	x := u.watchFolder(w)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, name := range []string{string(all), "line\nbreak\r\n\ndata: x", "\xff\xfe", "a//b/../c"} {
		u.put(u.key(name), "value of "+name)
	}
	for i, e := range x.until(4) {
		if got := u.read(e.Key); !got.Exists || !bytes.Equal(got.Value, e.Value) || len(e.Value) == 0 {
			u.Errorf("event %d of key %q has %q", i, e.Key, e.Value)
		}
	}
}

func (u *suite) watchBounds(w WatchStore) {
	x := u.watch(w, api.WatchRequest{Range: api.PrefixRange(u.key("b/"))})
	y := u.watch(w, api.WatchRequest{Range: api.Range{Start: u.key("a"), End: u.key("b/2")}})
	for _, n := range []string{"a", "b", "b/1", "b/2", "b0", "c"} {
		u.put(u.key(n), "")
	}
	u.put(u.key("b/end"), "")
	u.put(u.key("b"), "end")
	x.until(3)
	x.want(`put "b/1"=""; put "b/2"=""; put "b/end"=""; `)
	y.until(4)
	y.want(`put "a"=""; put "b"=""; put "b/1"=""; put "b"="end"; `)
}

// watchTxnTogether: the events of one transaction come together, and a cursor is before all of them or behind.
func (u *suite) watchTxnTogether(w WatchStore) {
	x := u.watchFolder(w)
	t := &api.Txn{}
	for i := range 20 {
		t.Then = append(t.Then, api.Op{Kind: api.OpPut, Key: u.key(fmt.Sprintf("%02d", i)), Value: []byte("x")})
	}
	for range 3 {
		u.wantCommitted(u.do(t), true)
	}
	for len(x.events) < 60 {
		if x.next(); x.whole%20 != 0 {
			u.Fatalf("a cursor stands behind %d events of transactions of 20", x.whole)
		}
	}
	for i, e := range x.events {
		if e.Version != x.events[i/20*20].Version {
			u.Fatalf("event %d is of another transaction", i)
		}
	}
}

// watchOldest: a watch from the oldest change that is kept delivers all that happened, also to a key that is gone, and then
// what happens. A gap before that says that older changes are missing. A list excludes it.
func (u *suite) watchOldest(w WatchStore) {
	u.put(u.key("k"), "1")
	u.do(deleteTxn(u.key("k")))
	u.put(u.key("k"), "2")
	r := api.WatchRequest{Range: api.PrefixRange(u.folder), From: api.Oldest}
	s, err := w.Watch(u.ctx, &r)
	if err != nil {
		u.Fatal(err)
	}
	u.Cleanup(func() { _ = s.Close() })
	x := &watched{u: u, stream: s}
	for ready := false; !ready; {
		b, err := s.Next()
		if err != nil || len(b.Events) > 0 || b.Gap == nil && !b.Ready {
			u.Fatalf("it begins with %+v, %v", b, err)
		}
		ready, x.cursor = b.Ready, b.Cursor
	}
	if x.cursor == "" || x.cursor == api.Oldest {
		u.Errorf("the first cursor is %q", x.cursor)
	}
	u.put(u.key("k"), "3")
	x.until(4)
	x.want(`put "k"="1"; delete "k"; put "k"="2"; put "k"="3"; `)
	r.List = true
	_, err = w.Watch(u.ctx, &r)
	u.wantCode(err, api.CodeInvalid)
}

// watchResumes: a watch from any cursor of a watch goes on behind what that one had delivered.
func (u *suite) watchResumes(w WatchStore) {
	x := u.watchFolder(w)
	from := map[api.Cursor]int{x.cursor: 0}
	for i := range 8 {
		u.put(u.key(fmt.Sprint(i%3)), fmt.Sprint(i))
		x.until(i + 1)
		from[x.cursor] = i + 1
	}
	if len(from) != 9 {
		u.Errorf("%d cursors for 9 positions", len(from))
	}
	for cursor, n := range from {
		y := u.watch(w, api.WatchRequest{Range: api.PrefixRange(u.folder), From: cursor})
		y.until(8 - n)
		if got, want := y.text(), u.eventsText(x.events[n:]); got != want {
			u.Errorf("from the cursor behind %d events: %s, want %s", n, got, want)
		}
	}
}

// watchAfterList: a watch from the cursor of a list delivers what changed after it, once.
func (u *suite) watchAfterList(w WatchStore) {
	u.put(u.key("a"), "1")
	u.put(u.key("b"), "1")
	res := u.list(w, api.ListRequest{Range: api.PrefixRange(u.folder)})
	u.wantNames(res.Entries, "a", "b")
	u.put(u.key("a"), "2")
	u.do(deleteTxn(u.key("b")))
	x := u.watch(w, api.WatchRequest{Range: api.PrefixRange(u.folder), From: res.Cursor})
	x.until(2)
	x.want(`put "a"="2"; delete "b"; `)
}

// watchAfterPages: the cursor of the last page covers what changed between the pages.
func (u *suite) watchAfterPages(w WatchStore) {
	for _, n := range []string{"a", "b", "c"} {
		u.put(u.key(n), "1")
	}
	r := api.ListRequest{Range: api.PrefixRange(u.folder), Limit: 1}
	for range 3 {
		res := u.list(w, r)
		last := res.Entries[0].Key
		r.Range.Start, r.Cursor = last+"\x00", res.Cursor
		u.put(last, "2")
	}
	x := u.watch(w, api.WatchRequest{Range: api.PrefixRange(u.folder), From: r.Cursor})
	x.until(3)
	x.want(`put "a"="2"; put "b"="2"; put "c"="2"; `)
}

// watchLists: a watch that lists first delivers what there is, then a Ready, then what changes.
func (u *suite) watchLists(w WatchStore) {
	va, vb := u.put(u.key("a"), "1"), u.put(u.key("b"), "1")
	u.put(u.key("gone"), "1")
	u.do(deleteTxn(u.key("gone")))
	x := u.watch(w, api.WatchRequest{Range: api.PrefixRange(u.folder), List: true})
	slices.SortFunc(x.events, func(a, b api.Event) int { return bytes.Compare([]byte(a.Key), []byte(b.Key)) })
	x.want(`put "a"="1"; put "b"="1"; `)
	if x.events[0].Version != va || x.events[1].Version != vb {
		u.Errorf("versions %v and %v", x.events[0].Version, x.events[1].Version)
	}
	u.put(u.key("a"), "2")
	x.until(3)
	y := u.watch(w, api.WatchRequest{Range: api.PrefixRange(u.folder), From: x.cursor})
	u.do(deleteTxn(u.key("a")))
	y.until(1)
	y.want(`delete "a"; `)
}

func (u *suite) watchKeysOnly(w WatchStore) {
	v := u.put(u.key("k"), "there")
	x := u.watch(w, api.WatchRequest{Range: api.PrefixRange(u.folder), List: true, KeysOnly: true})
	u.put(u.key("k"), "changed")
	for _, e := range x.until(2) {
		if len(e.Value) != 0 || e.Key != u.key("k") || e.Kind != api.EventPut {
			u.Errorf("got %+v", e)
		}
	}
	if x.events[0].Version != v || x.events[1].Version.Compare(v) <= 0 {
		u.Errorf("versions %v and %v", x.events[0].Version, x.events[1].Version)
	}
}

// watchCollapses: a watcher that is behind may miss old versions, never the newest one.
func (u *suite) watchCollapses(w WatchStore) {
	x := u.watch(w, api.WatchRequest{Range: api.PrefixRange(u.folder), Collapse: true})
	var last api.Version
	for i := range 50 {
		last = u.put(u.key("k"), fmt.Sprint(i))
	}
	for seen := (api.Version{}); seen != last; {
		for _, e := range x.next().Events {
			if e.Version.Compare(seen) <= 0 {
				u.Fatalf("version %v after %v", e.Version, seen)
			}
			seen = e.Version
		}
	}
}

// watchSeenIsThere: what was delivered can be read.
func (u *suite) watchSeenIsThere(w WatchStore) {
	x := u.watchFolder(w)
	done := make(chan error, 1)
	go func() {
		for i := range 20 {
			if _, err := u.store.Do(u.ctx, putTxn(u.key("k"), fmt.Sprint(i))); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for n := range 20 {
		for len(x.events) <= n {
			x.next()
		}
		if e := u.read(u.key("k")); e.Version.Compare(x.events[n].Version) < 0 {
			u.Fatalf("read version %v after %v was delivered", e.Version, x.events[n].Version)
		}
	}
	if err := <-done; err != nil {
		u.Fatal(err)
	}
}

// watchMany: watchers of one range that come at different times get the same events.
func (u *suite) watchMany(w WatchStore) {
	var all []*watched
	for i := range 10 {
		all = append(all, u.watchFolder(w))
		u.put(u.key(fmt.Sprint(i)), "x")
	}
	for i, x := range all {
		x.until(10 - i)
		if got, want := x.text(), u.eventsText(all[0].until(10)[i:]); got != want {
			u.Errorf("watcher %d: %s, want %s", i, got, want)
		}
	}
}

// watchBadCursors: what is no cursor, or one of another range, is refused before the watch begins.
func (u *suite) watchBadCursors(w WatchStore) {
	narrow := u.watch(w, api.WatchRequest{Range: api.PrefixRange(u.key("a/"))})
	good, whole := narrow.cursor, u.watchFolder(w).cursor
	forged := []byte(good)
	if forged[len(forged)/2]++; forged[len(forged)/2] > 'z' {
		forged[len(forged)/2] = 'A'
	}
	for name, r := range map[string]api.WatchRequest{
		"none":                  {From: "x"},
		"no base64":             {From: "%%%"},
		"cut":                   {From: good[:len(good)-1]},
		"cut in half":           {From: good[:len(good)/2]},
		"longer":                {From: good + "AA"},
		"forged":                {From: api.Cursor(forged)},
		"of a narrower range":   {From: good, Range: api.PrefixRange(u.folder)},
		"of another range":      {From: good, Range: api.PrefixRange(u.key("b/"))},
		"of part of the range":  {From: good, Range: api.Range{Start: u.key("a/"), End: u.key("b")}},
		"with a list":           {From: good, List: true},
		"longer than any there": {From: api.Cursor(bytes.Repeat([]byte("A"), api.MaxCursorBytes+1))},
	} {
		if r.Range == (api.Range{}) {
			r.Range = api.PrefixRange(u.key("a/"))
		}
		s, err := w.Watch(u.ctx, &r)
		if api.CodeOf(err) != api.CodeInvalid || len(err.Error()) < 40 {
			u.Errorf("%s: %v", name, err)
		}
		if err == nil {
			_ = s.Close() // it should not be
		}
	}
	u.put(u.key("a/k"), "v")
	x := u.watch(w, api.WatchRequest{From: whole, Range: api.PrefixRange(u.key("a/"))})
	x.until(1)
	x.want(`put "a/k"="v"; `)
}

func (u *suite) watchLimits(w WatchStore) {
	long := api.Key(bytes.Repeat([]byte("k"), api.MaxKeyBytes+1))
	_, err := w.Watch(u.ctx, &api.WatchRequest{Range: api.PrefixRange(long)})
	u.wantCode(err, api.CodeTooLarge, "4096", "4097")
	_, err = w.Watch(u.ctx, &api.WatchRequest{Range: api.Range{Start: u.key("b"), End: u.key("a")}})
	u.wantCode(err, api.CodeInvalid)
}

// watchEnds: a watch ends with its context, which ends a Next that waits, and by Close.
func (u *suite) watchEnds(w WatchStore) {
	for _, how := range []string{"ctx", "close"} {
		ctx, cancel := context.WithCancel(u.ctx)
		s, err := w.Watch(ctx, &api.WatchRequest{Range: api.PrefixRange(u.folder)})
		if err != nil {
			u.Fatal(err)
		}
		end := time.AfterFunc(time.Millisecond, cancel)
		for err == nil {
			if how == "close" && end.Stop() {
				err = s.Close()
			}
			if err == nil {
				_, err = s.Next()
			}
		}
		if api.CodeOf(err) != api.CodeUnavailable {
			u.Errorf("%s: the watch ended with %v", how, err)
		}
		_ = s.Close() // a second one does nothing
		cancel()
	}
}
