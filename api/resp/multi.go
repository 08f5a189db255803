package resp

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
)

// transaction is what has come between MULTI and EXEC.
type transaction struct {
	calls  []queued
	bytes  int   // of the arguments
	kept   int64 // of the memory of all connections
	broken bool  // a command was refused: EXEC carries out none

	parts  []part // the commands, once EXEC has come
	single bool   // it is one command, which came without MULTI
}

// queued is a command that waits for EXEC.
type queued struct {
	command *command
	args    [][]byte
}

// part is a command of a transaction that is carried out: what it does with keys, why it is refused, or, if it has neither, what it
// is to the connection.
type part struct {
	queued
	action action
	err    error
}

func multi(c *conn, _ [][]byte) {
	if c.multi != nil {
		c.out.error("ERR MULTI calls can not be nested")
		return
	}
	c.multi = &transaction{}
	c.out.ok()
}

func discard(c *conn, _ [][]byte) {
	if c.multi == nil {
		c.out.error("ERR DISCARD without MULTI")
		return
	}
	c.endMulti()
	c.out.ok()
}

// endMulti ends MULTI, and what is watched.
func (c *conn) endMulti() {
	if c.multi != nil {
		c.kept.give(c.multi.kept)
	}
	c.multi = nil
	c.endWatch()
}

// endWatch watches no key any more.
func (c *conn) endWatch() {
	c.kept.give(c.watching)
	c.watched, c.watching = nil, 0
}

// What is kept of a command, an argument and a watched key beside their bytes.
const (
	queuedBytes  = 64
	argBytes     = 40
	watchedBytes = 120
)

// queue keeps a command for EXEC.
func (t *transaction) queue(c *conn, m *command, x *call) {
	size := 0
	for _, a := range x.args {
		size += len(a)
	}
	kept := int64(queuedBytes + len(x.args)*argBytes + size)
	switch {
	case t.broken:
	case len(t.calls) == api.MaxTxnOps:
		c.refuse(refusal(fmt.Sprintf("ERR transaction of more than %d commands is over the limit", api.MaxTxnOps)))
		return
	case t.bytes+size > api.MaxTxnBytes:
		c.refuse(refusal(fmt.Sprintf("ERR transaction of %d bytes is over the limit of %d bytes", t.bytes+size, api.MaxTxnBytes)))
		return
	case !c.kept.take(kept):
		c.refuse(refusal("TRYAGAIN the node has no room for a transaction of this size at present"))
		return
	default:
		q := queued{command: m}
		for _, a := range x.args {
			q.args = append(q.args, bytes.Clone(a))
		}
		t.calls, t.bytes, t.kept = append(t.calls, q), t.bytes+size, t.kept+kept
	}
	c.out.queued()
}

// watch notes the versions that keys have: EXEC carries out its transaction only if they still have them.
func watch(c *conn, args [][]byte) {
	if c.multi != nil {
		c.out.error("ERR WATCH inside MULTI is not allowed")
		return
	}
	if n, most := len(c.watched)+len(args)-1, api.MaxTxnOps/2; n > most {
		c.out.error(errorText(tooMany("watch", n, most), false))
		return
	}
	q := c.begin("read")
	defer q.span.End()
	ctx, cancel := context.WithTimeout(q.ctx, c.server.timeout)
	defer cancel()
	names, err := c.space.keys(args[1:], 1)
	kept := int64(0)
	for _, k := range names {
		kept += int64(watchedBytes + len(k))
	}
	if err == nil && !c.kept.take(kept) {
		kept, err = 0, refusal("TRYAGAIN the node has no room for more watched keys at present")
	}
	c.watching += kept
	if err == nil {
		err = c.readNow(ctx, names)
		c.observe(&q, err)
	}
	if err != nil {
		c.kept.give(kept)
		c.watching -= kept
		c.out.error(errorText(err, false))
		return
	}
	for i := range c.result.Entries {
		e := &c.result.Entries[i]
		c.watched = append(c.watched, api.Cond{Kind: api.CondVersion, Key: e.Key, Version: e.Version})
	}
	c.forget()
	c.out.ok()
}

// readNow is readKeys for one that is linearizable in any case.
func (c *conn) readNow(ctx context.Context, keys []api.Key) error {
	defer func(stale bool) { c.stale = stale }(c.stale)
	c.stale = false
	return c.readKeys(ctx, keys)
}

func unwatch(c *conn, _ [][]byte) {
	c.endWatch()
	c.out.ok()
}

// execute carries out what was queued.
func execute(c *conn, _ [][]byte) {
	t := c.multi
	if t == nil {
		c.out.error("ERR EXEC without MULTI")
		return
	}
	watched := c.watched
	defer c.kept.give(t.kept) // it is in use until it is answered
	t.kept = 0
	c.endMulti()
	if t.broken {
		c.out.error(string(errAborted))
		return
	}
	q := c.begin("exec")
	defer q.span.End()
	ctx, cancel := context.WithTimeout(admission.WithBudget(q.ctx), c.server.timeout)
	defer cancel()
	t.parse(c)
	held, err := t.exec(ctx, c, watched)
	c.observe(&q, err)
	switch {
	case err != nil:
		c.out.error(errorText(err, t.writes()))
	case !held:
		c.out.nullArray()
	}
}

// parse finds out what the commands do. A SELECT among them holds for those after it.
func (t *transaction) parse(c *conn) {
	db := c.db
	for _, q := range t.calls {
		p := part{queued: q}
		if q.command.parse != nil {
			p.action, p.err = q.command.parse(&c.space, q.args)
		} else if q.command.name == "select" {
			if db, err := database(q.args[1]); err == nil {
				c.choose(db)
			}
		}
		t.parts = append(t.parts, p)
	}
	c.choose(db)
}

// writes reports whether any of the commands writes.
func (t *transaction) writes() bool {
	for i := range t.parts {
		if t.parts[i].action.write != nil {
			return true
		}
	}
	return false
}

// exec carries out the transaction and answers it; held is false if a watched key has changed, which is not answered.
func (t *transaction) exec(ctx context.Context, c *conn, watched []api.Cond) (held bool, err error) {
	if !t.writes() {
		return t.readOnly(ctx, c, watched)
	}
	all, ok := t.steps(watched)
	if !ok {
		return t.optimistic(ctx, c, watched)
	}
	res, err := c.do(ctx, all)
	switch code := api.CodeOf(err); {
	case itsOwn(err) && (code == api.CodePreconditionFailed || code == api.CodeTooLarge):
		return t.optimistic(ctx, c, watched) // a function that is refused is an error of its command alone
	case err != nil || !res.Committed:
		return false, err
	}
	if err := c.holdDone(t.shown(res.Entries)); err != nil {
		return true, err
	}
	t.answer(c, func(p *part) {
		n := p.action.entries()
		es := res.Entries[:n:n]
		res.Entries = res.Entries[n:]
		switch {
		case p.action.write != nil:
			p.action.write.answer(c.out, true, es)
		case slices.ContainsFunc(es, func(e api.Entry) bool { return e.Elided }):
			c.out.error(string(errUnknownValue))
		default:
			p.action.reply(c.out, es)
		}
	})
	return true, nil
}

// shown returns the bytes of the values that the answers show.
func (t *transaction) shown(es []api.Entry) (size int64) {
	for i := range t.parts {
		var n int64
		n, es = t.parts[i].action.shown(es)
		size += n
	}
	return size
}

// steps returns the transaction that carries out all commands, if there is one that reads nothing before. There is none with the time
// that keys have left: the answer to a transaction that was sent again has none. One of too many steps is not made up.
func (t *transaction) steps(watched []api.Cond) (all *api.Txn, ok bool) {
	all = &api.Txn{If: watched}
	for i := range t.parts {
		a := &t.parts[i].action
		if a.timed || len(all.Then) > api.MaxTxnOps {
			return nil, false
		}
		if a.write == nil {
			for _, k := range a.keys {
				all.Then = append(all.Then, api.Op{Kind: api.OpGet, Key: k})
			}
			continue
		}
		x, ok := a.write.steps()
		if !ok || len(x.when) > 0 {
			return nil, false
		}
		all.Then = append(all.Then, x.then...)
	}
	return all, true
}

// answer writes the answers of all commands. keys answers one that has read or written keys.
func (t *transaction) answer(c *conn, keys func(p *part)) {
	c.out.array(len(t.parts))
	for i := range t.parts {
		switch p := &t.parts[i]; {
		case p.err != nil:
			c.out.error(errorText(p.err, false))
		case p.command != nil && p.command.run != nil:
			p.command.run(c, p.args)
		default:
			keys(p)
		}
	}
}

// readOnly carries out a transaction that writes nothing: one read, of one instant, which leases may answer.
func (t *transaction) readOnly(ctx context.Context, c *conn, watched []api.Cond) (held bool, err error) {
	v, err := t.read(ctx, c, watched)
	if err != nil {
		return false, err
	}
	for _, w := range watched {
		if v.states[w.Key].version != w.Version {
			return false, nil
		}
	}
	if err := c.hold(v.size); err != nil {
		return false, err
	}
	t.answer(c, func(p *part) { p.action.reply(c.out, v.entries(p.action.keys)) })
	return true, nil
}

// read reads all keys of the transaction, at one instant.
func (t *transaction) read(ctx context.Context, c *conn, watched []api.Cond) (*view, error) {
	var all []api.Key
	for _, w := range watched {
		all = append(all, w.Key)
	}
	for i := range t.parts {
		all = append(all, t.parts[i].action.keys...)
	}
	if len(all) == 0 {
		return newView(nil), nil
	}
	if len(all) > api.MaxReadKeys {
		return nil, tooMany("exec", len(all), api.MaxReadKeys)
	}
	if err := c.readNow(ctx, all); err != nil {
		return nil, err
	}
	defer c.forget()
	v := newView(c.result.Entries)
	v.size = c.size
	return v, nil
}

// optimistic carries out the transaction on what its keys hold, and writes what that makes of them if they still hold it; else it
// begins again, while the request has tries and time. held is false if a watched key has changed.
func (t *transaction) optimistic(ctx context.Context, c *conn, watched []api.Cond) (held bool, err error) {
	if err := t.mayWrite(c); err != nil {
		return false, err
	}
	age := uint64(time.Now().UnixNano())
	for try := 0; ; try++ {
		v, err := t.read(ctx, c, watched)
		if err != nil {
			return false, before(err)
		}
		for _, w := range watched {
			if v.get(w.Key).version != w.Version {
				return false, nil
			}
		}
		answers, size, err := t.run(v, c.out.resp3)
		if err == nil {
			err = c.reserve(size)
		}
		if err != nil {
			return false, err
		}
		if when, then := v.txn(); len(then) > 0 {
			res, err := c.do(ctx, &api.Txn{If: when, Then: then, Age: age})
			if err != nil {
				return false, err
			}
			if !res.Committed {
				if err := pause(ctx, try); err != nil {
					return false, before(err)
				}
				continue
			}
		}
		c.handOver()
		t.splice(c, answers)
		return true, nil
	}
}

// mayWrite refuses a transaction without the rights for what it is to write, before it reads.
func (t *transaction) mayWrite(c *conn) error {
	for i := range t.parts {
		if t.parts[i].action.write == nil {
			continue
		}
		for _, k := range t.parts[i].action.keys {
			if err := c.server.backend.MayKey(c.ctx, "txn", front.Write, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// pause waits before the next try, for longer after many, and takes one from the request's budget.
func pause(ctx context.Context, try int) error {
	if err := admission.Retry(ctx); err != nil {
		return err
	}
	most := time.Millisecond << min(try, 6)
	wait := time.NewTimer(rand.N(most))
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run carries out the commands on the view, and returns their answers and the bytes of them; those of commands that have to do with the connection alone
// are empty. It is refused if they are over the limit of a read, before anything is written.
func (t *transaction) run(v *view, resp3 bool) (answers [][]byte, size int64, err error) {
	answers = make([][]byte, len(t.parts))
	for i := range t.parts {
		w := &writer{resp3: resp3}
		switch p := &t.parts[i]; {
		case p.err != nil:
			w.error(errorText(p.err, false))
		case p.action.write != nil:
			p.action.write.run(v, w)
		case p.action.reply != nil:
			p.action.reply(w, v.entries(p.action.keys))
		}
		answers[i] = w.b
		if size += int64(len(w.b)); size > api.MaxReadBytes {
			return nil, 0, api.Errorf(api.CodeTooLarge, "the answers of the transaction are over the limit of %d bytes", api.MaxReadBytes)
		}
	}
	return answers, size, nil
}

// splice writes the answers of run.
func (t *transaction) splice(c *conn, answers [][]byte) {
	if !t.single {
		c.out.array(len(t.parts))
	}
	for i, b := range answers {
		if p := &t.parts[i]; p.command != nil && p.command.run != nil {
			p.command.run(c, p.args)
			continue
		}
		c.out.raw(b)
	}
}
