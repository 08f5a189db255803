package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Watch is what one client was told of a range, by one stream or by several of which each continued from the last cursor of the one
// before.
type Watch struct {
	Name     string
	Range    api.Range
	List     bool // it began with what the range held
	Collapse bool // only the newest event of a key need come
	// Begun is when the first stream was asked for. Until is when the client stopped: all that had been applied long enough before
	// was to be told by then, and the caller says what long enough is by what it puts here.
	Begun, Until time.Duration
	// Whole means that no change may be missing, even if a gap says so: nothing has trimmed the history.
	Whole   bool
	Batches []Told
}

// Told is one batch, told At an instant. Continued means that it is the first batch of another stream, which continued from the
// last cursor before it.
type Told struct {
	api.WatchBatch
	At        time.Duration
	Continued bool
}

// Watched judges a watch by the changes that became visible. It returns how many events the client was told, those told again not
// counted, and nil or what is wrong. It demands:
//
//   - every event is one of the changes, and is told no earlier than a machine has applied it;
//   - of each key every version is told, in order and once, from the beginning until Until, but for what a gap stands for;
//   - a watch from now begins between Begun and its Ready; one with a list begins with a state that the range had since Begun;
//   - the events of a group come in its order, those of one command together, and no cursor stands between them;
//   - what was acknowledged longer ago than an Age has been told.
//
// acked are writes with the versions that they made; they need not be all.
func Watched(w *Watch, all []Change, acked []Op) (events int, err error) {
	h, err := newChanges(all)
	if err != nil {
		return 0, err
	}
	j := &watchJudge{Watch: w, changes: h, newest: map[api.Key]api.Version{}, ready: -1}
	for i := range acked {
		if o := &acked[i]; o.wrote() && w.Range.Contains(o.Key) {
			j.acked = append(j.acked, o)
		}
	}
	slices.SortStableFunc(j.acked, func(a, b *Op) int { return cmp.Compare(a.Return, b.Return) })
	for i := range w.Batches {
		if err := j.batch(&w.Batches[i]); err != nil {
			return len(j.log), fmt.Errorf("watch %s, batch %d at %v: %w", w.Name, i, w.Batches[i].At, err)
		}
	}
	if err := j.order(); err != nil {
		return len(j.log), fmt.Errorf("watch %s: %w", w.Name, err)
	}
	if err := j.whole(); err != nil {
		return len(j.log), fmt.Errorf("watch %s: %w", w.Name, err)
	}
	return len(j.log), nil
}

// watchJudge is what Watched knows of a watch so far.
type watchJudge struct {
	*Watch
	*changes
	acked []*Op // by their return

	log    []int // the changes that count, in the order in which they were told
	kept   int   // as many of the log were told up to the last cursor
	gaps   []placedGap
	ready  int // how long the log was when the watch was ready; -1: it is not
	since  time.Duration
	newest map[api.Key]api.Version // of what was told, also of what will come again
}

// placedGap is a gap behind as many events.
type placedGap struct {
	api.Gap
	behind int
}

func (j *watchJudge) batch(b *Told) error {
	if b.Continued {
		j.log = j.log[:min(j.kept, len(j.log))]
		j.gaps = slices.DeleteFunc(j.gaps, func(g placedGap) bool { return g.behind > j.kept })
	}
	if b.Reset {
		j.log, j.kept, j.gaps, j.ready = nil, 0, nil, -1
	}
	if b.Gap != nil {
		if j.Whole {
			return fmt.Errorf("a gap (%s) though nothing has shortened the history", b.Gap.Reason)
		}
		j.gaps = append(j.gaps, placedGap{*b.Gap, len(j.log)})
	}
	for i := range b.Events {
		if err := j.event(b, &b.Events[i]); err != nil {
			return err
		}
	}
	if b.Ready && j.ready < 0 {
		j.ready, j.since = len(j.log), b.At
	}
	if b.Cursor != "" {
		if err := j.cursor(); err != nil {
			return err
		}
		j.kept = len(j.log)
	}
	return j.age(b)
}

// event demands that an event is one of the changes.
func (j *watchJudge) event(b *Told, e *api.Event) error {
	at, ok := j.named[keyAt{e.Key, e.Version}]
	if !ok {
		return fmt.Errorf("told what never became visible: %v %q at version %v", e.Kind, string(e.Key), e.Version)
	}
	c := &j.all[at]
	switch {
	case !j.Range.Contains(e.Key):
		return fmt.Errorf("told of a key that is not watched: %v", c)
	case c.Kind != e.Kind, !e.Elided && string(c.Value) != string(e.Value):
		return fmt.Errorf("told %v %q = %q, but it was: %v = %q", e.Kind, string(e.Key), e.Value, c, c.Value)
	case b.At < c.At:
		return fmt.Errorf("told before a machine had applied it: %v", c)
	}
	j.log = append(j.log, at)
	if e.Version.Compare(j.newest[e.Key]) > 0 {
		j.newest[e.Key] = e.Version
	}
	return nil
}

// cursor demands that the log ends with a whole command.
func (j *watchJudge) cursor() error {
	if j.Collapse || j.ready < 0 || len(j.log) <= max(j.ready, j.kept) {
		return nil
	}
	of := j.all[j.log[len(j.log)-1]].command()
	told := 0
	for i := len(j.log) - 1; i >= j.ready && j.all[j.log[i]].command() == of; i-- {
		told++
	}
	made := 0
	for _, i := range j.made[of] {
		if j.Range.Contains(j.all[i].Key) {
			made++
		}
	}
	if told < made && !j.inGap(j.all[j.log[len(j.log)-1]].Key, 0, len(j.log)) && !j.partly(of) {
		return fmt.Errorf("a cursor stands behind %d of the %d events of command %d of %s", told, made, of.index, of.group)
	}
	return nil
}

// partly reports whether a list had some of what the command made: it is not told again.
func (j *watchJudge) partly(of command) bool {
	return j.List && slices.ContainsFunc(j.log[:j.ready], func(i int) bool { return j.all[i].command() == of })
}

// age demands that what was acknowledged long enough ago has been told.
func (j *watchJudge) age(b *Told) error {
	if b.Age <= 0 || j.ready < 0 {
		return nil
	}
	for _, o := range j.acked {
		if o.Return >= b.At-b.Age-instant {
			break
		}
		at, ok := j.named[keyAt{o.Key, o.Result.Version}]
		if !ok || j.all[at].At <= j.since || j.newest[o.Key].Compare(o.Result.Version) >= 0 || j.inGap(o.Key, 0, len(j.log)) {
			continue
		}
		return fmt.Errorf("all is told that is older than %v, but not %v", b.Age, o)
	}
	return nil
}

// inGap reports whether a gap of the key stands behind at least from and at most to events.
func (j *watchJudge) inGap(k api.Key, from, to int) bool {
	return slices.ContainsFunc(j.gaps, func(g placedGap) bool { return g.behind >= from && g.behind <= to && g.Range.Contains(k) })
}

// order demands that the events of a group stand in its order, and those of one command together.
func (j *watchJudge) order() error {
	if j.Collapse || j.ready < 0 {
		return nil
	}
	last := map[api.GroupID]int{} // places in the log
	for place := j.ready; place < len(j.log); place++ {
		c := &j.all[j.log[place]]
		before, ok := last[c.Group]
		last[c.Group] = place
		if !ok || j.inGap(c.Key, before, place) {
			continue
		}
		switch b := &j.all[j.log[before]]; {
		case b.Index > c.Index:
			return fmt.Errorf("told in another order than they became visible:\n\t%v\n\t%v", b, c)
		case b.Index == c.Index && before != place-1:
			return fmt.Errorf("told between the events of one command:\n\t%v\n\t%v\n\t%v", b, &j.all[j.log[place-1]], c)
		}
	}
	return nil
}

// whole demands of each key every version, in order and once. It judges the keys in their order, so that the same watch has the
// same verdict each time.
func (j *watchJudge) whole() error {
	if j.ready < 0 {
		return fmt.Errorf("it was never ready")
	}
	places := map[api.Key][]int{} // in the log
	for place, i := range j.log {
		places[j.all[i].Key] = append(places[j.all[i].Key], place)
	}
	for _, k := range slices.Sorted(maps.Keys(j.of)) {
		if !j.Range.Contains(k) {
			continue
		}
		of, told := j.of[k], places[k]
		if len(told) == 0 {
			if err := j.nothing(k, of); err != nil {
				return err
			}
			continue
		}
		if err := j.first(told[0]); err != nil {
			return err
		}
		for n := 1; n < len(told); n++ {
			if err := j.follows(told[n-1], told[n]); err != nil {
				return err
			}
		}
		last := j.log[told[len(told)-1]]
		if next := j.changes.next(last); next != nil && next.At <= j.Until && !j.inGap(k, told[len(told)-1], len(j.log)) {
			return fmt.Errorf("lost at the end: %v", next)
		}
	}
	return nil
}

// nothing judges a key of which nothing was told.
func (j *watchJudge) nothing(k api.Key, of []int) error {
	last := len(of) - 1
	for last >= 0 && j.all[of[last]].At > j.Until {
		last--
	}
	switch {
	case last < 0, j.inGap(k, 0, len(j.log)):
		return nil
	case j.all[of[last]].At <= j.since && !j.List, j.all[of[last]].At <= j.since && j.absent(of[last]):
		return nil
	}
	return fmt.Errorf("nothing was told of %q, but this had happened: %v", string(k), &j.all[of[last]])
}

// absent reports whether the key of the i-th change was absent at some time from then until the list had ended.
func (j *watchJudge) absent(i int) bool {
	for c := &j.all[i]; c != nil && (c == &j.all[i] || c.At <= j.since); c = j.changes.next(j.named[keyAt{c.Key, c.Version}]) {
		if c.Kind != api.EventPut {
			return true
		}
	}
	return false
}

// first judges the first event of a key.
func (j *watchJudge) first(place int) error {
	i := j.log[place]
	c, before := &j.all[i], j.before(i)
	switch {
	case j.inGap(c.Key, 0, place):
	case !j.List:
		if c.At < j.Begun {
			return fmt.Errorf("told what had become visible before the watch began: %v", c)
		}
		if before != nil && before.At > j.since && !j.Collapse {
			return fmt.Errorf("lost at the beginning: %v", before)
		}
	case place < j.ready:
		if next := j.changes.next(i); next != nil && next.At < j.Begun {
			return fmt.Errorf("the list has what was replaced before it was asked for:\n\t%v\n\t%v", c, next)
		}
	case before != nil && before.Kind == api.EventPut:
		return fmt.Errorf("neither listed nor told: %v", before)
	}
	return nil
}

// follows demands that two events of a key follow each other.
func (j *watchJudge) follows(a, b int) error {
	x, y := j.log[a], j.log[b]
	switch next := j.changes.next(x); {
	case j.places[y] <= j.places[x]:
		return fmt.Errorf("told again, or out of order:\n\t%v\n\t%v", &j.all[x], &j.all[y])
	case j.Collapse, j.places[y] == j.places[x]+1, j.inGap(j.all[y].Key, a, b):
		return nil
	default:
		return fmt.Errorf("lost between two events of one key: %v", next)
	}
}

// Seen returns what a client saw by being told, as reads for [Versions]: each change when it was told to one of the watches for the
// first time, of the keys that the history has. So no read that begins later may be older.
func Seen(watches []*Watch, client int, of func(api.Key) bool) (ops []Op) {
	for _, f := range firstTold(watches, of) {
		ops = append(ops, Op{Client: client, Kind: Get, Key: f.key, Return: f.at, Outcome: OK, Result: f.state})
	}
	return ops
}

// SeenTxns is Seen for [StrictlySerializable]: transactions of one read. The instants of the watches
// must differ from all others of the history, as those do that [Recorder.Instant] returns.
func SeenTxns(watches []*Watch, client int, of func(api.Key) bool) (txns []Txn) {
	for _, f := range firstTold(watches, of) {
		txns = append(txns, Txn{Client: client, Steps: []Step{{Kind: Get, Key: f.key, State: f.state}}, Return: f.at, Outcome: OK})
	}
	return txns
}

// instant is more than by how much the instants of a history that had to differ are off.
const instant = 10 * time.Microsecond

// toldAt is one version of one key, and when it was told first.
type toldAt struct {
	key   api.Key
	at    time.Duration
	state State
}

// firstTold returns the versions that the watches were told, in the order in which they were told first: by watch, then by batch.
func firstTold(watches []*Watch, of func(api.Key) bool) (all []toldAt) {
	first := map[keyAt]int{} // places in all
	for _, w := range watches {
		for i := range w.Batches {
			b := &w.Batches[i]
			for _, e := range b.Events {
				if e.Elided || !of(e.Key) {
					continue
				}
				n := keyAt{e.Key, e.Version}
				if place, again := first[n]; again {
					all[place].at = min(all[place].at, b.At)
					continue
				}
				first[n] = len(all)
				all = append(all, toldAt{e.Key, b.At, State{Exists: e.Kind == api.EventPut, Value: string(e.Value), Version: e.Version}})
			}
		}
	}
	return all
}
