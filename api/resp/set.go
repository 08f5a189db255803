package resp

import (
	"bytes"

	"github.com/edgehold/edgehold/api"
)

// set is SET and those that are a SET of another name: SETNX, SETEX, PSETEX and GETSET.
type set struct {
	key   api.Key
	value []byte
	life  lifetime
	keep  bool // the key keeps its deadline
	// when is the condition: CondAbsent (NX), CondExists (XX), CondValue (IFEQ); 0: there is none.
	when  api.CondKind
	equal []byte // for CondValue
	old   bool   // the answer is what the key held
	yesNo bool   // the answer is 1 or 0
}

func parseSet(s *space, args [][]byte) (action, error) {
	x := &set{}
	if err := x.options(args[3:]); err != nil {
		return action{}, err
	}
	return x.of(s, args[1], args[2])
}

// of completes the command with its key and its value.
func (x *set) of(s *space, key, value []byte) (action, error) {
	keys, err := s.keys([][]byte{key}, 1)
	if err != nil {
		return action{}, err
	}
	x.key, x.value = keys[0], bytes.Clone(value)
	return action{keys: keys, write: x}, nil
}

func (x *set) options(args [][]byte) error {
	timed := false
	for i := 0; i < len(args); i++ {
		c, isTime := clockOf(args[i])
		switch more := i+1 < len(args); {
		case is(args[i], "NX") && x.when == 0:
			x.when = api.CondAbsent
		case is(args[i], "XX") && x.when == 0:
			x.when = api.CondExists
		case is(args[i], "IFEQ") && x.when == 0 && more:
			i++
			x.when, x.equal = api.CondValue, bytes.Clone(args[i])
		case is(args[i], "GET"):
			x.old = true
		case is(args[i], "KEEPTTL") && !timed:
			x.keep = true
		case isTime && !timed && !x.keep && more:
			i++
			life, err := c.parse(args[i], false, "set")
			if err != nil {
				return err
			}
			x.life, timed = life, true
		default:
			return errSyntax
		}
	}
	return nil
}

func parseSetNX(s *space, args [][]byte) (action, error) {
	return (&set{when: api.CondAbsent, yesNo: true}).of(s, args[1], args[2])
}

func parseGetSet(s *space, args [][]byte) (action, error) {
	return (&set{old: true}).of(s, args[1], args[2])
}

func parseSetEX(s *space, args [][]byte) (action, error)  { return newSetEX(s, args, "setex", "EX") }
func parsePSetEX(s *space, args [][]byte) (action, error) { return newSetEX(s, args, "psetex", "PX") }

func newSetEX(s *space, args [][]byte, name, option string) (action, error) {
	c, _ := clockOf([]byte(option))
	life, err := c.parse(args[2], false, name)
	if err != nil {
		return action{}, err
	}
	return (&set{life: life}).of(s, args[1], args[3])
}

func (x *set) steps() (steps, bool) {
	var y steps
	if x.when != 0 {
		y.when = []api.Cond{{Kind: x.when, Key: x.key, Value: x.equal}}
	}
	put := api.Op{Kind: api.OpPut, Key: x.key, Value: x.value, TTL: x.life.ttl, KeepTTL: x.keep}
	if x.life.gone {
		put = api.Op{Kind: api.OpDelete, Key: x.key}
	}
	if x.old {
		get := api.Op{Kind: api.OpGet, Key: x.key}
		y.then = []api.Op{get, put}
		if x.when != 0 {
			y.otherwise = []api.Op{get}
		}
		return y, true
	}
	y.then = []api.Op{put}
	return y, true
}

func (x *set) answer(w *writer, held bool, es []api.Entry) {
	switch {
	case x.old:
		answerOld(w, &es[0])
	case x.yesNo:
		w.bool(held)
	case held:
		w.ok()
	default:
		w.null()
	}
}

// answerOld answers with what a key held.
func answerOld(w *writer, e *api.Entry) {
	v, err := e.Known()
	if err != nil {
		w.error(string(errUnknownValue))
		return
	}
	w.value(v, e.Exists)
}

func (x *set) run(v *view, w *writer) {
	held, old := true, []api.Entry{{}}
	if x.when != 0 || x.old {
		s := v.get(x.key)
		old[0] = api.Entry{Value: s.value, Exists: s.exists}
		switch x.when {
		case api.CondAbsent:
			held = !s.exists
		case api.CondExists:
			held = s.exists
		case api.CondValue:
			held = s.exists && bytes.Equal(s.value, x.equal)
		}
	}
	switch {
	case !held:
	case x.keep:
		v.replace(x.key, x.value)
	default:
		v.put(x.key, x.value, x.life)
	}
	x.answer(w, held, old)
}

// take is GETDEL.
type take struct{ key api.Key }

func parseGetDel(s *space, args [][]byte) (action, error) {
	keys, err := s.keys(args[1:2], 1)
	if err != nil {
		return action{}, err
	}
	return action{keys: keys, write: &take{keys[0]}}, nil
}

func (x *take) steps() (steps, bool) {
	return steps{then: []api.Op{{Kind: api.OpGet, Key: x.key}, {Kind: api.OpDelete, Key: x.key}}}, true
}

func (x *take) answer(w *writer, _ bool, es []api.Entry) { answerOld(w, &es[0]) }

func (x *take) run(v *view, w *writer) {
	s := v.get(x.key)
	w.value(s.value, s.exists)
	if s.exists {
		v.remove(x.key)
	}
}
