package resp

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/observe/trace"
)

// carryOut carries out the first of the calls, and those after it that go with it, and answers them. It returns how many.
func (c *conn) carryOut(calls []call) int {
	m := c.command(&calls[0])
	switch {
	case m == nil:
		return 1
	case c.multi != nil && m.multi != runInMulti && (m.parse != nil || m.multi == queuedInMulti):
		c.multi.queue(c, m, &calls[0])
		return 1
	case c.multi != nil && m.multi != runInMulti:
		c.refuse(errNotInMulti)
		return 1
	case m.run != nil:
		m.run(c, calls[0].args)
		return 1
	case m.reads():
		return c.reads(calls)
	}
	return c.writes(calls)
}

// command returns the command of a call that may be carried out; nil if it may not, which has been answered.
func (c *conn) command(x *call) *command {
	if x.refused != "" {
		c.refuse(refusal(x.refused))
		c.ending = c.ending || x.ends
		return nil
	}
	m := find(x.args[0])
	switch {
	case c.allowed != nil && (m == nil || !m.open):
		c.refuse(c.allowed)
	case m == nil:
		c.refuse(unknownCommand(x.args))
	case !m.fits(len(x.args)) && m.name == "exec":
		c.endMulti()
		c.out.error("EXECABORT Transaction discarded because of: " + strings.TrimPrefix(string(wrongArity("exec")), "ERR "))
	case !m.fits(len(x.args)):
		c.refuse(wrongArity(m.name))
	default:
		return m
	}
	return nil
}

// refuse answers a command that is not carried out. A transaction that it was to be part of is not carried out either.
func (c *conn) refuse(why error) {
	if c.multi != nil {
		c.multi.broken = true
	}
	c.out.error(errorText(why, false))
}

// alike returns the command of a call if it can go with those before it: it keeps to the same kind, and nothing is wrong with it.
func (c *conn) alike(x *call, reads bool) *command {
	if x.refused != "" {
		return nil
	}
	m := find(x.args[0])
	if m == nil || m.parse == nil || !m.fits(len(x.args)) || m.reads() != reads {
		return nil
	}
	return m
}

// reads carries out a run of reads by one read, as far as it has room.
func (c *conn) reads(calls []call) int {
	c.run = c.run[:0]
	for i := range calls {
		m := c.alike(&calls[i], true)
		if m == nil || len(c.space.all) >= api.MaxReadKeys || i > 0 && c.server.apart.reads(c.db) {
			break
		}
		had := len(c.space.all)
		a, err := m.parse(&c.space, calls[i].args)
		if had > 0 && len(c.space.all) > api.MaxReadKeys {
			c.space.all = c.space.all[:had]
			break
		}
		c.run = append(c.run, entry{action: a, err: err})
	}
	c.read(c.run)
	return len(c.run)
}

// entry is a command of a run: what it does, or why it is refused.
type entry struct {
	action action
	err    error
}

// read reads the keys of all commands of a run, and answers them.
func (c *conn) read(run []entry) {
	if len(c.space.all) > 0 {
		q := c.begin("read")
		defer q.span.End()
		ctx := door.NewContext(q.ctx, q.began.Add(c.server.timeout)) // without a timer, if a lease answers
		defer ctx.End()
		err := c.readKeys(ctx, c.space.all)
		if err == nil && c.size > freeAnswer {
			err = c.hold(shown(run, c.result.Entries))
		}
		c.observe(&q, err)
		if len(run) > 1 && itsOwn(err) {
			c.readEach(ctx, run)
			return
		}
		if len(c.space.all) > 1 {
			c.failedTogether(err)
		}
		for i := range run {
			run[i].refuseRead(err)
		}
	}
	es := c.result.Entries
	for i := range run {
		x := &run[i]
		if x.err != nil {
			c.out.error(errorText(x.err, false))
			continue
		}
		n := len(x.action.keys)
		x.action.reply(c.out, es[:n:n])
		es = es[n:]
	}
	c.forget()
}

// failedTogether notes that commands have failed together. A refusal for the load of this node or for the client has nothing to do with
// their keys, and one by one they would be more load. The same may be true of one that asks for patience, but it may also be about a
// part of the keys.
func (c *conn) failedTogether(err error) {
	code := api.CodeOf(err)
	_, load := errors.AsType[notLetIn](err)
	switch {
	case err == nil || load || code == api.CodeLimited || code == api.CodeUnauthenticated:
	case forLoad(err):
		c.server.apart.failed(c.db, refusedFor)
	default:
		c.server.apart.failed(c.db, failedFor)
	}
}

// forLoad reports whether a request was refused by a node that asks for patience, and not because of a certain key: because of its load,
// in all likelihood.
func forLoad(err error) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && e.Code == api.CodeUnavailable && e.RetryAfter > 0 && e.Key == "" && !e.Unknown
}

func (x *entry) refuseRead(err error) {
	if x.err == nil {
		x.err = err
	}
}

// readEach answers the commands of a run one by one: what is wrong with one is not wrong with the others.
func (c *conn) readEach(ctx context.Context, run []entry) {
	for i := range run {
		x := &run[i]
		if x.err == nil {
			if x.err = c.readKeys(ctx, x.action.keys); x.err == nil && !x.action.brief {
				x.err = c.hold(c.size)
			}
		}
		if x.err != nil {
			c.out.error(errorText(x.err, false))
		} else {
			x.action.reply(c.out, c.result.Entries)
		}
	}
	c.forget()
}

// forget lets go of the values that were read.
func (c *conn) forget() {
	clear(c.result.Entries)
	if cap(c.result.Entries) > keptKeys {
		c.result.Entries = nil
	}
}

// readKeys reads keys into the connection's result, at one instant unless reads may be stale.
func (c *conn) readKeys(ctx context.Context, keys []api.Key) error {
	c.request = api.ReadRequest{Keys: keys, Snapshot: len(keys) > 1 && !c.stale}
	if c.stale {
		c.request.Consistency = api.Stale
	}
	place, err := c.enter(ctx, front.Ask{Key: keys[0], Consistency: c.request.Consistency})
	if err != nil {
		return err
	}
	defer place.Leave()
	if err := c.caller.Read(ctx, &c.request, &c.result); err != nil {
		return err
	}
	c.size = c.server.served.count(&c.result)
	return nil
}

// enter lets a request in. Of the requests of a batch one waits for that: if it is refused all the same, those after it do not wait.
func (c *conn) enter(ctx context.Context, q front.Ask) (place *admission.Ticket, err error) {
	var refusal *api.Error
	if c.waited {
		place, refusal = c.server.backend.Admit(ctx, q)
	} else {
		place, refusal = c.server.backend.AdmitLate(ctx, q, c.server.draining)
	}
	if refusal != nil {
		c.waited = true
		return nil, notLetIn{refusal}
	}
	return place, nil
}

// notLetIn is the refusal of a request for the load of this node.
type notLetIn struct{ refusal *api.Error }

func (e notLetIn) Error() string { return e.refusal.Error() }
func (e notLetIn) Unwrap() error { return e.refusal }

// do carries out a transaction. Its id lets nodes send it again, so that it takes effect once. Once a write of the batch was refused for
// load, those after it are refused at once.
func (c *conn) do(ctx context.Context, t *api.Txn) (res *api.TxnResult, err error) {
	if c.shed != nil {
		return nil, c.shed
	}
	defer func() {
		if forLoad(err) {
			c.shed = notLetIn{api.AsError(err)}
		}
	}()
	q := front.Ask{Writes: true, Bytes: int64(t.Size())}
	switch {
	case len(t.Then) > 0:
		q.Key = t.Then[0].Key
	case len(t.If) > 0:
		q.Key = t.If[0].Key
	}
	place, err := c.enter(ctx, q)
	if err != nil {
		return nil, err
	}
	defer place.Leave()
	id, finished := c.server.backend.Number()
	defer finished()
	t.ID = id
	return c.caller.Do(ctx, t)
}

// asked is a request of the commands under way. Its span is to be ended.
type asked struct {
	route string
	began time.Time
	ctx   context.Context // the connection's, with the span
	span  trace.Span      // the zero Span if the request is not traced
}

// begin begins a request. The protocol has no place for a traceparent, so that chance says whether the request is traced.
func (c *conn) begin(route string) asked {
	q := asked{route: route, began: time.Now()}
	q.ctx, q.span = c.server.backend.Tracer.Serve(c.ctx, Name, nil)
	if q.span.Recording() {
		q.span.Name(Name + " " + route)
		q.span.Set(trace.Front, Name)
	}
	return q
}

// observe measures a request.
func (c *conn) observe(q *asked, err error) {
	status := http.StatusOK
	if err != nil {
		status = codeOf(err).HTTPStatus()
		q.fail(err)
	} else if q.span.Recording() && c.note.Source() != "" {
		q.span.Set(trace.ServedBy, c.note.Source())
	}
	labels, took := front.Labels{Front: Name, Route: q.route, Status: statusText(status)}, time.Since(q.began)
	c.server.backend.Observe(labels, took.Seconds())
	c.server.backend.Slow(q.ctx, labels, &c.note, q.began, took)
	c.note = front.Note{}
}

// fail notes in the span that the request has failed.
func (q *asked) fail(err error) {
	if q.span.Recording() {
		q.span.Fail(string(codeOf(err)))
	}
}

func statusText(status int) string {
	if status == http.StatusOK {
		return "200"
	}
	return strconv.Itoa(status)
}
