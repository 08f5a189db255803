package resp

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

const (
	// maxRun bounds the writes that share a transaction.
	maxRun = 128
	// maxRunBytes bounds their keys and values: a transaction that is far from its limits.
	maxRunBytes = 1 << 20
)

// writes carries out a run of writes without conditions by one transaction, or one write.
func (c *conn) writes(calls []call) int {
	c.run = c.run[:0]
	var all api.Txn
	for i := range calls {
		m := c.alike(&calls[i], false)
		if m == nil || len(c.run) == maxRun || i > 0 && c.server.apart.writes(c.db) {
			break
		}
		a, err := m.parse(&c.space, calls[i].args)
		if err != nil {
			if i == 0 {
				c.out.error(errorText(err, false))
				return 1
			}
			break
		}
		if a.write == nil { // GETEX without an option
			if i == 0 {
				c.run = append(c.run, entry{action: a})
				c.read(c.run)
				return 1
			}
			break
		}
		x, ok := a.write.steps()
		alone := !ok || len(x.when) > 0
		if i > 0 && (alone || len(all.Then)+len(x.then) > api.MaxTxnOps || sizeOf(all.Then)+sizeOf(x.then) > maxRunBytes) {
			break
		}
		c.run = append(c.run, entry{action: a})
		all.Then = append(all.Then, x.then...)
		if alone {
			break
		}
	}
	if len(c.run) == 1 {
		c.write(&c.run[0].action)
		return 1
	}
	c.writeAll(&all)
	return len(c.run)
}

func sizeOf(ops []api.Op) (n int) {
	for i := range ops {
		n += len(ops[i].Key) + len(ops[i].Value)
	}
	return n
}

// writeAll carries out the run by one transaction, or, if that is refused for one of them, command by command.
func (c *conn) writeAll(all *api.Txn) {
	q := c.begin("write")
	defer q.span.End()
	ctx, cancel := context.WithTimeout(q.ctx, c.server.timeout)
	defer cancel()
	res, err := c.do(ctx, all)
	if itsOwn(err) {
		q.fail(err)
		for i := range c.run {
			c.write(&c.run[i].action)
		}
		return
	}
	c.observe(&q, err)
	if err != nil {
		c.failedTogether(err)
		for range c.run {
			c.out.error(errorText(err, true))
		}
		return
	}
	if res.Group == "" {
		c.server.apart.scattered(c.db)
	}
	es := res.Entries
	if err := c.holdDone(shown(c.run, es)); err != nil {
		for range c.run {
			c.out.error(errorText(err, true))
		}
		return
	}
	for i := range c.run {
		a := &c.run[i].action
		n := a.entries()
		a.write.answer(c.out, true, es[:n:n])
		es = es[n:]
	}
}

// write carries out one write and answers it.
func (c *conn) write(a *action) {
	q := c.begin("write")
	defer q.span.End()
	ctx, cancel := context.WithTimeout(admission.WithBudget(q.ctx), c.server.timeout)
	defer cancel()
	x, ok := a.write.steps()
	var err error
	if !ok {
		t := transaction{parts: []part{{action: *a}}, single: true}
		_, err = t.optimistic(ctx, c, nil)
	} else if res, e := c.do(ctx, &api.Txn{If: x.when, Then: x.then, Else: x.otherwise}); e != nil {
		err = c.explain(ctx, a.write, e)
	} else if err = c.holdDone(a.shownAll(res.Entries)); err == nil {
		a.write.answer(c.out, res.Committed, res.Entries)
	}
	c.observe(&q, err)
	if err != nil {
		c.out.error(errorText(err, true))
	}
}

// explain words the refusal of a function as Redis does, which says more about why: the key is read for that.
func (c *conn) explain(ctx context.Context, w write, err error) error {
	x, counts := w.(*count)
	if !counts || !itsOwn(err) || api.CodeOf(err) != api.CodePreconditionFailed {
		return err
	}
	defer c.forget()
	if c.readKeys(ctx, []api.Key{x.key}) == nil {
		e := c.result.Entries[0]
		if _, bad := integer(e.Value); e.Exists && bad == nil {
			return errOverflow
		}
	}
	return errNotInteger
}
