package resp

import (
	"github.com/edgehold/edgehold/api"
)

// action is what one command does with keys: it reads them if write is nil.
type action struct {
	// keys are all its keys, in the order of the command.
	keys []api.Key
	// reply answers a read; es has the entries of keys. One that is nil belongs to a write.
	reply func(w *writer, es []api.Entry)
	// timed: reply shows what the keys have left to live.
	timed bool
	// brief: the answer shows no value.
	brief bool
	write write
}

// entries returns how many entries of a read or a transaction are the action's.
func (a *action) entries() int {
	if a.write == nil {
		return len(a.keys)
	}
	x, _ := a.write.steps()
	return len(x.then)
}

// write is what a command writes. Its methods do not change it.
type write interface {
	// steps returns the command as a transaction that reads nothing before; ok is false if there is none.
	steps() (s steps, ok bool)
	// answer answers the command after that transaction: whether its conditions held, and the entries of the branch that ran. There
	// are none if they did not hold and the branch is empty.
	answer(w *writer, held bool, es []api.Entry)
	// run carries the command out on what the keys hold, as Redis does, and answers it.
	run(v *view, w *writer)
}

// steps is a command as a part of a transaction.
type steps struct {
	// when are its conditions. Without any it may share a transaction with others.
	when            []api.Cond
	then, otherwise []api.Op
}

// space is the keys of one database, as the commands of a connection name them.
type space struct {
	prefix string
	// all has the keys of the commands under way, so that those of neighbours are one slice.
	all []api.Key
}

// prefixOf returns the prefix of the keys of a database.
func prefixOf(db int) string { return prefixes[db] }

// Databases is how many databases there are.
const Databases = 16

var prefixes = func() (all [Databases]string) {
	for i := range all {
		all[i] = "redis/" + string(appendInt(nil, int64(i))) + "/"
	}
	return all
}()

// keys returns the keys that the arguments name, every step-th of them.
func (s *space) keys(args [][]byte, step int) ([]api.Key, error) {
	from := len(s.all)
	for i := 0; i < len(args); i += step {
		if n, most := len(args[i]), api.MaxKeyBytes-len(s.prefix); n > most {
			s.all = s.all[:from]
			return nil, tooLong(n, most)
		}
		s.all = append(s.all, s.key(args[i]))
	}
	return s.all[from:len(s.all):len(s.all)], nil
}

func (s *space) key(arg []byte) api.Key { return api.Key(s.prefix + string(arg)) }

// name is the key as clients know it.
func (s *space) name(k api.Key) string { return string(k[len(s.prefix):]) }

// reset forgets the keys of commands that are done with.
func (s *space) reset() {
	if cap(s.all) > keptKeys {
		s.all = nil
		return
	}
	clear(s.all)
	s.all = s.all[:0]
}

// keptKeys is how many keys a connection keeps room for.
const keptKeys = 256
