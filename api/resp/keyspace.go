package resp

import (
	"time"

	"github.com/edgehold/edgehold/api"
)

// The reads of what a key is, and DEL.

func parseExists(s *space, args [][]byte) (action, error) {
	if n := len(args) - 1; n > api.MaxReadKeys {
		return action{}, tooMany("exists", n, api.MaxReadKeys)
	}
	keys, err := s.keys(args[1:], 1)
	return action{keys: keys, reply: replyExisting, brief: true}, err
}

func replyExisting(w *writer, es []api.Entry) {
	n := int64(0)
	for i := range es {
		if es[i].Exists {
			n++
		}
	}
	w.int(n)
}

func parseType(s *space, args [][]byte) (action, error) {
	keys, err := s.keys(args[1:2], 1)
	return action{keys: keys, brief: true, reply: func(w *writer, es []api.Entry) {
		if es[0].Exists {
			w.status("string")
		} else {
			w.status("none")
		}
	}}, err
}

func parseTTL(s *space, args [][]byte) (action, error)  { return newTTL(s, args, replyTTL) }
func parsePTTL(s *space, args [][]byte) (action, error) { return newTTL(s, args, replyPTTL) }
func parseExpireTime(s *space, args [][]byte) (action, error) {
	return newTTL(s, args, replyExpireTime)
}
func parsePExpireTime(s *space, args [][]byte) (action, error) {
	return newTTL(s, args, replyPExpireTime)
}

func newTTL(s *space, args [][]byte, reply func(w *writer, es []api.Entry)) (action, error) {
	keys, err := s.keys(args[1:2], 1)
	return action{keys: keys, reply: reply, timed: true, brief: true}, err
}

func replyTTL(w *writer, es []api.Entry) {
	answerTime(w, &es[0], func(ttl time.Duration) int64 { return (ttl.Milliseconds() + 500) / 1000 })
}

func replyPTTL(w *writer, es []api.Entry) {
	answerTime(w, &es[0], func(ttl time.Duration) int64 { return ttl.Milliseconds() })
}

func replyExpireTime(w *writer, es []api.Entry) {
	answerTime(w, &es[0], func(ttl time.Duration) int64 { return (time.Now().Add(ttl).UnixMilli() + 500) / 1000 })
}

func replyPExpireTime(w *writer, es []api.Entry) {
	answerTime(w, &es[0], func(ttl time.Duration) int64 { return time.Now().Add(ttl).UnixMilli() })
}

// answerTime answers with what is left of a key's time, -1 if it has no deadline, -2 if it is absent.
func answerTime(w *writer, e *api.Entry, shown func(ttl time.Duration) int64) {
	switch {
	case !e.Exists:
		w.int(-2)
	case e.TTL == 0:
		w.int(-1)
	default:
		w.int(shown(e.TTL))
	}
}

// del is DEL and UNLINK.
type del struct{ keys []api.Key }

func parseDel(s *space, args [][]byte) (action, error) {
	keys, err := s.keys(args[1:], 1)
	if err != nil {
		return action{}, err
	}
	if most := api.MaxTxnOps / 2; len(keys) > most {
		return action{}, tooMany("del", len(keys), most)
	}
	return action{keys: keys, write: &del{keys}, brief: true}, nil
}

// steps reads the keys to learn which there were. Of a key that is named twice, the second one is absent.
func (d *del) steps() (x steps, ok bool) {
	for _, k := range d.keys {
		x.then = append(x.then, api.Op{Kind: api.OpGet, Key: k}, api.Op{Kind: api.OpDelete, Key: k})
	}
	return x, true
}

func (d *del) answer(w *writer, _ bool, es []api.Entry) {
	n := int64(0)
	for i := 0; i < len(es); i += 2 {
		if es[i].Exists {
			n++
		}
	}
	w.int(n)
}

func (d *del) run(v *view, w *writer) {
	n := int64(0)
	for _, k := range d.keys {
		if v.get(k).exists {
			v.remove(k)
			n++
		}
	}
	w.int(n)
}
