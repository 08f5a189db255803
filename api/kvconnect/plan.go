package kvconnect

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// plan is what a write does to the keys of its database.
//
// SUM, MIN and MAX take a value that is absent or an integer of 8 bytes. What a key holds is not known here, and reading it first would
// cost a round trip. So a write is first tried under the condition that all these keys hold such integers, as counters mostly do. If
// that does not hold, it is tried again under what the conditions have met, and in the end under what has been read.
type plan struct {
	database
	ops     []api.Op
	holds   map[string]encoding // what a key holds after the steps so far: 0 if it is absent
	unknown []counter           // keys that a function meets first
}

// counter is a key of which a function was the first mutation.
type counter struct {
	key    []byte
	op     string
	absent bool // it is expected to be absent, and not to hold an integer
}

// functions are the steps of SUM, MIN and MAX.
var functions = map[int32]struct {
	name string
	kind api.OpKind
}{kindSum: {"sum", api.OpSum64}, kindMin: {"min", api.OpMin64}, kindMax: {"max", api.OpMax64}}

// plan returns what the mutations do, at the time now of this node.
func (d database) plan(mutations []mutation, now time.Time) (*plan, error) {
	p := &plan{database: d, holds: map[string]encoding{}}
	for i := range mutations {
		m := &mutations[i]
		if err := checkWritten(m.key); err != nil {
			return nil, err
		}
		if err := p.add(m, now); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *plan) add(m *mutation, now time.Time) error {
	switch m.kind {
	case kindSet:
		return p.set(m, now)
	case kindDelete:
		p.ops = append(p.ops, api.Op{Kind: api.OpDelete, Key: p.data(m.key)}, api.Op{Kind: api.OpDelete, Key: p.meta(m.key)})
		p.holds[string(m.key)] = 0
		return nil
	case kindSum, kindMin, kindMax:
		return p.function(m)
	case kindSetSuffix:
		return api.Errorf(api.CodeInvalid, "keys with the versionstamp as a suffix are not served: they are made when the write is carried out, "+
			"and no node could give up its leases on them before")
	}
	return api.Errorf(api.CodeInvalid, "%d is not the kind of a mutation", m.kind)
}

// set puts a value, and its sibling or none.
func (p *plan) set(m *mutation, now time.Time) error {
	e := encoding(m.encoding)
	switch {
	case !m.hasValue:
		return api.Errorf(api.CodeInvalid, "a set has no value")
	case m.encoding < int32(encodingV8) || m.encoding > int32(encodingBytes):
		return api.Errorf(api.CodeInvalid, "%d is not the number of an encoding", m.encoding)
	case len(m.data) > maxValueBytes:
		return api.Errorf(api.CodeTooLarge, "a value of %d bytes is over the limit of %d bytes", len(m.data), maxValueBytes)
	case e == encodingLE64 && len(m.data) != 8:
		return api.Errorf(api.CodeInvalid, "an integer has %d bytes; it has 8", len(m.data))
	case m.expireAt < 0:
		return api.Errorf(api.CodeInvalid, "expire_at_ms is negative")
	}
	ttl := lifetime(m.expireAt, now)
	p.ops = append(p.ops, api.Op{Kind: api.OpPut, Key: p.data(m.key), Value: m.data, TTL: ttl}, p.sibling(m.key, e, ttl))
	p.holds[string(m.key)] = e
	return nil
}

// sibling returns the step that says how the value of a key is encoded.
func (p *plan) sibling(key []byte, e encoding, ttl time.Duration) api.Op {
	if text := e.text(); text != "" {
		return api.Op{Kind: api.OpPut, Key: p.meta(key), Value: []byte(text), TTL: ttl}
	}
	return api.Op{Kind: api.OpDelete, Key: p.meta(key)}
}

// lifetime returns the time to live of a key that expires at a time, in milliseconds since the Unix epoch; 0 is for ever. A key never
// expires early: one that should have expired already lives for the shortest time that there is, and one that should after the longest,
// for ever.
func lifetime(at int64, now time.Time) time.Duration {
	if at == 0 {
		return 0
	}
	left := at - now.UnixMilli()
	switch {
	case left < api.MinTTL.Milliseconds():
		return api.MinTTL
	case left > api.MaxTTL.Milliseconds():
		return 0
	}
	return time.Duration(left) * time.Millisecond
}

// function computes an integer. As in Deno's own server, the result does not expire.
func (p *plan) function(m *mutation) error {
	f := functions[m.kind]
	if !m.hasValue || encoding(m.encoding) != encodingLE64 || len(m.data) != 8 {
		return api.Errorf(api.CodeInvalid, "failed to perform '%s' mutation on a non-U64 operand: only Deno.KvU64 is served", f.name)
	}
	key := string(m.key)
	switch e, known := p.holds[key]; {
	case !known:
		p.unknown = append(p.unknown, counter{key: m.key, op: f.name})
	case e != 0 && e != encodingLE64:
		return notU64(f.name)
	}
	p.ops = append(p.ops, api.Op{Kind: f.kind, Key: p.data(m.key), Value: m.data}, p.sibling(m.key, encodingLE64, 0))
	p.holds[key] = encodingLE64
	return nil
}

func notU64(op string) error {
	return api.Errorf(api.CodePreconditionFailed, "failed to perform '%s' mutation on a non-U64 value in the database", op)
}

// explain returns the error of a transaction in the protocol's words.
func (p *plan) explain(err error) error {
	if e := api.AsError(err); e.Code == api.CodeTooLarge {
		return api.Errorf(api.CodeTooLarge, "the write is too large: %s (a sum, min or max counts three times)", e.Hint)
	}
	return err
}

// conditions returns what the keys of functions are expected to hold.
func (p *plan) conditions() (conds []api.Cond) {
	for i := range p.unknown {
		if c := &p.unknown[i]; c.absent {
			conds = append(conds, api.Cond{Kind: api.CondAbsent, Key: p.data(c.key)})
		} else {
			conds = append(conds, api.Cond{Kind: api.CondValue, Key: p.meta(c.key), Value: []byte(metaLE64)})
		}
	}
	return conds
}

// steps returns the steps of the write. One of them lists the database, which a machine refuses unless all its keys are of one shard: so
// the version of the write orders it among all others. A write without a mutation deletes a key that there never is, to have a version.
func (p *plan) steps() []api.Op {
	ops := append([]api.Op{{Kind: api.OpList, Key: p.prefix(), Limit: 1}}, p.ops...)
	if len(p.ops) == 0 {
		ops = append(ops, api.Op{Kind: api.OpDelete, Key: p.meta(nil)})
	}
	return ops
}

// expect takes over what can be learnt of keys from the states that the conditions have met. It returns false if that is not enough to
// try again.
func (p *plan) expect(met []api.Entry) (enough bool) {
	for i := range p.unknown {
		c := &p.unknown[i]
		switch exists := met[i].Exists; {
		case c.absent && exists:
			return false
		case !c.absent && !exists: // it has no sibling: it is absent, or it holds what is no integer
			c.absent, enough = true, true
		}
	}
	return enough
}

// learn reads what the keys of functions hold, and expects that from now on. CodePreconditionFailed if one holds something else than an
// integer.
func (p *plan) learn(ctx context.Context, s front.Caller) error {
	for chunk := p.unknown; len(chunk) > 0; {
		n := min(len(chunk), api.MaxReadKeys/2)
		keys := make([][]byte, n)
		for i := range keys {
			keys[i] = chunk[i].key
		}
		rows, err := readKeys(ctx, s, p.database, keys)
		if err != nil {
			return err
		}
		for i := range rows {
			if rows[i].data.Exists && encodingOf(&rows[i].meta) != encodingLE64 {
				return notU64(chunk[i].op)
			}
			chunk[i].absent = !rows[i].data.Exists
		}
		chunk = chunk[n:]
	}
	return nil
}
