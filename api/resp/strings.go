package resp

import (
	"bytes"
	"math"
	"strconv"

	"github.com/edgehold/edgehold/api"
)

// The reads of strings.

func parseGet(s *space, args [][]byte) (action, error) {
	keys, err := s.keys(args[1:2], 1)
	return action{keys: keys, reply: replyValue}, err
}

func replyValue(w *writer, es []api.Entry) { w.value(es[0].Value, es[0].Exists) }

func parseMGet(s *space, args [][]byte) (action, error) {
	if n := len(args) - 1; n > api.MaxReadKeys {
		return action{}, tooMany("mget", n, api.MaxReadKeys)
	}
	keys, err := s.keys(args[1:], 1)
	return action{keys: keys, reply: replyValues}, err
}

func replyValues(w *writer, es []api.Entry) {
	w.array(len(es))
	for i := range es {
		w.value(es[i].Value, es[i].Exists)
	}
}

func parseStrlen(s *space, args [][]byte) (action, error) {
	keys, err := s.keys(args[1:2], 1)
	return action{keys: keys, reply: func(w *writer, es []api.Entry) { w.int(int64(len(es[0].Value))) }, brief: true}, err
}

// mset is MSET and MSETNX.
type mset struct {
	keys   []api.Key
	values [][]byte
	absent bool // only if no key exists
}

func parseMSet(s *space, args [][]byte) (action, error)   { return newMSet(s, args, "mset", false) }
func parseMSetNX(s *space, args [][]byte) (action, error) { return newMSet(s, args, "msetnx", true) }

func newMSet(s *space, args [][]byte, name string, absent bool) (action, error) {
	pairs := args[1:]
	most := api.MaxTxnOps
	if absent {
		most /= 2
	}
	switch {
	case len(pairs)%2 != 0:
		return action{}, wrongArity(name)
	case len(pairs)/2 > most:
		return action{}, tooMany(name, len(pairs)/2, most)
	}
	keys, err := s.keys(pairs, 2)
	if err != nil {
		return action{}, err
	}
	m := &mset{keys: keys, absent: absent}
	for i := 1; i < len(pairs); i += 2 {
		m.values = append(m.values, bytes.Clone(pairs[i]))
	}
	return action{keys: keys, write: m}, nil
}

func (m *mset) steps() (x steps, ok bool) {
	for i, k := range m.keys {
		if m.absent {
			x.when = append(x.when, api.Cond{Kind: api.CondAbsent, Key: k})
		}
		x.then = append(x.then, api.Op{Kind: api.OpPut, Key: k, Value: m.values[i]})
	}
	return x, true
}

func (m *mset) answer(w *writer, held bool, _ []api.Entry) {
	if m.absent {
		w.bool(held)
	} else {
		w.ok()
	}
}

func (m *mset) run(v *view, w *writer) {
	for _, k := range m.keys {
		if m.absent && v.get(k).exists {
			w.int(0)
			return
		}
	}
	for i, k := range m.keys {
		v.put(k, m.values[i], lifetime{})
	}
	m.answer(w, true, nil)
}

// count is INCR, DECR, INCRBY and DECRBY.
type count struct {
	key   api.Key
	delta int64
}

func parseIncr(s *space, args [][]byte) (action, error) { return newCount(s, args, 1) }
func parseDecr(s *space, args [][]byte) (action, error) { return newCount(s, args, -1) }

func parseIncrBy(s *space, args [][]byte) (action, error) {
	n, err := integer(args[2])
	if err != nil {
		return action{}, err
	}
	return newCount(s, args, n)
}

func parseDecrBy(s *space, args [][]byte) (action, error) {
	n, err := integer(args[2])
	switch {
	case err != nil:
		return action{}, err
	case n == math.MinInt64:
		return action{}, errDecrement
	}
	return newCount(s, args, -n)
}

func newCount(s *space, args [][]byte, delta int64) (action, error) {
	keys, err := s.keys(args[1:2], 1)
	if err != nil {
		return action{}, err
	}
	return action{keys: keys, write: &count{keys[0], delta}}, nil
}

func (c *count) steps() (steps, bool) {
	return steps{then: []api.Op{{Kind: api.OpAdd, Key: c.key, Delta: c.delta}}}, true
}

func (c *count) answer(w *writer, _ bool, es []api.Entry) {
	v, err := es[0].Known()
	n, bad := strconv.ParseInt(string(v), 10, 64)
	if err != nil || bad != nil {
		w.error(string(errUnknownValue))
		return
	}
	w.int(n)
}

func (c *count) run(v *view, w *writer) {
	s := v.get(c.key)
	n, err := int64(0), error(nil)
	if s.exists {
		n, err = strconv.ParseInt(string(s.value), 10, 64) // as the machine does
	}
	switch {
	case err != nil:
		w.error(string(errNotInteger))
		return
	case c.delta > 0 && n > math.MaxInt64-c.delta || c.delta < 0 && n < math.MinInt64-c.delta:
		w.error(string(errOverflow))
		return
	}
	v.replace(c.key, appendInt(nil, n+c.delta))
	w.int(n + c.delta)
}

// extend is APPEND.
type extend struct {
	key   api.Key
	value []byte
}

func parseAppend(s *space, args [][]byte) (action, error) {
	keys, err := s.keys(args[1:2], 1)
	if err != nil {
		return action{}, err
	}
	return action{keys: keys, write: &extend{keys[0], bytes.Clone(args[2])}}, nil
}

func (x *extend) steps() (steps, bool) {
	return steps{then: []api.Op{{Kind: api.OpAppend, Key: x.key, Value: x.value, KeepTTL: true}}}, true
}

func (x *extend) answer(w *writer, held bool, es []api.Entry) { (*count)(nil).answer(w, held, es) }

func (x *extend) run(v *view, w *writer) {
	s := v.get(x.key)
	n := len(s.value) + len(x.value)
	if n > api.MaxValueBytes {
		w.error(errorText(api.Errorf(api.CodeTooLarge, "value of %d bytes is over the limit of %d bytes", n, api.MaxValueBytes), false))
		return
	}
	v.replace(x.key, append(append(make([]byte, 0, n), s.value...), x.value...))
	w.int(int64(n))
}
