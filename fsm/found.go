package fsm

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

const kindInit kind = 1

// Init founds a group, at the level of its version: the first leader proposes it. Once a machine is founded, it does nothing.
type Init struct {
	Group api.GroupID
	// Incarnation is the first part of every session's id.
	Incarnation uint64
	// Shards are what the group owns from the start. They do not overlap.
	Shards []Shard
	// MaxTerm and MaxPause bound what a session may ask for as T and P.
	MaxTerm, MaxPause time.Duration
}

func (Init) kind() kind { return kindInit }

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

// init founds the group at the level of the command, once.
func (t *tx) init(c *Init, _ *Result) *api.Error {
	if t.meta.Initialized {
		return nil
	}
	if c.Group == "" || c.MaxTerm <= 0 {
		return api.Errorf(api.CodeInvalid, "a group needs a name and a greatest lease term")
	}
	shards := slices.SortedFunc(slices.Values(c.Shards), func(a, b Shard) int {
		return compareKeys(a.Range.Start, b.Range.Start)
	})
	for i, s := range shards {
		if err := s.check(); err != nil {
			return err
		}
		if t.rules.time && s.Epoch == 0 {
			return api.Errorf(api.CodeInvalid, "the range %v has no epoch", s.Range)
		}
		if i > 0 && shards[i-1].Range.Overlaps(s.Range) {
			return api.Errorf(api.CodeInvalid, "the ranges %v and %v overlap", shards[i-1].Range, s.Range)
		}
	}
	for _, s := range shards {
		t.own(owned{Shard: s})
	}
	t.meta.Initialized, t.meta.Group, t.meta.Incarnation, t.meta.Level = true, c.Group, c.Incarnation, t.version
	t.meta.MaxTerm, t.meta.MaxPause, t.meta.DedupEpoch = c.MaxTerm, c.MaxPause, 1
	if t.meta.Level.keepsHistory() {
		t.meta.HistMax = DefaultHistory // whose floor is 0: it has all that will ever have been visible
	}
	return nil
}

const kindTermStart kind = 2

// TermStart says that a leader begins its term: the term of the log entry.
type TermStart struct{ Node api.NodeID }

func (TermStart) kind() kind                  { return kindTermStart }
func (c TermStart) put(w *codec.Writer)       { w.Text(string(c.Node)) }
func readTermStart(r *codec.Reader) TermStart { return TermStart{r.Node()} }

func (t *tx) termStart(c *TermStart, res *Result) *api.Error {
	t.meta.LastTerm = t.term
	res.Effect = Effect{Kind: EffectTermStart, Node: c.Node}
	return nil
}

func (t *tx) founded() *api.Error {
	if !t.meta.Initialized {
		return errNotFounded()
	}
	return nil
}

func errNotFounded() *api.Error {
	return &api.Error{Code: api.CodeUnavailable, Hint: "the group is not founded yet"}
}

// judged refuses a judgement that was not made in the term of its entry: what its leader knew may be over.
func (t *tx) judged(term api.Term) *api.Error {
	if guardTermFence && term != t.term {
		return api.Errorf(api.CodeNotLeader, "judged in term %d, but applied in term %d", term, t.term)
	}
	return t.founded()
}
