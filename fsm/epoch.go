package fsm

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Epoch is a point in the count of dedup epochs of the machine's own group. Counts of other groups have no such type: only an
// [Age] is sent from one group to another. See docs/decisions/0021.
type Epoch uint64

func readEpoch(r *codec.Reader) Epoch { return Epoch(r.Uint()) }

// Age is how many epochs ago something was, in the count of the group that had it then.
type Age uint64

// age returns how long ago the epoch was. It is 0 if the epoch is not over.
func (e Epoch) age(now Epoch) Age {
	if e >= now {
		return 0
	}
	return Age(now - e)
}

// before returns the epoch of what is so old now. What is older than the group's count gets the first epoch, and so is kept
// longer than necessary.
func (now Epoch) before(a Age) Epoch {
	if Epoch(a) >= now {
		return 1
	}
	return now - Epoch(a)
}

// expired reports whether what is of the epoch is not kept any more.
func (e Epoch) expired(now Epoch) bool { return e.age(now) > DedupEpochs }

const kindAdvanceDedupEpoch kind = 14

// AdvanceDedupEpoch begins the next dedup epoch. Leaders propose it about once an hour.
type AdvanceDedupEpoch struct{ Term api.Term }

func (AdvanceDedupEpoch) kind() kind            { return kindAdvanceDedupEpoch }
func (c AdvanceDedupEpoch) judgedIn() api.Term  { return c.Term }
func (c AdvanceDedupEpoch) put(w *codec.Writer) { w.Uint(uint64(c.Term)) }

func readAdvanceDedupEpoch(r *codec.Reader) AdvanceDedupEpoch {
	return AdvanceDedupEpoch{api.Term(r.Uint())}
}

func (t *tx) advanceDedupEpoch(*AdvanceDedupEpoch, *Result) *api.Error {
	t.meta.DedupEpoch++
	t.meta.returns.tick()
	return nil
}

// ageOf returns the age of what is of the epoch, for a receipt. Receipts of version 1 have no ages.
func (v *view) ageOf(e Epoch) Age {
	if !v.rules.ages {
		return 0
	}
	age, passed := e.age(v.meta.DedupEpoch), v.meta.returns.sum()
	return age - min(age, passed)
}

// dropped reports whether what is of the epoch may be dropped. An epoch that began because a range came back took no time, so it
// does not count here: what is stored stays for a day, however many ranges come back. Requests are judged only by the count: one
// that is refused too early finds its record when it is repeated.
func (v *view) dropped(e Epoch, kept Age) bool {
	return e.age(v.meta.DedupEpoch) > kept+v.meta.returns.sum()
}

// returns counts the epochs that began because a range came back, grouped by the epochs that took time: first those since the
// last of these, then those of each before it, for a day.
type returns [DedupEpochs + 1]Age

// sum returns the total.
func (x *returns) sum() (n Age) {
	for _, r := range x {
		n += r
	}
	return n
}

// tick counts an epoch that took time.
func (x *returns) tick() {
	copy(x[1:], x[:DedupEpochs])
	x[0] = 0
}

func (x *returns) put(w *codec.Writer) {
	for _, r := range x {
		w.Uint(uint64(r))
	}
}

func readReturns(r *codec.Reader) (x returns) {
	for i := range x {
		x[i] = Age(r.Uint())
	}
	if x == (returns{}) {
		r.Fail("ranges that came back at no time")
	}
	return x
}

// A request's dedup epoch in the log: from level 2 on it names the group.

func putDedupEpoch(w *codec.Writer, e ident.DedupEpoch) {
	w.Uint(e.Count)
	if Level(w.Format) != Level1 && !e.IsZero() {
		w.Text(string(e.Group))
		w.Uint(e.Incarnation)
	}
}

func readDedupEpoch(r *codec.Reader) ident.DedupEpoch {
	e := ident.DedupEpoch{Count: r.Uint()}
	if Level(r.Format) != Level1 && !e.IsZero() {
		e.Group, e.Incarnation = r.Group(), r.Uint()
	}
	return e
}

// own returns the epoch in the machine's own count. It returns false if the epoch is of another group or incarnation, or has not
// begun.
func (v *view) own(e ident.DedupEpoch) (Epoch, bool) {
	own := Epoch(e.Count)
	return own, e.Group == v.meta.Group && e.Incarnation == v.meta.Incarnation && own <= v.meta.DedupEpoch
}

// recent refuses a request without a record if, by the epoch in which it was first sent, it may have had a record.
func (v *view) recent(e ident.DedupEpoch, anchor api.Key) *api.Error {
	if e.IsZero() {
		return nil
	}
	now := v.meta.DedupEpoch
	if !v.rules.ages || !guardEpochLineage {
		if Epoch(e.Count).expired(now) {
			return errExpired("it is of epoch %d, this is %d", e.Count, now)
		}
		return nil
	}
	o, owns := v.shardOf(anchor)
	if !owns {
		return nil // the request is refused for that
	}
	own, ok := v.own(e)
	if !ok {
		return errExpired("it is of epoch %v, and %s does not know how old that is", e, v.meta.Group)
	}
	if own.expired(now) {
		return errExpired("it is of epoch %d, this is %d", own, now)
	}
	if own < o.since {
		return &api.Error{Code: api.CodeUnavailable, Key: anchor, RetryAfter: 100 * time.Millisecond,
			Hint: "the range has come back since the request's epoch: send it with the group's present one"}
	}
	return nil
}

// epochFor returns the epoch for the record of a request that named an epoch.
func (v *view) epochFor(asked ident.DedupEpoch) Epoch {
	if v.rules.ages {
		return v.meta.DedupEpoch
	}
	return epochOf(Epoch(asked.Count), v.meta.DedupEpoch)
}

// epochOf is the rule of version 1, which treated a count from another group as the group's own. The record must be kept as long
// as its request is not refused. An epoch too far ahead is treated as unknown.
func epochOf(asked, now Epoch) Epoch {
	if asked > now && asked-now <= DedupEpochs {
		return asked
	}
	return now
}
