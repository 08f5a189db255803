package resp

import (
	"fmt"
	"time"

	"github.com/edgehold/edgehold/api"
)

// expire is what changes the deadline of a key and leaves its value: EXPIRE and its like, PERSIST, and GETEX with options. The
// machine has no step for them: the value is read, and written again if it is still the same.
type expire struct {
	key api.Key
	// life is the new lifetime; without a deadline for PERSIST.
	life lifetime
	// EXPIRE: only if the key has no deadline (NX), has one (XX), has an earlier one (GT), or a later one (LT).
	nx, xx, gt, lt bool
	// value: the answer is the value (GETEX), else 1 or 0.
	value bool
}

func parseExpire(s *space, args [][]byte) (action, error) {
	return newExpire(s, args, clock{time.Second, false}, "expire")
}

func parsePExpire(s *space, args [][]byte) (action, error) {
	return newExpire(s, args, clock{time.Millisecond, false}, "pexpire")
}

func parseExpireAt(s *space, args [][]byte) (action, error) {
	return newExpire(s, args, clock{time.Second, true}, "expireat")
}

func parsePExpireAt(s *space, args [][]byte) (action, error) {
	return newExpire(s, args, clock{time.Millisecond, true}, "pexpireat")
}

func newExpire(s *space, args [][]byte, c clock, name string) (action, error) {
	x := &expire{}
	for _, a := range args[3:] {
		switch {
		case is(a, "NX"):
			x.nx = true
		case is(a, "XX"):
			x.xx = true
		case is(a, "GT"):
			x.gt = true
		case is(a, "LT"):
			x.lt = true
		default:
			return action{}, refusal("ERR Unsupported option " + text(a, 128))
		}
	}
	switch {
	case x.nx && (x.xx || x.gt || x.lt):
		return action{}, refusal("ERR NX and XX, GT or LT options at the same time are not compatible")
	case x.gt && x.lt:
		return action{}, refusal("ERR GT and LT options at the same time are not compatible")
	}
	var err error
	if x.life, err = c.parse(args[2], true, name); err != nil {
		return action{}, err
	}
	return x.of(s, args[1])
}

func (x *expire) of(s *space, key []byte) (action, error) {
	keys, err := s.keys([][]byte{key}, 1)
	if err != nil {
		return action{}, err
	}
	x.key = keys[0]
	return action{keys: keys, write: x}, nil
}

func parsePersist(s *space, args [][]byte) (action, error) { return (&expire{xx: true}).of(s, args[1]) }

func parseGetEX(s *space, args [][]byte) (action, error) {
	if len(args) == 2 {
		return parseGet(s, args)
	}
	x := &expire{value: true}
	c, isTime := clockOf(args[2])
	switch {
	case is(args[2], "PERSIST") && len(args) == 3:
	case isTime && len(args) == 4:
		var err error
		if x.life, err = c.parse(args[3], false, "getex"); err != nil {
			return action{}, err
		}
	default:
		return action{}, errSyntax
	}
	return x.of(s, args[1])
}

func (x *expire) steps() (steps, bool) { return steps{}, false }

func (x *expire) answer(*writer, bool, []api.Entry) {
	panic(fmt.Sprintf("%T has no transaction of its own", x))
}

func (x *expire) run(v *view, w *writer) {
	s := v.get(x.key)
	if x.value {
		w.value(s.value, s.exists)
	}
	applies := s.exists && x.applies(s)
	switch {
	case !applies:
	case x.life.gone:
		v.remove(x.key)
	case x.life.ttl != s.ttl: // PERSIST of a key without a deadline changes nothing
		v.put(x.key, s.value, x.life)
	}
	if !x.value {
		w.bool(applies)
	}
}

// applies reports whether the command's conditions hold for a key that exists. A key without a deadline lives longer than any other.
func (x *expire) applies(s *state) bool {
	switch {
	case x.nx:
		return s.ttl == 0
	case x.xx && s.ttl == 0:
		return false
	case x.gt:
		return s.ttl != 0 && (x.life.ttl > s.ttl)
	case x.lt:
		return s.ttl == 0 || x.life.ttl < s.ttl
	}
	return true
}
