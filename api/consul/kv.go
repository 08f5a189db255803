package consul

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// maxValueBytes bounds a value.
const maxValueBytes = api.MaxValueBytes

// getKV answers GET /v1/kv/.
func (f *frontend) getKV(q *request) error {
	switch {
	case q.has("keys"):
		return f.query(q, tree(q.name), func(ctx context.Context) (*answer, error) { return q.keys(ctx) })
	case q.has("recurse"):
		return f.query(q, tree(q.name), func(ctx context.Context) (*answer, error) { return q.recurse(ctx) })
	case q.name == "":
		return refuse(http.StatusBadRequest, "Missing key name")
	}
	return f.query(q, withSiblings(q.name), func(ctx context.Context) (*answer, error) { return q.one(ctx) })
}

// one finds a key.
func (q *request) one(ctx context.Context) (*answer, error) {
	var c *cell
	a := &answer{}
	if q.consistency == api.Stale { // one view of one replica, or of the owner
		l, err := listRanges(ctx, q.store, []api.Range{withSiblings(q.name)}, api.Stale, false)
		if err != nil {
			return nil, err
		}
		a.index, a.age, a.holders = l.index, l.age, l.holders
		if len(l.cells) > 0 {
			c = l.cells[0]
		}
	} else {
		v, err := load(ctx, q.store, q.consistency, []string{q.name}, nil)
		if err != nil {
			return nil, err
		}
		c = v.cells[q.name]
		if a.index = c.index; c.wasHeld {
			a.holders = []string{c.lock.Session}
		}
		if !guardIndexRises {
			a.index = c.data.Version.Integer()
		}
	}
	a.send = func() error {
		switch {
		case c == nil || !c.exists:
			return q.notFound()
		case q.has("raw"):
			q.exchange.W.Header().Set("Content-Security-Policy", "sandbox")
			write(q.exchange, http.StatusOK, rawType, c.value)
			return nil
		}
		return q.reply(http.StatusOK, []*pair{c.pair(true)})
	}
	return a, nil
}

var rawType = []string{"text/plain"}

// recurse finds the keys of a tree.
func (q *request) recurse(ctx context.Context) (*answer, error) {
	l, err := listTree(ctx, q.store, q.name, q.consistency, false)
	if err != nil {
		return nil, err
	}
	return &answer{l.index, l.holders, l.age, func() error {
		if len(l.cells) == 0 {
			return q.notFound()
		}
		pairs := make([]*pair, len(l.cells))
		for i, c := range l.cells {
			pairs[i] = c.pair(true)
		}
		return q.reply(http.StatusOK, pairs)
	}}, nil
}

// keys finds the names of the keys of a tree, up to a separator.
func (q *request) keys(ctx context.Context) (*answer, error) {
	l, err := listTree(ctx, q.store, q.name, q.consistency, true)
	if err != nil {
		return nil, err
	}
	separator := q.query.Get("separator")
	if separator == "" {
		separator = q.query.Get("seperator") //nolint:misspell // as Consul's first clients spell it
	}
	names := []string{}
	for _, c := range l.cells {
		name := c.name
		if i := strings.Index(name[len(q.name):], separator); separator != "" && i >= 0 {
			name = name[:len(q.name)+i+len(separator)]
		}
		if n := len(names); n == 0 || names[n-1] != name {
			names = append(names, name)
		}
	}
	return &answer{l.index, l.holders, l.age, func() error {
		if len(names) == 0 && q.name != "" {
			return q.notFound()
		}
		return q.reply(http.StatusOK, names)
	}}, nil
}

// conflicting refuses a query with several of the parameters.
func conflicting(query url.Values, names ...string) error {
	n := 0
	for _, name := range names {
		if query.Has(name) {
			n++
		}
	}
	if n > 1 {
		return refuse(http.StatusBadRequest, "Conflicting flags: %s", query.Encode())
	}
	return nil
}

// putOp reads what a PUT asks for, without its body.
func putOp(q *request) (o op, err error) {
	o = op{verb: opSet, key: q.name}
	if q.name == "" {
		return o, refuse(http.StatusBadRequest, "Missing key name")
	}
	if err := conflicting(q.query, "cas", "acquire", "release"); err != nil {
		return o, err
	}
	if o.flags, err = number(q.query, "flags"); err != nil {
		return o, err
	}
	switch {
	case q.has("cas"):
		o.verb = opCAS
		o.index, err = number(q.query, "cas")
	case q.has("acquire"):
		o.verb, o.session = opLock, q.query.Get("acquire")
	case q.has("release"):
		o.verb, o.session = opUnlock, q.query.Get("release")
	}
	if err == nil {
		err = checkSessionID(o.session)
	}
	return o, err
}

// number reads a parameter that is a number; 0 if it is not there.
func number(query url.Values, name string) (uint64, error) {
	if !query.Has(name) {
		return 0, nil
	}
	n, err := strconv.ParseUint(query.Get(name), 10, 64)
	if err != nil {
		return 0, refuse(http.StatusBadRequest, "Invalid %s: %q is not a number", name, short(query.Get(name)))
	}
	return n, nil
}

// short is the text, cut so that it fits a line.
func short(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + ".."
	}
	return text
}

// putKV answers PUT /v1/kv/KEY with whether it has written.
func (f *frontend) putKV(q *request) error {
	o, err := putOp(q)
	if err == nil {
		err = f.may(q.exchange.Base, []op{o})
	}
	if err != nil {
		return err
	}
	o.value, err = q.exchange.Body(maxValueBytes, "value")
	switch {
	case api.CodeOf(err) == api.CodeTooLarge:
		return refuse(http.StatusRequestEntityTooLarge, "Request body too large, max size: %d bytes", maxValueBytes)
	case err != nil:
		return err
	}
	return f.apply(q, &o)
}

// apply carries an operation out, and answers with whether its condition held.
func (f *frontend) apply(q *request, o *op) error {
	ctx := q.exchange.Ctx
	if o.verb != opLock && o.verb != opUnlock && (o.verb != opDeleteCAS || o.index > 0) {
		if done, err := f.blind(ctx, q.store, o); err != nil || done {
			return answerOf(q, true, err)
		}
	}
	_, errs, err := f.run(ctx, q.store, []op{*o})
	if len(errs) > 0 && !errs[0].condition {
		err = refuse(http.StatusInternalServerError, "%s", errs[0].what)
	}
	return answerOf(q, len(errs) == 0, err)
}

func answerOf(q *request, done bool, err error) error {
	if err != nil {
		return err
	}
	return q.reply(http.StatusOK, done)
}

// deleteKV answers DELETE /v1/kv/.
func (f *frontend) deleteKV(q *request) error {
	if err := conflicting(q.query, "recurse", "cas"); err != nil {
		return err
	}
	o := op{verb: opDelete, key: q.name}
	switch {
	case q.has("recurse"):
		return f.deleteTree(q)
	case q.name == "":
		return refuse(http.StatusBadRequest, "Missing key name")
	case q.has("cas"):
		index, err := number(q.query, "cas")
		if err != nil {
			return err
		}
		o.verb, o.index = opDeleteCAS, index
	}
	if err := f.may(q.exchange.Base, []op{o}); err != nil {
		return err
	}
	return f.apply(q, &o)
}

// deleteTree deletes the keys of a tree. Up to maxKeys go at one instant. Each last step lists the tree too: if a key was made before
// it, that one is deleted next. So when the request is answered, there was an instant at which the tree had no key. If it fails after
// its first step, the outcome is unknown.
func (f *frontend) deleteTree(q *request) error {
	ctx, s := q.exchange.Ctx, q.store
	for _, r := range [2]front.Right{front.Write, front.Read} {
		for _, k := range [2]api.Key{dataKey(q.name), deletedKey} {
			if err := f.MayKey(q.exchange.Base, "delete", r, k); err != nil {
				return err
			}
		}
	}
	begun := false
	for range maxTries {
		names, err := keysUnder(ctx, s, q.name)
		if err != nil {
			return partly(err, begun)
		}
		if len(names) == 0 {
			return q.reply(http.StatusOK, true)
		}
		for len(names) > 0 {
			some := names[:min(len(names), maxKeys)]
			names = names[len(some):]
			empty, err := f.deleteKeys(ctx, s, some, q.name, len(names) == 0)
			if err != nil {
				return partly(err, begun)
			}
			if empty || !guardEmptyTree && len(names) == 0 {
				return q.reply(http.StatusOK, true)
			}
			begun = true
		}
	}
	return partly(busy("keys are made in the tree as fast as they are deleted"), begun)
}

// maxLeft bounds what the last step of the deletion of a tree lists.
const maxLeft = 100

// deleteKeys deletes keys of the tree of the prefix at one instant. If they are the last, empty reports whether the tree certainly had no
// key then.
func (f *frontend) deleteKeys(ctx context.Context, s front.Caller, names []string, prefix string, last bool) (empty bool, err error) {
	ops := make([]op, len(names))
	for i, name := range names {
		ops[i] = op{verb: opDelete, key: name}
	}
	if !last {
		_, _, err := f.run(ctx, s, ops)
		return false, err
	}
	d, err := f.carryOut(ctx, s, ops, api.Op{Kind: api.OpList, Key: dataKey(prefix), Limit: maxLeft})
	if api.CodeOf(err) == api.CodeTooLarge { // what was made meanwhile is too large to be passed
		_, _, err = f.run(ctx, s, ops)
		return false, err
	}
	if err != nil || len(d.lists) == 0 || len(d.lists[0]) == maxLeft {
		return false, err
	}
	return !slices.ContainsFunc(d.lists[0], func(e api.Entry) bool {
		_, sibling, ok := split(e.Key)
		return ok && sibling == "" // else it is a lock that awaits a lock-delay, or not a client's
	}), nil
}

// partly returns the error of a request that changes keys in steps, of which some have been carried out if it has begun.
func partly(err error, begun bool) error {
	if !begun || api.CodeOf(err) == api.CodeAmbiguous {
		return err
	}
	return &api.Error{Code: api.CodeAmbiguous, Op: "delete", Err: err, Hint: "some keys of the tree were deleted, and others may be left: delete it again"}
}
